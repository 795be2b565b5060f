"""Opening sources: files by the reader that knows them, live processes, commands.

A reader of files is a module with `sniff(file) -> bool` and `open_file(file) -> Source`, which get an OpenFile: its
path, descriptor, size and first bytes. The first line of the reader's docstring says what it reads. The source owns the
file once `open_file` has returned; until then whoever called it closes it. Our readers are named in READERS, those of
other packages by entry points of the group `pksm.sources`.
"""

import importlib
import os
import resource
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from pksm import plugins
from pksm.errors import BusError, PksmError, UsageError
from pksm.sources.base import Source
from pksm.sources.files import OpenFile

if TYPE_CHECKING:
    from pksm.sources.sandboxed.sandbox import Sandbox

# Tried in this order; raw takes any file, so it comes last, behind those of other packages.
READERS = {
    "fingerprints": "pksm.sources.fingerprints.reader",
    "elfcore": "pksm.sources.images.elfcore",
    "lime": "pksm.sources.images.lime",
    "avml": "pksm.sources.images.avml",
    "kdump": "pksm.sources.images.kdump",
    "raw": "pksm.sources.images.raw",
}
ENTRY_POINTS = "pksm.sources"
SPARE_DESCRIPTORS = 32


class Reader(Protocol):
    """A module that reads files of one format."""

    def sniff(self, file: OpenFile) -> bool:
        """Return whether the file is in this format."""

    def open_file(self, file: OpenFile) -> Source:
        """Make a source of the file. Raises PksmError, with the reason and the remedy."""


def open_target(path: str | os.PathLike[str], sandbox: "Sandbox | None" = None) -> Source:
    """Open the file `path` with the first reader that knows it. Raises PksmError or UsageError with one line.

    Args:
        path: of an image or of fingerprints.
        sandbox: where the file is parsed; None is in this process.

    A reader of another package that is broken is named in a warning and passed over; so is what it would have read.
    """
    if sandbox is not None:
        from pksm.sources.sandboxed.source import open_in

        return open_in(sandbox, os.fspath(path))
    file = OpenFile(path)
    try:
        known, last = our_readers()
        reader = reader_of(file, known) or reader_of(file, plugin_readers(), last)
        assert reader is not None  # the last one takes any file
        return source_by(reader, file)
    except BaseException:
        file.close()
        raise


def source_by(reader: Reader, file: OpenFile) -> Source:
    """Open a file with its reader. Raises PksmError or UsageError with one line, whatever the reader raises."""
    try:
        source = reader.open_file(file)
    except (PksmError, MemoryError):
        raise
    except Exception as error:
        raise as_error_of(file.path, error) from error
    if not isinstance(source, Source):
        raise PksmError(f"{file.path}: its reader returned a {type(source).__name__}, which is not a Source")
    return source


def open_pid(pid: int, racy: str = "keep") -> Source:
    """Open the live process `pid`. Raises PksmError when it is gone or may not be read.

    racy: `keep` or `drop` pages that were written since they were read, or leave that `unchecked`.
    """
    from pksm.sources.live import process

    return process.ProcessSource(pid, racy)


def run_command(argv: Sequence[str], after: float = 1.0, racy: str = "keep") -> Source:
    """Start `argv` and open it as a process that is read `after` seconds after its start and ended on close."""
    from pksm.sources.live import command

    return command.CommandSource(argv, after, racy)


def formats() -> dict[str, str]:
    """Return {reader: what it reads} of all readers of files, in the order in which they are tried."""
    ours, last = our_readers()
    readers = [*ours, *plugin_readers(), (next(reversed(READERS)), last)]
    return {name: (reader.__doc__ or "").strip().partition("\n")[0] for name, reader in readers}


