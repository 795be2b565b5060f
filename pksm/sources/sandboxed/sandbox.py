"""Where files are read that others wrote: a worker that holds nothing but what it is handed, and started anew if it dies."""

import contextlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Self

from pksm import plugins
from pksm.errors import PksmError
from pksm.linux import memory_limits
from pksm.linux.sandbox.channel import Channel, Closed, Garbled, Message
from pksm.linux.sandbox.errors import error_of, fields_of
from pksm.linux.sandbox.restriction import Held
from pksm.linux.sandbox.worker import Worker
from pksm.sources import opening
from pksm.sources.files import OpenFile
from pksm.sources.images import extras
from pksm.sources.sandboxed import serving
from pksm.sources.sandboxed.slots import Slots

Questions = dict[str, Callable[[dict[str, Any]], tuple[dict[str, Any], list[int]]]]
MOST_STARTS = 4  # of workers for one file: each knows more than the one before
_QUESTIONS = ("available", "allocate")


class Sandbox:
    """A context manager: open_target() takes it, and reads its files in a process that can do nothing else.

    The process opens no path, starts no program, makes no connection and has no capabilities, where the kernel offers
    seccomp; it ends with the block. Whoever opens files in one needs a single thread: it is forked.
    """

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._has_plugins = False
        self._plugins_wanted = True  # until we know that there are none
        self._slots = Slots()
        self._open: set[int] = set()  # files that the worker knows
        self._ahead: dict[int, tuple[int, list[Message]]] = {}  # by file: page size, and what has come unasked
        self._numbers = itertools.count()
        self._busy = False
        self.worker_number = 0  # how many there have been: what one says of machines is not what another says

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def new_number(self) -> int:
        """Return a number for a file."""
        return next(self._numbers)

    def open(self, number: int, file: OpenFile) -> dict[str, Any]:
        """Let a file be opened by the reader that knows it; return what the reader makes of it.

        Raises:
            PksmError, UsageError, MemoryError: what the reader raises, or how the worker died.
        """
        for _ in range(MOST_STARTS):
            self._start()
            asked = {"file": number, "name": file.path, "size": file.size, "plugins": self._plugins_wanted}
            *_, message = self._talk("open", asked, file, [file.fd], {})
            if "needs" not in message.fields:
                self._open.add(number)
                return message.fields
            needed = str(message.fields["needs"])
            if needed == serving.PLUGINS:
                self._plugins_wanted = plugins.are_there(opening.ENTRY_POINTS)
                if not self._plugins_wanted:
                    continue
                self._has_plugins = True
            elif needed in extras.MODULES:
                extras.preload(needed)
            self._end()
        raise PksmError(f"{file.path}: the process that read it wants what it has")

    def read(
        self, number: int, file: OpenFile, part: int | None, page_size: int, questions: Questions
    ) -> Iterator[Message]:
        """Let a part of a file be read; yield the messages about it, the last of them `done`.

        Args:
            number: of the file.
            file: the file.
            part: which of its parts; None for the whole.
            page_size: bytes.
            questions: {name: what answers it with fields and descriptors, which are closed then}.

        Raises:
            PksmError, UsageError, MemoryError: what the reader raises, or how the worker died.
        """
        known_page_size, ahead = self._ahead.pop(number, (0, []))
        if ahead and part is None and known_page_size == page_size and ahead[-1].name == "state":  # whole
            yield from ahead
            return
        if self._worker is None or number not in self._open:
            self.open(number, file)
        self._slots.free_all()
        asked = {"file": number, "name": file.path, "part": part, "page_size": page_size}
        yield from self._talk("read", asked, file, [], questions)

    @property
    def slots(self) -> Slots:
        """The memory that is shared with the worker."""
        return self._slots

    def close(self, number: int) -> None:
        """Let a file be closed."""
        if number in self._open and self._worker is not None:
            self._open.remove(number)
            self._ahead.pop(number, None)
            with contextlib.suppress(PksmError):
                self._worker.channel.send("close", {"file": number}, more=True)  # it ends with the worker at the latest

    # ---- the worker ----

    def _start(self) -> None:
        """Have a worker, which can load no module any more."""
        if self._worker is not None:
            return
        with_plugins = self._has_plugins
        known, last = opening.our_readers()  # loaded here, once: the worker will not be able to
        found: list[tuple[str, opening.Reader]] = list(known)
        trapped: list[str] = []

        def prepare() -> None:
            if with_plugins:
                import numpy.ma  # noqa: F401 (numpy.unique loads it when it is first called)

                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    found.extend(opening.plugin_readers())
                trapped.extend(str(warning.message) for warning in caught)

        def work(channel: Channel, held: Held) -> None:
            for text in trapped:
                channel.send("warning", {"text": text})
            serving.serve(channel, found, last, with_plugins)

        try:
            self._worker = Worker(work, prepare)
        except OSError as error:
            raise PksmError(f"no process could be started to read files in: {error.strerror}") from None
        self.worker_number += 1

    def _end(self) -> None:
        if self._worker is not None:
            worker, self._worker = self._worker, None
            self._open.clear()
            self._ahead.clear()
            self._slots = Slots()
            if self._busy:
                worker.kill()
            else:
                worker.close()
            self._busy = False

    def _talk(
        self, name: str, fields: dict[str, Any], file: OpenFile, descriptors: list[int], questions: Questions
    ) -> Iterator[Message]:
        """Send a message, answer questions, and yield the rest up to `done`. A worker that is left amid it is killed."""
        assert self._worker is not None
        channel = self._worker.channel
        self._busy = True
        try:
            channel.send(name, fields, (), descriptors)
            while True:
                message = channel.receive()
                if message.name == "warning":
                    warnings.warn(str(message.fields.get("text")), stacklevel=2)
                elif message.name == "ahead":
                    self._keep(message)
                elif message.name in _QUESTIONS:
                    _answer(channel, message, {"available": _available, **questions})
                elif message.name == "error":
                    self._busy = False
                    raise error_of(message.fields)
                else:
                    self._busy = message.name != "done"
                    yield message
                    if not self._busy:
                        return
        except Garbled as error:
            raise PksmError(f"{file.path}: the process that read it answered with {error}") from None
        except Closed:
            assert self._worker is not None
            cause = self._worker.died_of()
            raise PksmError(
                f"{file.path}: the process that read it was ended by {cause}: the file is hostile, its reader is at "
                "fault, or memory is short"
            ) from None
        finally:
            if self._busy:
                self._end()

    def _keep(self, message: Message) -> None:
        """Keep what has been read of a file before it was asked for, unless the file is closed already."""
        try:
            number, page_size = message.fields["file"], message.fields["page_size"]
            news = Message(message.fields["name"], message.fields["fields"], message.arrays, [])
            if number not in self._open:
                return
            kept = self._ahead.setdefault(number, (page_size, []))[1]
        except (TypeError, KeyError):
            raise Garbled("something about no file") from None
        if len(kept) == serving.MOST_AHEAD or sum(map(len, news.arrays)) > serving.AHEAD_BYTES:
            raise Garbled("more than it was to say unasked")
        kept.append(news)


def _answer(channel: Channel, message: Message, questions: Questions) -> None:
    descriptors: list[int] = []
    try:
        if message.name not in questions:
            raise Garbled("a question that it has no reason to ask")
        fields, descriptors = questions[message.name](message.fields)
        channel.send("answer", fields, (), descriptors)
    except (Garbled, Closed):
        raise
    except (PksmError, MemoryError) as error:
        channel.send("error", fields_of(error))
    except (TypeError, ValueError, KeyError):
        raise Garbled("a question that can't be") from None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _available(fields: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    enough = fields.get("enough")
    return {"bytes": memory_limits.available_bytes(enough if type(enough) is int else None)}, []
