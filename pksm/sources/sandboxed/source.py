"""Sources whose files a worker reads: what it hands over is held against what it can be, and becomes ours."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from pksm.arrays import U8Array
from pksm.errors import PksmError
from pksm.extents import RUN
from pksm.linux.proc.smaps import Mapping
from pksm.linux.sandbox.channel import Message
from pksm.sources.base import Allocate, Allocation, Progress, Region, Source
from pksm.sources.files import OpenFile
from pksm.sources.fingerprints.table import FACTS, MOST_PAGES
from pksm.sources.sandboxed.sandbox import Sandbox

_MOST = 1 << 64  # an address
_COLUMNS = {"frames": np.dtype(np.uint64), "exclusive": np.dtype(np.bool_)}


class SandboxedSource(Source):
    """A file that a worker has opened, or a part of one.

    Args:
        sandbox: that has the worker.
        file: the file, which closes with the whole.
        number: of the file.
        part: which of its parts; None for the whole.
        about: what the worker says of it.
        about_parts: what it says of each of the parts; None where the whole is all there is.
    """

    file: OpenFile

    def __init__(
        self,
        sandbox: Sandbox,
        file: OpenFile,
        number: int,
        part: int | None,
        about: Any,
        about_parts: Sequence[Any] | None = None,
    ) -> None:
        with _saying_whose(file.path):
            super().__init__(_text(about["name"]), file)
            self.kind = _text(about["kind"])
            self.page_size = None if about["page_size"] is None else _whole(about["page_size"])
            self.key_check = _whole(about["key_check"])
            machine = about["machine"]  # never this one, whose frames live processes share
            self.machine: Hashable = sandbox.worker_number, None if machine is None else _whole(machine)
            self._learn(about)
        self._sandbox, self._number, self._part = sandbox, number, part
        self._facts: dict[str, Any] = {}
        self._parts: list[Source] = [self]
        if about_parts is not None:
            self._parts = [
                SandboxedSource(sandbox, file, number, place, about_part)
                for place, about_part in enumerate(about_parts)
            ]

    def parts(self) -> Sequence[Source]:
        """Return the memories that this is made of."""
        return self._parts

    def regions(self, page_size: int, allocate: Allocate, progress: Progress) -> Iterator[Region]:
        """Yield all pages, as the worker reads them."""
        reading = _Reading(self._sandbox, self.file, page_size, allocate)
        messages = self._sandbox.read(self._number, self.file, self._part, page_size, {"allocate": reading.allocate})
        for message in messages:
            with _saying_whose(self.file.path):
                if message.name == "progress":
                    progress(_whole(message.fields["pages"]))
                    continue
                if message.name == "done":
                    continue
                self._learn(message.fields)
                if message.name == "state":
                    self._facts = _checked_facts(message.fields["facts"])
                region = reading.region(message) if message.name == "region" else None
            if region is not None:
                yield region

    def facts(self) -> dict[str, Any]:
        """Return what the reader said of it when all was read."""
        return self._facts

    def close(self) -> None:
        """Close the file; parts close with the whole."""
        if self._part is None:
            self._sandbox.close(self._number)
            super().close()

    def _learn(self, state: dict[str, Any]) -> None:
        """Take over what may change while a source is read."""
        self.lost, self.partial = _whole(state["lost"]), state["partial"] is True
        self.warnings = [_text(line) for line in state["warnings"]]
        if "mappings" in state:
            self.mappings = [Mapping(_text(name), _whole(start), _whole(end)) for name, start, end in state["mappings"]]


def open_in(sandbox: Sandbox, path: str) -> SandboxedSource:
    """Open the file `path` in a sandbox. Raises PksmError or UsageError with one line."""
    file = OpenFile(path)
    try:
        number = sandbox.new_number()
        about = sandbox.open(number, file)
        with _saying_whose(file.path):
            parts = about["parts"]
            return SandboxedSource(sandbox, file, number, None, about["whole"], None if parts is None else list(parts))
    except BaseException:
        file.close()
        raise


class _Reading:
    """One reading of a file: the memory that was allocated for it, by slot."""

    def __init__(self, sandbox: Sandbox, file: OpenFile, page_size: int, allocate: Allocate) -> None:
        self._sandbox, self._file, self._page_size, self._allocate = sandbox, file, page_size, allocate
        self._allocated: dict[int, Allocation] = {}

    def allocate(self, fields: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """Allocate memory of our own, and a slot to fill it from."""
        n_pages = _whole(fields["pages"])
        allocation = self._allocate(n_pages)
        slots = self._sandbox.slots
        slot, fd = slots.give(n_pages * self._page_size)
        self._allocated[slot] = allocation
        return {"slot": slot, "bytes": slots.size(slot)}, [] if fd is None else [fd]

    def region(self, message: Message) -> Region:
        """Make the region that a message is about."""
        fields, (runs, *columns) = message.fields, message.arrays
        region = Region(np.frombuffer(runs, RUN))
        if len(region.runs) and int(region.runs["pages"].max()) >= MOST_PAGES:
            raise ValueError("more pages than any memory has")
        if fields["view"] is not None:
            region.view = self._view(*map(_whole, fields["view"]))
        elif fields["slot"] is not None:
            region.copies = self._copies(_whole(fields["slot"]), _whole(fields["pages"]))
        for name, column in zip(fields["columns"], columns, strict=True):
            array = np.frombuffer(column, np.uint8)
            if _COLUMNS[name] == np.bool_:
                array = array != 0
            setattr(region, name, array.view(_COLUMNS[name]))
        return region

    def _view(self, offset: int, size: int) -> U8Array:
        view: U8Array = self._file.view[offset : offset + size]
        if len(view) != size:
            raise ValueError("a view behind the end of the file")
        return view

    def _copies(self, slot: int, pages: int) -> Allocation:
        allocation = self._allocated[slot]
        array, size = allocation.array[:pages], pages * self._page_size
        if len(array) != pages:
            raise ValueError("more pages than it asked memory for")
        if size:
            array.reshape(-1)[:] = np.frombuffer(self._sandbox.slots.taken(slot), np.uint8, size)
        else:
            self._sandbox.slots.taken(slot)
        return allocation if pages == len(allocation.array) else Allocation(array, allocation.first)


class _saying_whose:
    """A context manager: what a worker says that can't be is an error of its file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PksmError):
            return
        if isinstance(error, ValueError | TypeError | KeyError | IndexError | AttributeError):
            raise PksmError(f"{self._path}: the process that read it answered with what can't be") from None


def _checked_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts; those that everybody reads must be what they can be."""
    for name in FACTS.keys() & facts.keys():
        if not isinstance(facts[name], FACTS[name]) or (type(facts[name]) is int and not 0 <= facts[name] < MOST_PAGES):
            raise TypeError(f"the fact {name} can't be")
    for reason, pages in facts.get("out_of_reach", {}).items():
        if _whole(pages) >= MOST_PAGES:
            raise ValueError(f"so many pages can't be {reason}")
    return facts


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise TypeError("not a whole number from 0")
    return value
