"""pksm run: a command whose memory the kernel's KSM may merge."""

import argparse
import os
import signal

from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import PksmError, UsageError

HELP = "run a command whose memory the kernel's KSM may merge"
USAGE = "pksm run [--merge|--no-merge] -- COMMAND..."
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

The command takes the place of pksm, with its process id. All of its private memory is opted in to KSM, and that of the
processes that it starts, by prctl(PR_SET_MEMORY_MERGE), which needs no privilege. KSM itself has to run: root writes 1
to /sys/kernel/mm/ksm/run. Kernels before 6.7 forget it when a program is started; a line says so then.

examples:
  pksm run -- python3 app.py             with all of its memory opted in
  pksm run --no-merge -- redis-server    without, whatever was inherited"""
TAKES_COMMAND = NEEDS_COMMAND = True
IS_LIGHT = True
SIGNALS_OF_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)  # that the interpreter ignores
_STARTED, _FAILED = b"", b"!"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("whether to merge").add_mutually_exclusive_group()
    what.add_argument("--merge", action="store_true", help="let KSM merge all of its memory (the default)")
    what.add_argument("--no-merge", action="store_true", help="let KSM merge only what it opts in by itself")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Become the command. PksmError if it cannot be started."""
    if not given.command or not given.command[0]:
        raise UsageError("write the command last, behind --: pksm run -- COMMAND")
    from pksm.linux.ksm.opt_in import merge_any

    wanted = not given.no_merge
    merge_any(wanted)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    _watch(os.getpid(), wanted, reader, writer)
    os.close(reader)
    for number in SIGNALS_OF_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(given.command[0], given.command)
    except OSError as error:
        os.write(writer, _FAILED)
        raise PksmError(f"{given.command[0]}: cannot be started: {error.strerror}") from None


def _watch(pid: int, wanted: bool, reader: int, writer: int) -> None:
    """Leave a process behind that looks, once the command is started, whether it still has what was asked for.

    It is nobody's child, so that the command has none that it did not start.
    """
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        return
    try:
        if os.fork() == 0:
            os.close(writer)
            if os.read(reader, 1) == _STARTED:
                _say_if_lost(pid, wanted)
    finally:
        os._exit(0)


def _say_if_lost(pid: int, wanted: bool) -> None:
    from pksm.linux.ksm.opt_in import merges_any

    if merges_any(pid) == (not wanted):
        state = "not opted in" if wanted else "still opted in"
        os.write(2, f"pksm: the command is {state}: this kernel forgets it when a program is started\n".encode())
