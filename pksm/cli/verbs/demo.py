"""pksm demo: four live Python interpreters, what they have in common, and what merging it would save."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from pksm import report
from pksm.cli import demo_service, exit_codes, output
from pksm.cli.interrupts import HeldInterrupts
from pksm.cli.verbs.scan import for_table
from pksm.errors import PksmError
from pksm.linux import isolated
from pksm.report.text import columns

HELP = "scan four Python interpreters that are started for it; needs no root"
USAGE = "pksm demo"
DESCRIPTION = """Start four Python interpreters that hold partly the same data, scan them, print what merging saves in them, and end
them. It takes some seconds and needs no root.

example:
  pksm demo  start, scan and end them"""
CHILDREN = 4

HOLDS = "each with 10,000 records in a dictionary, a text and three arrays of numbers, partly the same"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no options: a demonstration has none."""


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Start the interpreters, scan them, print, and end them; return the exit code."""
    from pksm import sources
    from pksm.engine import native
    from pksm.scan import Settings, scan
    from pksm.sources import opened

    native.catch_bus_errors()
    output.remark(f"starting {CHILDREN} Python interpreters, {HOLDS}")
    settings = for_table(Settings(threads=len(os.sched_getaffinity(0))))
    progress = output.Progress()
    with _children() as pids, opened([partial(sources.open_pid, pid) for pid in pids]) as (processes, errors):
        result = scan(processes, settings, progress, errors=errors)
    for warning in result["warnings"]:
        output.remark(warning)
    output.write(report.table(result, output.width(), output.colour()) + "\n" + _next_steps(_own_name()))
    return exit_codes.of(result)


@contextmanager
def _children() -> Iterator[list[int]]:
    """Run the interpreters and give their pids once all are ready; end them, whatever happens."""
    with ExitStack() as stack:
        children = [stack.enter_context(_child(number)) for number in range(CHILDREN)]
        for child in children:
            assert child.stdout
            if child.stdout.readline() != b"ready\n":
                raise PksmError("a Python interpreter of the demonstration ended before it was ready (see above)")
        yield [child.pid for child in children]


@contextmanager
def _child(number: int) -> Iterator[subprocess.Popen[bytes]]:
    # A group of its own: Ctrl-C is for us. Should we die, its input ends, and it with it.
    child = subprocess.Popen(
        isolated.command(demo_service.__file__, str(number)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe
            pipe.close()


def _own_name() -> str:
    """What to type to run this command again."""
    name = sys.argv[0]
    if os.path.basename(name) == "__main__.py":
        return f"{os.path.basename(sys.executable)} -m pksm"
    found = shutil.which(os.path.basename(name))
    if found and os.path.samefile(found, name):
        return os.path.basename(name)
    return os.path.relpath(name)


def _next_steps(name: str) -> str:
    lines = [
        (f"{name} scan --pid $$", "a live process: this shell"),
        (f"{name} scan -- python3 -m http.server", "a command: it is started, read after a second, and ended"),
        (f"{name} scan ram.img", "a file of raw memory, such as a virtual machine's"),
    ]
    return "Now scan something of your own:\n" + "".join(f"  {line}\n" for line in columns(lines))