@contextmanager
def opened(
    openers: Iterable[Callable[[], Source]], hold: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Iterator[tuple[list[Source], list[PksmError]]]:
    """Call each opener and give (sources, errors); close the sources at the end.

    hold: makes context managers that hold interrupts back while a source is opened.

    Raises:
        UsageError: at once.
        PksmError: the first error, when no source is left; whatever a reader raised by mistake, as it is.
    """
    sources: list[Source] = []
    errors: list[PksmError] = []
    with ExitStack() as stack:
        spare = stack.enter_context(ExitStack())
        _set_aside(spare)
        for opener in openers:
            try:
                with hold():
                    source = opener()
                    stack.callback(_close, source)
                    sources.append(source)
            except (UsageError, MemoryError):
                raise
            except Exception as error:
                errors.append(as_error_of("a source", error))
        if errors and not sources:
            raise first_of(errors)
        spare.close()
        yield sources, errors


def _set_aside(spare: ExitStack) -> None:
    """Open descriptors that close with `spare`: they are needed to read what is opened."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for _ in range(min(SPARE_DESCRIPTORS, limit // 4)):
        try:
            spare.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return


def as_error_of(name: str, error: Exception) -> PksmError:
    """Return an error as one of PksmError.

    What the system refuses has its own words for it; what else a source raises is a fault of its reader, named with
    its class.
    """
    if isinstance(error, PksmError):
        return error
    if isinstance(error, OSError) and error.strerror:
        return PksmError(f"{name}: cannot be read: {error.strerror}")
    wrapped = PksmError(f"{name}: its reader failed with {plugins.reason(error)}")
    wrapped.__cause__ = error
    return wrapped


def first_of(errors: Sequence[PksmError]) -> Exception:
    """Return the error to raise when nothing is left: the first, which says how many more there are.

    A fault of a reader is returned as it was raised: it may be a bug, and shows where it is.
    """
    first, others = errors[0], len(errors) - 1
    if isinstance(first.__cause__, Exception):
        return first.__cause__
    if others:
        first.args = (f"{first}; {others} more could not be read either",)
    return first


@contextmanager
def naming_files_at_fault(sources: Iterable[Source]) -> Iterator[None]:
    """Say in a BusError which file it was, and whether it became shorter or its bytes could not be read."""
    try:
        yield
    except BusError:
        files = {source.file.path: source.file for source in sources if source.file is not None}
        for find in (_shrunk, OpenFile.fault):  # looking at sizes takes no time
            for file in files.values():
                fault = find(file)
                if fault is not None:
                    raise fault from None
        if files:
            first, more = next(iter(files)), f" or {len(files) - 1} more" if len(files) > 1 else ""
            raise BusError(f"{first}{more}: bytes could not be read for a while; scan it again, or a copy") from None
        raise


def _shrunk(file: OpenFile) -> BusError | None:
    return file.shrunk() if file.has_shrunk else None


def _close(source: Source) -> None:
    """Close a source; that it fails to close changes nothing about what was read."""
    try:
        source.close()
    except MemoryError:
        raise
    except Exception as error:
        warnings.warn(str(as_error_of(source.name, error)), stacklevel=2)


def our_readers() -> tuple[list[tuple[str, Reader]], Reader]:
    """Load our readers. Return (name, reader) of all but the last, and the last, which takes any file."""
    *known, last = [(name, cast(Reader, importlib.import_module(module))) for name, module in READERS.items()]
    return known, last[1]


def plugin_readers() -> list[tuple[str, Reader]]:
    """Load the readers of other packages, once. A warning names each that is broken."""
    return [(name, _Guarded(name, reader)) for name, reader in _from_entry_points().items()]


class _Guarded:
    """A reader of another package, which knows no file that it fails to look at."""

    def __init__(self, name: str, reader: Reader) -> None:
        self.__doc__ = reader.__doc__
        self._name, self._reader = name, reader
        self.open_file = reader.open_file

    def sniff(self, file: OpenFile) -> bool:
        return bool(plugins.guarded(ENTRY_POINTS, self._name, self._reader.sniff, file))


def reader_of(file: OpenFile, readers: Iterable[tuple[str, Reader]], last: Reader | None = None) -> Reader | None:
    """Return the first of the readers that knows the file, `last` if none does."""
    return next((reader for _, reader in readers if reader.sniff(file)), last)


@cache
def _from_entry_points() -> dict[str, Reader]:
    return plugins.load(ENTRY_POINTS, _checked)


def _checked(name: str, reader: Any) -> Reader:
    if not callable(reader.sniff) or not callable(reader.open_file):
        raise TypeError("sniff and open_file must be functions")
    return reader
