"""The command line: parsing and printing only. The verbs are in pksm.cli.commands."""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from pksm.cli import commands, exit_codes, output
from pksm.cli.interrupts import Ended, HeldInterrupts
from pksm.cli.options import named_as_typed
from pksm.errors import PksmError, UsageError
from pksm.report.text import plain

BLAS_THREADS = "OPENBLAS_NUM_THREADS"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (sys.argv by default) and return the exit code."""
    _open_standard_streams()
    interrupts = HeldInterrupts()
    try:
        with warnings.catch_warnings(), interrupts.installed():
            warnings.showwarning = _remark
            code = _run(sys.argv[1:] if argv is None else list(argv), interrupts)
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
    except BrokenPipeError:
        return exit_codes.CLOSED_PIPE
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


def _run(argv: list[str], interrupts: HeldInterrupts) -> int:
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
    options.command = command
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
    known = ", ".join(group.VERBS if group else commands.VERBS)
    if verb is not None:
        raise UsageError(f"unknown verb {plain(f'{name} {verb}'.lstrip())!r}: choose from {known}")
    if group is None:
        raise UsageError("say what to do, for example: pksm demo (see pksm --help)")
    raise UsageError(f"say what to do: {known} (see pksm {name} --help)")
