"""The worker's side: it opens files that it is handed with the reader that knows them, and hands their regions over."""

import mmap
import os
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from pksm.arrays import U8Array
from pksm.errors import PksmError
from pksm.linux import memory_limits
from pksm.linux.sandbox.channel import Channel, Closed, Message
from pksm.linux.sandbox.errors import error_of, fields_of
from pksm.sources import opening
from pksm.sources.base import Allocation, Region, Source
from pksm.sources.files import OpenFile
from pksm.sources.images import extras

AHEAD_BYTES = 1 << 20  # of a file whose regions are handed over with the next answer, before they are asked for
MOST_AHEAD = 8  # messages about one file that go ahead
PLUGINS = "plug-ins"  # what a worker needs for a file that none of our readers knows


def serve(
    channel: Channel, readers: Sequence[tuple[str, opening.Reader]], last: opening.Reader, has_plugins: bool
) -> None:
    """Answer messages until the channel is closed.

    Args:
        channel: to the process that we read for.
        readers: (name, reader) of those to be tried.
        last: the reader of all other files.
        has_plugins: whether those of other packages are among the readers.
    """
    server = _Server(channel, readers, last, has_plugins)
    extras.load_no_more()
    memory_limits.ask(server.available_bytes)
    warnings.showwarning = server.warn
    warnings.simplefilter("always", UserWarning)
    try:
        while True:
            server.answer(channel.receive())
    except Closed:
        pass


class HandedFile(OpenFile):
    """A file that somebody else has opened."""

    def __init__(self, path: str, fd: int, size: int) -> None:
        self.path, self.fd, self.size = path, fd, size
        self.head = self.read_head()


class _Server:
    def __init__(
        self, channel: Channel, readers: Sequence[tuple[str, opening.Reader]], last: opening.Reader, has_plugins: bool
    ) -> None:
        self._channel, self._readers, self._last, self._has_plugins = channel, readers, last, has_plugins
        self._opened: dict[int, tuple[Source, Sequence[Source]]] = {}
        self._machines: dict[Hashable, int] = {}
        self._shared: dict[int, mmap.mmap] = {}  # memory that we have in common with the other side, by slot
        self._page_size = 4096  # that files were read with last
        self._due: int | None = None  # a file that can be read ahead: raw memory reads the same each time
        self._is_ahead = False

    def available_bytes(self, enough: int | None) -> int | None:
        """Ask how much memory there is: the files that say so can't be opened here."""
        found: int | None = self._ask("available", {"enough": enough}).fields["bytes"]
        return found

    def warn(self, message: Warning | str, *where: object, **more: object) -> None:
        """Hand a warning over."""
        self._channel.send("warning", {"text": str(message)})

    def answer(self, message: Message) -> None:
        """Do what is asked, and say so; what fails is the answer then. Nobody waits for the end of a `close`."""
        if message.name == "close":
            self._close(message.fields["file"])
            return
        try:
            fields = self._do(message)
        except Closed:
            raise
        except extras.NotLoaded as missing:
            self._channel.send("done", {"needs": missing.module})
        except (PksmError, MemoryError) as error:
            self._channel.send("error", fields_of(error))
        except Exception as error:
            self._channel.send("error", fields_of(opening.as_error_of(str(message.fields.get("name")), error)))
        else:
            self._channel.send("done", fields)
            if self._due is not None:
                number, self._due = self._due, None
                self._read_ahead(number)

    def _read_ahead(self, number: int) -> None:
        """Read a small file while the other side opens the next one. What can't be done so waits until it is asked for."""
        source, _ = self._opened[number]
        noted, self._is_ahead = _Noted(), True
        try:
            _Reading(noted, self._ask, {}, source, self._page_size).run()
        except Exception:  # whoever asks for it is the one to know
            return
        finally:
            self._is_ahead = False
        if len(noted.messages) <= MOST_AHEAD:
            for name, fields, arrays in noted.messages:
                about = {"file": number, "page_size": self._page_size, "name": name, "fields": fields}
                self._channel.send("ahead", about, arrays, more=True)

    def _do(self, message: Message) -> dict[str, Any]:
        if message.name == "open":
            return self._open(message.fields, message.descriptors[0])
        number = message.fields["file"]
        whole, parts = self._opened[number]
        part = message.fields["part"]
        source = whole if part is None else parts[part]
        self._page_size = message.fields["page_size"]
        _Reading(self._channel, self._ask, self._shared, source, message.fields["page_size"]).run()
        return {}

    def _close(self, number: int) -> None:
        source, _ = self._opened.pop(number)
        try:
            source.close()
        except Exception as error:
            warnings.warn(str(opening.as_error_of(source.name, error)), stacklevel=2)

    def _open(self, asked: dict[str, Any], fd: int) -> dict[str, Any]:
        number = asked["file"]
        file = HandedFile(asked["name"], fd, asked["size"])
        try:
            reader = opening.reader_of(file, self._readers)
            if reader is None and asked["plugins"] and not self._has_plugins:
                file.close()
                return {"needs": PLUGINS}
            source = opening.source_by(reader or self._last, file)
        except BaseException:
            file.close()
            raise
        parts = list(source.parts())
        self._opened[number] = source, parts
        if reader is None and file.size <= AHEAD_BYTES:
            self._due = number
        alone = len(parts) == 1 and parts[0] is source
        return {"whole": self._about(source), "parts": None if alone else [self._about(part) for part in parts]}

    def _about(self, source: Source) -> dict[str, Any]:
        machine = source.machine
        return {
            "name": source.name,
            "kind": source.kind,
            "page_size": source.page_size,
            "key_check": source.key_check,
            "machine": None if machine is None else self._machines.setdefault(machine, len(self._machines)),
            **state_of(source),
            **mappings_of(source),
        }

    def _ask(self, name: str, fields: dict[str, Any]) -> Message:
        """Ask a question in the middle of an answer. Raises what the other side answers instead."""
        if self._is_ahead:
            raise PksmError("nobody listens")
        self._channel.send(name, fields)
        answer = self._channel.receive()
        if answer.name == "error":
            raise error_of(answer.fields)
        return answer


