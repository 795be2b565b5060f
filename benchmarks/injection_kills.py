"""Proves that a process outlives the injector: `python benchmarks/injection_kills.py [FILE] [--kills N]`.

Targets compute, sleep in a timed call, take signals, have threads, wait for children made by vfork, and begin their program
anew; each of them ends with an error if anything of its state is lost. At each, an injector of system calls is killed N
times, before one of its steps after another. Writes JSON to FILE and prints a line per target.
"""

import argparse
import collections
import itertools
import sys
import tempfile
from pathlib import Path

from storing import store

from pksm.bench.run import machine
from pksm.errors import PksmError
from pksm.linux.inject import inject

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support import injections

STEPS = 16  # of an injector that is not killed


def main(words: list[str]) -> int:
    """Kill, look, print and store; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="where the JSON goes")
    parser.add_argument("--kills", type=int, default=500, help="per target (default %(default)s)")
    given = parser.parse_args(words)
    targets = {}
    with tempfile.TemporaryDirectory() as folder:
        program = injections.build(folder)
        for mode in injections.MODES:
            with injections.Target(program, mode, folder) as target:
                killed: collections.Counter = collections.Counter()
                tries = itertools.count()
                while killed.total() < given.kills:  # where an injector ends before its step, another one is started
                    step = injections.kill_at(target.pid, next(tries) % STEPS)
                    target.goes_on()
                    if step is not None:
                        killed[step] += 1
                pause_s = _pause(target.pid)
            targets[mode] = {"killed_before": dict(killed), "longest_pause_s": pause_s}
            print(
                f"{mode}: {given.kills} injectors killed before {len(killed)} kinds of steps, and the process goes on"
            )
    if given.file:
        found: dict = {"command": "python benchmarks/injection_kills.py", "machine": machine(), "kills": given.kills}
        found["targets"] = targets
        store(given.file, found)
    return 0


def _pause(pid: int) -> float | None:
    """Return the longest pause of a hundred injections, in seconds; None if the process refused too often."""
    pauses = []
    for _ in range(100):
        try:
            pauses.append(inject(pid, injections.CALLS).longest_pause_s)
        except PksmError:
            continue
    return max(pauses, default=None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
