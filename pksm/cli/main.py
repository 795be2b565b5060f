"""The command line: parsing and printing only. Each verb is a file here with HELP, add_arguments and run."""

import argparse
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from pksm import __version__
from pksm.cli import exit_codes, output
from pksm.cli.interrupts import Ended, HeldInterrupts
from pksm.cli.options import named_as_typed
from pksm.errors import PksmError, UsageError
from pksm.report.text import plain

BLAS_THREADS = "OPENBLAS_NUM_THREADS"
VERBS = ("scan", "bench", "simulate", "truth", "validate", "checksum", "features", "demo", "completion")


class Commands(Mapping[str, Any]):
    """The module of each verb, by name; loaded when it is asked for."""

    def __getitem__(self, verb: str) -> Any:
        if verb not in VERBS:
            raise KeyError(verb)
        return importlib.import_module(f"pksm.cli.verbs.{verb}")

    def __contains__(self, verb: object) -> bool:
        return verb in VERBS

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


COMMANDS = Commands()


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
    if not argv or argv[0] not in COMMANDS:
        return _no_verb(argv)
    verb, module, command = argv[0], COMMANDS[argv[0]], None
    if "--" in argv:
        at = argv.index("--")
        argv, command = argv[:at], argv[at + 1 :]
        if verb != "scan":
            raise UsageError(f"pksm {verb} takes no command behind --")
    parser = _Parser(f"pksm {verb}", module.USAGE, module.DESCRIPTION)
    module.add_arguments(parser)
    options = parser.parse_intermixed_args(argv[1:])
    options.command = command
    if verb != "completion":
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


def _no_verb(argv: list[str]) -> int:
    verbs = "\n".join(f"  {name:<9} {module.HELP}" for name, module in COMMANDS.items() if module.HELP)
    parser = _Parser(
        "pksm",
        "pksm VERB [OPTION...] (pksm VERB --help says more)",
        f"Find out exactly what merging equal pages saves in real memory.\n\nverbs:\n{verbs}",
        exit_codes.ABOUT,
    )
    parser.add_argument("--version", action="version", version=f"pksm {__version__}")
    parser.add_argument("verb", nargs="?", help=argparse.SUPPRESS)
    verb = parser.parse_args(argv[:1]).verb
    if verb is None:
        raise UsageError("say what to do, for example: pksm demo (see pksm --help)")
    raise UsageError(
        f"unknown verb {plain(verb)!r}: choose from {', '.join(name for name in COMMANDS if COMMANDS[name].HELP)}"
    )


class _Parser(argparse.ArgumentParser):
    """Errors are one line of ours, and all text goes where all output goes."""

    def __init__(self, prog: str, usage: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.removeprefix('argument ')} (see {self.prog} --help)")

    def _print_message(self, message: str, file: Any = None) -> None:
        output.write(message)