def state_of(source: Source) -> dict[str, Any]:
    """Return what may change while a source is read."""
    return {"lost": int(source.lost), "partial": bool(source.partial), "warnings": list(map(str, source.warnings))}


def mappings_of(source: Source) -> dict[str, Any]:
    """Return the mappings, to which runs point."""
    return {"mappings": [[mapping.name, int(mapping.start), int(mapping.end)] for mapping in source.mappings]}


class _Noted:
    """A channel to nobody: messages are kept."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any], Sequence[bytes]]] = []

    def send(self, name: str, fields: dict[str, Any], arrays: Sequence[bytes] = (), more: bool = False) -> None:
        """Keep a message."""
        self.messages.append((name, fields, arrays))


class _Reading:
    """One source while it is read. ask: asks the other side; shared: slots that it has given so far."""

    def __init__(
        self,
        channel: "Channel | _Noted",
        ask: Callable[[str, dict[str, Any]], Message],
        shared: dict[int, mmap.mmap],
        source: Source,
        page_size: int,
    ) -> None:
        self._channel, self._ask, self._shared = channel, ask, shared
        self._source, self._page_size = source, page_size
        self._known = source.mappings, len(source.mappings)  # those that the other side knows
        self._given: dict[int, U8Array] = {}  # what was allocated and not yet handed over

    def run(self) -> None:
        """Hand over all regions, and at the end, whatever it is, what has been found out."""
        try:
            for region in self._source.regions(self._page_size, self._allocate, self._progress):
                self._hand_over(region)
        finally:
            self._channel.send("state", {**self._state(), "facts": self._source.facts()}, more=True)

    def _state(self) -> dict[str, Any]:
        source, state = self._source, state_of(self._source)
        if self._known[0] is not source.mappings or self._known[1] != len(source.mappings):
            self._known = source.mappings, len(source.mappings)
            state |= mappings_of(source)
        return state

    def _progress(self, pages: int) -> None:
        self._channel.send("progress", {"pages": int(pages)}, more=True)  # a region comes next

    def _allocate(self, n_pages: int) -> Allocation:
        answer = self._ask("allocate", {"pages": int(n_pages)})
        slot, size = answer.fields["slot"], n_pages * self._page_size
        if answer.descriptors:
            self._shared[slot] = mmap.mmap(answer.descriptors[0], answer.fields["bytes"])
            os.close(answer.descriptors[0])
        if not size:
            array = np.empty((0, self._page_size), np.uint8)
        else:
            array = np.frombuffer(self._shared[slot], np.uint8, size).reshape(n_pages, self._page_size)
        self._given[slot] = array
        return Allocation(array, slot)

    def _hand_over(self, region: Region) -> None:
        fields: dict[str, Any] = {**self._state(), "view": None, "slot": None, "pages": 0}
        if region.copies is not None:
            fields |= self._of_copies(region.copies)
        elif region.view is not None:
            fields |= self._of_view(region.view)
        columns = {"frames": (region.frames, np.uint64), "exclusive": (region.exclusive, np.bool_)}
        given: dict[str, Any] = {
            name: np.asarray(column, kind) for name, (column, kind) in columns.items() if column is not None
        }
        arrays = [region.runs.tobytes(), *(column.tobytes() for column in given.values())]
        self._channel.send("region", {**fields, "columns": list(given)}, arrays)

    def _of_copies(self, copies: Allocation) -> dict[str, Any]:
        given = self._given.get(copies.first)
        if given is None or _address(given) != _address(copies.array) or len(copies.array) > len(given):
            return self._copied(copies.array)
        return {"slot": copies.first, "pages": len(copies.array)}

    def _of_view(self, view: U8Array) -> dict[str, Any]:
        """Name the place in the file that a view shows; copy one that shows something else."""
        file = self._source.file
        if file is not None and "view" in vars(file) and view.flags.c_contiguous:
            offset = _address(view) - _address(file.view)
            if offset >= 0 and offset + view.size <= file.view.size:
                return {"view": [offset, view.size]}
        return self._copied(view)

    def _copied(self, pages: U8Array) -> dict[str, Any]:
        octets = np.ascontiguousarray(pages).reshape(-1).view(np.uint8)
        rows = octets[: octets.size // self._page_size * self._page_size].reshape(-1, self._page_size)
        allocation = self._allocate(len(rows))
        allocation.array[:] = rows
        return {"slot": allocation.first, "pages": len(rows)}


def _address(array: U8Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
