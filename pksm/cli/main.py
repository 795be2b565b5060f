"""The command line: parsing and printing only. The verbs are in pksm.cli.commands."""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pksm import plugins
from pksm.cli import commands, exit_codes, output
from pksm.cli.interrupts import Ended, HeldInterrupts
from pksm.cli.options import named_as_typed
from pksm.errors import PksmError, UsageError
from pksm.naming import unknown
from pksm.plain import plain

BLAS_THREADS = "OPENBLAS_NUM_THREADS"


def main(argv: Sequence[str] | None = None, own_process: bool = False) -> int:
    """Run the command line and return the exit code.

    Args:
        argv: the words behind the command; by default those of sys.argv.
        own_process: whether this process is for the command alone, and may give up for good what it needs no more.
    """
    _open_standard_streams()
    interrupts = HeldInterrupts()
    try:
        with warnings.catch_warnings(), interrupts.installed(), _shortages_on_one_line():
            warnings.showwarning = _remark
            code = _run(sys.argv[1:] if argv is None else list(argv), interrupts, own_process)
            return interrupts.last.exit_code if code == exit_codes.INTERRUPTED and interrupts.last else code
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    except PksmError as error:
        output.remark(error)
        return error.exit_code
    except MemoryError as error:
        what = f" ({error})" if str(error) else ""
        output.remark(f"out of memory{what}: take less at a time, or run where more is available")
        return PksmError.exit_code
    except SystemError as error:  # what C code says that got no memory and overlooked it
        output.remark(f"out of memory, or a library is at fault ({error}): take less at a time")
        return PksmError.exit_code
    except BrokenPipeError:
        return exit_codes.CLOSED_PIPE
    except OSError as error:  # where no other words were found for it
        where = f"{error.filename}: " if error.filename is not None else ""
        output.remark(f"{where}the system refuses: {error.strerror or error}")
        return PksmError.exit_code
    except KeyboardInterrupt:
        ended = interrupts.last or Ended(signal.SIGINT)
        output.remark("interrupted" if ended.number == signal.SIGINT else f"interrupted by {ended.name}")
        return ended.exit_code
    finally:
        output.clear_progress()


def _open_standard_streams() -> None:
    """Open /dev/null where stdin, stdout or stderr is closed, or the next file of ours would take its place.

    What a command writes to stdout would end up in that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free: this one


def _remark(message: object, *where: object, **more: object) -> None:
    """Show a warning of Python's as one line of ours."""
    output.remark(message)


@contextmanager
def _shortages_on_one_line() -> Iterator[None]:
    """Make one line of what the system refuses where nobody can catch it: in a thread, or at the end of an object."""
    unraisable, in_thread = sys.unraisablehook, threading.excepthook

    def hook(event: Any, otherwise: Callable[[Any], object]) -> None:
        if isinstance(event.exc_value, MemoryError | OSError) or event.exc_type is MemoryError:
            output.remark(f"passed over: {plugins.reason(event.exc_value or MemoryError())}")
        else:
            otherwise(event)

    sys.unraisablehook = lambda event: hook(event, unraisable)
    threading.excepthook = lambda event: hook(event, in_thread)
    try:
        yield
    finally:
        sys.unraisablehook, threading.excepthook = unraisable, in_thread


def _run(argv: list[str], interrupts: HeldInterrupts, own_process: bool) -> int:
    command = None
    if "--" in argv:
        at = argv.index("--")
        argv, command = argv[:at], argv[at + 1 :]
    words, module, rest = commands.find(argv)
    if module is None or commands.is_group(module):
        return _no_verb(" ".join(words), module, rest)
    if command is not None and not getattr(module, "TAKES_COMMAND", False):
        raise UsageError(f"pksm {' '.join(words)} takes no command behind --")
    parser = commands.parser(" ".join(words), module)
    options = parser.parse_intermixed_args(rest)
    options.command, options.own_process = command, own_process
    if not getattr(module, "IS_LIGHT", False):
        _load_numpy()
    try:
        return module.run(options, interrupts)
    except UsageError as error:
        raise named_as_typed(error, parser) from None


def _load_numpy() -> None:
    """Load numpy without the threads of its linear algebra: we use none of it, and it interrupts us if it gets none."""
    before = os.environ.get(BLAS_THREADS)
    os.environ[BLAS_THREADS] = "1"
    try:
        import numpy  # noqa: F401
    finally:
        if before is None:
            del os.environ[BLAS_THREADS]  # a command that we start has its own
        else:
            os.environ[BLAS_THREADS] = before


def _no_verb(name: str, group: Any, words: list[str]) -> int:
    verb = commands.group_parser(name, group).parse_args(words[:1]).verb
    known = group.VERBS if group else commands.VERBS
    if verb is not None:
        raise _unknown_verb(name, plain(verb), known)
    if group is None:
        raise UsageError("say what to do, for example: pksm demo (see pksm --help)")
    raise UsageError(f"say what to do: {', '.join(known)} (see pksm {name} --help)")


def _unknown_verb(group: str, verb: str, known: Iterable[str]) -> UsageError:
    error = unknown(f"unknown verb of pksm {group}" if group else "unknown verb", verb, known, has_list=group == "")
    if error.leaves_out:
        error.message += " (pksm --help lists all)"
    return error
