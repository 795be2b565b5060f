"""Map: one file of fingerprints becomes rows of contents in a file of its own, sorted, in the work directory."""

import hashlib
import json
import os
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pksm.arrays import AnyArray
from pksm.errors import PksmError
from pksm.fleet.rows import ROW, kept, rows_of
from pksm.sources import fingerprints
from pksm.sources.files import OpenFile

AT_ONCE = 1 << 20  # records


@dataclass(frozen=True)
class Mapped:
    """What one file of fingerprints holds.

    Args:
        path: of the file.
        page_size: of its machine, in bytes.
        partial: whether not all is in it that was meant to be.
        names: of its members: what was scanned, such as guests and processes.
        pages: pages with data of each member; a frame that several map counts for the first.
        zero: zero pages of each member.
        rows: path of the file of ROW entries, which names members by their number here.
        n_rows: how many there are.
        digest: of its contents and members; files with the same one are of one machine.
    """

    path: str
    page_size: int
    partial: bool
    names: list[str]
    pages: list[int]
    zero: list[int]
    rows: str
    n_rows: int
    digest: str


def map_file(path: str, directory: str, keep: float) -> Mapped:
    """Read a file of fingerprints and store the rows of its contents; or return what was stored of it before.

    Args:
        path: of the file.
        directory: the work directory, in which a file by the name of `path`, its size and time, and `keep` appears.
        keep: the share of contents to keep.

    Raises:
        PksmError: the file can't be read, holds no fingerprints, or is damaged.
    """
    facts = _facts(path)
    name = hashlib.sha256(json.dumps([os.path.abspath(path), *facts, keep]).encode()).hexdigest()[:32]
    about = Path(directory, f"{name}.json")
    try:
        found = Mapped(**json.loads(about.read_text(encoding="utf-8")))
        if os.path.getsize(found.rows) >= 0:
            return found
    except (OSError, ValueError, TypeError):
        pass  # nothing was stored yet
    made = _mapped(path, Path(directory, f"{name}.rows"), keep)
    _replace(about, json.dumps(asdict(made)).encode())
    return made


def _facts(path: str) -> list[int]:
    try:
        known = os.stat(path)
    except OSError as error:
        raise PksmError(f"{path}: {error.strerror}") from None
    return [known.st_size, known.st_mtime_ns]


def _mapped(path: str, rows: Path, keep: float) -> Mapped:
    with closing(OpenFile(path)) as file:
        if not fingerprints.sniff(file):
            raise PksmError(f"{path}: holds no fingerprints")
        whole = fingerprints.open_file(file)
        parts = whole.parts()
        pages, zero = np.zeros(len(parts), np.int64), np.zeros(len(parts), np.int64)
        found: list[tuple[AnyArray, AnyArray]] = []  # contents, and the member that each is of
        several: list[AnyArray] = []  # records of frames that are mapped more than once, and their members
        owners: list[AnyArray] = []
        for number, part in enumerate(parts):
            zero[number] += part.zero_without_records
            for records in part.records(AT_ONCE):
                once = records["flags"] & fingerprints.ONCE != 0
                _count(records[once], np.full(int(once.sum()), number, np.uint32), pages, zero, keep, found)
                several.append(records[~once])
                owners.append(np.full(len(several[-1]), number, np.uint32))
        if several:
            records, owner = np.concatenate(several), np.concatenate(owners)
            _, first = np.unique(records["frame"], return_index=True)
            _count(records[first], owner[first], pages, zero, keep, found)
        made = rows_of(
            np.concatenate([keys for keys, _ in found] or [np.zeros(0, np.uint64)]),
            np.concatenate([members for _, members in found] or [np.zeros(0, np.uint32)]),
        )
        names = [part.own_name for part in parts]
        digest = hashlib.sha256(made.tobytes())
        digest.update(json.dumps([names, pages.tolist(), zero.tolist()]).encode())
        _replace(rows, made.tobytes())
        return Mapped(path, int(whole.page_size or 0), whole.partial, names, pages.tolist(), zero.tolist(), str(rows), len(made),
                      digest.hexdigest())  # fmt: skip


def _count(
    records: AnyArray,
    members: AnyArray,
    pages: AnyArray,
    zero: AnyArray,
    keep: float,
    found: list[tuple[AnyArray, AnyArray]],
) -> None:
    """Count records of a frame each, and keep the contents that are to be kept."""
    is_zero = records["flags"] & fingerprints.ZERO != 0
    zero += np.bincount(members[is_zero], minlength=len(zero))
    keys, members = records["xxh3"][~is_zero], members[~is_zero]
    pages += np.bincount(members, minlength=len(pages))
    sampled = kept(keys, keep)
    found.append((keys[sampled], members[sampled]))


def _replace(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PksmError(f"{path}: {error.strerror}") from None


def stored(mapped: Mapped) -> Any:
    """Return the rows of a file, ROW (n_rows,), mapped from the work directory."""
    if not mapped.n_rows:
        return np.zeros(0, ROW)
    return np.memmap(mapped.rows, ROW, "r", shape=(mapped.n_rows,))
