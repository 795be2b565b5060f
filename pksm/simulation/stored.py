"""Workloads in a file, mapped by every process that plays them: their arrays are in memory once."""

import hashlib
import mmap
import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

ALIGNMENT = 64


@dataclass(frozen=True)
class Stored:
    """A workload that was stored in a file of ours. It pickles, and is small.

    Args:
        path: of the file.
        spans: (start, bytes) of each of its buffers; the first one is the pickled object.
        identity: a sum of what it holds.
        name: of the workload.
    """

    path: str
    spans: tuple[tuple[int, int], ...]
    identity: str
    name: str

    def load(self) -> Any:
        """Return the workload; its arrays are the file's own pages, and can't be written."""
        return _loaded(self.path, self.spans)


@lru_cache(maxsize=1)
def _loaded(path: str, spans: tuple[tuple[int, int], ...]) -> Any:
    with open(path, "rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    first, *others = (view[start : start + n_bytes] for start, n_bytes in spans)
    return pickle.loads(first, buffers=others)


@contextmanager
def stored(workload: Any) -> Iterator[Any]:
    """Give a workload as it goes to other processes: an object as a Stored, a name as it is; the file goes at the end."""
    if isinstance(workload, str):
        yield workload
        return
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(workload, protocol=5, buffer_callback=buffers.append)
    handle, path = tempfile.mkstemp(prefix="pksm-", suffix=".workload")
    try:
        total, spans, summed = 0, [], hashlib.sha256()
        with open(handle, "wb") as file:
            for part in (memoryview(data), *(buffer.raw() for buffer in buffers)):
                file.write(bytes(-total % ALIGNMENT))
                total += -total % ALIGNMENT
                spans.append((total, part.nbytes))
                file.write(part)
                summed.update(part)
                total += part.nbytes
        yield Stored(path, tuple(spans), summed.hexdigest(), getattr(workload, "name", ""))
    finally:
        os.unlink(path)
