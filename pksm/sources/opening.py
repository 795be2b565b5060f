"""Sources of memory: image files and live processes, each read by a module of its own.

A reader of files is a module with `sniff(path, head) -> bool` and `open_file(path) -> Source`; its docstring's first
line says what it reads. Ours are named in READERS, those of other packages by entry points of the group `pksm.sources`.
"""

import importlib
import warnings

# Tried in this order; raw takes any file, so it comes last, behind those of other packages.
READERS = ("elfcore", "lime", "avml", "kdump", "raw")
ENTRY_POINTS = "pksm.sources"
MODULES = {name: f"pksm.sources.images.{name}" for name in READERS} | {"proc": "pksm.sources.live.process"}


def open_target(path):
    """Open the file `path` with the first reader that knows it. Raises PksmError or UsageError with one line.

    A reader of another package that is broken is named in a warning and passed over; so is what it would have read.
    """
    from pksm.sources.images import files

    head = files.read_head(path)
    *known, last = map(_our_reader, READERS)
    for reader in known:
        if reader.sniff(path, head):
            return reader.open_file(path)
    for name, reader in _other_readers():
        if _guarded(name, reader.sniff, path, head):
            return reader.open_file(path)
    return last.open_file(path)


def formats() -> dict:
    """Return {reader: what it reads} of all readers of files, in the order in which they are tried."""
    ours = [(name, _our_reader(name)) for name in READERS]
    readers = [*ours[:-1], *_other_readers(), ours[-1]]
    return {name: (reader.__doc__ or "").strip().partition("\n")[0] for name, reader in readers}


def open_pid(pid: int, racy: str = "keep"):
    """Open the live process `pid`. Raises PksmError when it is gone or may not be read.

    racy: `keep` or `drop` pages that were written since they were read, or leave that `unchecked`.
    """
    from pksm.sources.live import process as proc

    return proc.ProcessSource(pid, racy)


def run_command(argv, after: float = 1.0, racy: str = "keep"):
    """Start `argv` and open it as a process that is read `after` seconds after its start and ended on close."""
    from pksm.sources.live import command

    return command.CommandSource(argv, after, racy)


def _our_reader(name):
    return importlib.import_module(MODULES[name])


def _other_readers():
    """Return (name, reader) of those of other packages that load."""
    from importlib.metadata import entry_points

    points = sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    loaded = [(point.name, _guarded(point.name, _checked, point)) for point in points]
    return [(name, reader) for name, reader in loaded if reader is not None]


def _checked(point):
    reader = point.load()
    if not callable(reader.sniff) or not callable(reader.open_file):
        raise TypeError("sniff and open_file must be functions")
    return reader


def _guarded(name, function, *arguments):
    """Call code of another package; None, and a warning that names it, when it fails."""
    try:
        return function(*arguments)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        warnings.warn(f"the plug-in {name} (entry point of {ENTRY_POINTS}) does not work: {reason}", stacklevel=3)
        return None
