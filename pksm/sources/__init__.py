"""Sources of memory: image files and live processes, each read by a module of its own.

A reader of files is a module with `sniff(path, head) -> bool` and `open_file(path) -> Source`, named in READERS.
"""

import importlib

READERS = ("raw",)  # tried in this order; raw takes any file, so it stays last


def open_target(path):
    """Open the file `path` with the first reader that knows it. Raises PksmError or UsageError with one line."""
    from pksm.sources import files

    head = files.read_head(path)
    readers = (importlib.import_module(f"{__name__}.{name}") for name in READERS)
    return next(reader.open_file(path) for reader in readers if reader.sniff(path, head))


def open_pid(pid: int):
    """Open the live process `pid`. Raises PksmError when it is gone or may not be read."""
    from pksm.sources import proc

    return proc.ProcessSource(pid)


def run_command(argv, settle: float = 1.0):
    """Start `argv` and open it as a process that is read `settle` seconds after its start and ended on close."""
    from pksm.sources import command

    return command.CommandSource(argv, settle)
