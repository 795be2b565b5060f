"""Files of fingerprints, which stand for the memory of a machine: two checksums per page, and no bytes of it.

A scan takes their memories in place of what they are of. pksm.sources.fingerprints.layout has the layout.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pksm.arrays import I64Array, StructArray, U32Array
from pksm.errors import PksmError, UsageError
from pksm.extents import State, make_runs
from pksm.linux import memory_limits
from pksm.linux.proc.smaps import Mapping
from pksm.sources.base import Allocate, Progress, Region, Source
from pksm.sources.files import OpenFile
from pksm.sources.fingerprints.file import FingerprintFile
from pksm.sources.fingerprints.layout import MAGIC, RECORD, SUM_BYTES, share_text
from pksm.sources.fingerprints.table import FACTS

AT_ONCE = 1 << 18  # records
LOADED_BYTES = 48  # that a record takes while sources are read


def sniff(file: OpenFile) -> bool:
    """Return whether the file holds fingerprints."""
    return file.head.startswith(MAGIC)


def open_file(file: OpenFile) -> "FingerprintFileSource":
    """Open the file, whose parts are the memories it stands for. Raises PksmError for a damaged file, or a sample."""
    return FingerprintFileSource(FingerprintFile(file))


class FingerprintFileSource(Source):
    """An open file of fingerprints: its parts are the sources of which it was made."""

    kind = "fingerprints"
    file: OpenFile

    def __init__(self, whole: FingerprintFile) -> None:
        super().__init__(whole.file.path, whole.file)
        if whole.below:
            share = share_text(whole.keep)
            raise PksmError(
                f"{self.name}: holds a sample of contents ({share}), which pksm fleet counts; a scan takes files of all "
                "contents"
            )
        self.whole = whole
        self.page_size, self.key_check = whole.page_size, whole.key_check
        self.partial, self.warnings = whole.table["partial"], whole.table["warnings"]
        self._loaded: tuple[StructArray, U32Array, I64Array] | None = None

    def parts(self) -> list["FingerprintSource"]:
        """Return the memories that were read, in order."""
        return [FingerprintSource(self, index, about) for index, about in enumerate(self.whole.table["sources"])]

    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Refuse: there are no pages here, and no one address space."""
        raise UsageError(f"{self.name}: holds fingerprints of pages, not their bytes; a scan reads them")

    def records_of(self, index: int) -> tuple[StructArray, U32Array]:
        """Return (all records, those of source `index` as places among them, in order of their mappings)."""
        if self._loaded is None:
            self._loaded = self._load()
        records, order, ends = self._loaded
        return records, order[ends[index - 1] if index else 0 : ends[index]]

    def _load(self) -> tuple[StructArray, U32Array, I64Array]:
        memory_limits.require(LOADED_BYTES * self.whole.n_records, "scan it where there is more")
        records, start = np.empty(self.whole.n_records, RECORD), 0
        for part in self.whole.records():
            records[start : start + len(part)] = part
            start += len(part)
        where = records["source"].astype(np.uint64) << np.uint64(32) | records["mapping"]
        ends = np.cumsum(np.bincount(records["source"], minlength=len(self.whole.table["sources"])))
        return records, np.argsort(where, kind="stable").astype(np.uint32), ends


class FingerprintSource(Source):
    """The memory of one source of a file of fingerprints; its pages are those sums. `page_size` is that of the memory."""

    def __init__(self, whole: FingerprintFileSource, index: int, about: dict[str, Any]) -> None:
        super().__init__(f"{whole.name}: {about['name']}", whole.file)
        self.kind, self.page_size, self.key_check = about["kind"], whole.page_size, whole.key_check
        self.machine = whole.file  # frames of another file are other frames
        self.mappings = [Mapping(name, 0, 0) for name in about["mappings"]]
        self.lost, self.partial = about["lost"], whole.partial
        lines = [*([] if index else whole.warnings), *about["warnings"]]  # the file's once
        self.warnings = [f"{whole.name}: {line}" for line in lines]
        self._whole, self._about, self._index = whole, about, index

    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Yield the sums as pages of SUM_BYTES, and the counts of what has none."""
        if page_size != SUM_BYTES:
            raise PksmError(f"{self.name}: fingerprints can't be read as pages of {page_size} bytes")
        out = self._about["out_of_reach"]
        holes = sum(out.get(reason, 0) for reason in ("not_resident", "swapped"))
        zero = self._about["zero"]
        counts = [holes, sum(out.values()) - holes, *zero]
        states = [State.HOLE, State.EXCLUDED, *[State.ZERO] * len(zero)]
        runs = make_runs(states, [0, 0, *range(len(zero))], 0, counts)
        yield Region(runs[runs["pages"] > 0])
        all_records, places = self._whole.records_of(self._index)
        for start in range(0, len(places), AT_ONCE):
            records = all_records[places[start : start + AT_ONCE]]
            if int(records["mapping"].max()) >= len(self.mappings):
                raise self._whole.whole.damaged(f"records of its source {self._index} can't be right")
            copies = allocate(len(records))
            sums = copies.array.view("<u8")
            sums[:, 0], sums[:, 1] = records["sum"], records["tail"]
            heads = np.append(0, np.flatnonzero(np.diff(records["mapping"])) + 1)
            pages = np.diff(heads, append=len(records))
            runs = make_runs(State.DATA, records["mapping"][heads], heads + start, pages)
            progress(len(records))
            frames = records["frame"].astype(np.uint64)
            yield Region(runs, copies=copies, frames=frames, exclusive=frames == 0)

    def close(self) -> None:
        """Do nothing: the file is of other parts, too, and closes with it."""

    def facts(self) -> dict[str, Any]:
        """Return what was known when the file was made."""
        known = {name: value for name, value in self._about["facts"].items() if name in FACTS}
        return {**known, "out_of_reach": dict(self._about["out_of_reach"])}
