"""One target in Python under atheris: python -m fuzz.guided NAME CORPUS... -OPTION=VALUE... as libFuzzer takes them."""

import os
import resource
import sys
import time
from pathlib import Path

import atheris

from fuzz import ROOT

# Beyond what is in use at the start: what only a header promises is never allocated, whether it is touched or not.
MOST_BYTES = 1 << 30
LEAST_SECONDS = 2


def main(argv: list[str]) -> None:
    """Fuzz until the options end it."""
    sys.path.append(str(ROOT / "tests"))
    name, *rest = argv
    with atheris.instrument_imports(include=["pksm"], enable_loader_override=False):
        from fuzz.bounds import attempt
        from fuzz.targets.table import target

        run = target(name).run
        for seed in target(name).seeds():  # loads what is loaded late
            attempt(run, seed)
    in_use = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MOST_BYTES,) * 2)
    atheris.Setup([sys.argv[0], *map(_less_the_start, rest)], lambda data: attempt(run, data))
    atheris.Fuzz()


def _less_the_start(option: str) -> str:
    """Return an option; of the time to fuzz, what loading modules has left, or little."""
    name, _, seconds = option.partition("=")
    if name != "-max_total_time":
        return option
    with open("/proc/self/stat", "rb") as stat:
        started = int(stat.read().rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    took = time.clock_gettime(time.CLOCK_BOOTTIME) - started
    return f"{name}={max(LEAST_SECONDS, round(int(seconds) - took))}"


if __name__ == "__main__":
    main(sys.argv[1:])
