"""Fuzzes all targets, two at a time, for some seconds in total: prints what was run, and keeps what was found.

python -m fuzz.run [--seconds N] [--seed N] [--json FILE] [TARGET...]
"""

import argparse
import datetime
import hashlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from fuzz import FOUND, ROOT, core

sys.path.append(str(ROOT / "tests"))

from fuzz.target import MOST_BYTES, dictionary
from fuzz.targets.table import NAMES, target
from pksm.linux import system
from pksm.report.text import columns

SCHEMA = "pksm.fuzz/1"
BUILD = ROOT / "build" / "fuzz"
PROCESSES = 2
TIMEOUT_SECONDS = 60  # of an input, by the clock: whatever takes that long never ends
MEMORY_MIB = 2048
LOG_LINES = 30  # of what was found
NOTHING_TO_RUN = 77
COUNTS = re.compile(r"^#(\d+)\t.*?cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)
EXECUTIONS = re.compile(r"^stat::number_of_executed_units: (\d+)", re.MULTILINE)


class Job(NamedTuple):
    """One target, ready to be run: its name, and the command without libFuzzer's options."""

    name: str
    command: list[str]


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description=(__doc__ or "").partition("\n")[0])
    known = [*NAMES, *core.targets()]
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"which (all): {', '.join(known)}")
    parser.add_argument("--seconds", type=float, default=120, help="of all targets together (%(default)s)")
    parser.add_argument("--seed", type=int, metavar="N", help="of libFuzzer's random numbers (another one each time)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to store the result")
    options = parser.parse_args(argv)
    for name in options.targets:
        if name not in known:
            parser.error(f"unknown target {name!r}: choose from {', '.join(known)}")
    options.targets = options.targets or known
    return options


def main(argv: Sequence[str]) -> int:
    """Run and return the exit code: 1 when something was found, 77 when no target can be run here."""
    options = parse(argv)
    try:
        jobs = jobs_of(options.targets)
    except core.BuildError as error:
        print(f"fuzz: the targets in C do not compile:\n{error}", file=sys.stderr)
        return 1
    if not jobs:
        return NOTHING_TO_RUN
    if options.seed is not None:
        jobs = [Job(job.name, [*job.command, f"-seed={options.seed}"]) for job in jobs]
    document = fuzz(jobs, options.seconds, lambda line: print(line, file=sys.stderr))
    document = {"command": shlex.join(["python", "-m", "fuzz.run", *argv]), **document}
    print(table(document), end="")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 1 if any(row["found"] for row in document["targets"].values()) else 0


def jobs_of(names: Sequence[str]) -> list[Job]:
    """Return the jobs of those targets that can be run here; a line on stderr says which can't, and why."""
    jobs = []
    ours, c_names = [name for name in names if name in NAMES], [name for name in names if name not in NAMES]
    if ours and importlib.util.find_spec("atheris") is None:
        print(f"fuzz: no atheris here (there are wheels for CPython 3.11 to 3.14 on x86-64): skipped {', '.join(ours)}",
              file=sys.stderr)  # fmt: skip
    else:
        jobs += [Job(name, [sys.executable, "-m", "fuzz.guided", name]) for name in ours]
    compiler = core.fuzzing_compiler() if c_names else None
    if c_names and compiler is None:
        print(f"fuzz: no clang with libFuzzer here (Debian: clang, libclang-rt-dev): skipped {', '.join(c_names)}",
              file=sys.stderr)  # fmt: skip
    elif compiler is not None:
        programs = core.build(compiler, BUILD / "c", c_names, fuzzing=True)
        jobs += [Job(name, [str(program)]) for name, program in programs.items()]
    return jobs


def fuzz(jobs: Sequence[Job], seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Run jobs for so many seconds in total and return the document. say: gets lines about what was found."""
    each = max(1, round(seconds * min(PROCESSES, len(jobs)) / len(jobs)))
    started = time.monotonic()
    with ThreadPoolExecutor(PROCESSES) as pool:
        rows = dict(zip([job.name for job in jobs], pool.map(lambda job: run_one(job, each, say), jobs), strict=True))
    return {
        "schema": SCHEMA,
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "revision": _revision(),
        "machine": system.machine(),
        "seconds": round(time.monotonic() - started, 1),
        "executions": sum(row["executions"] for row in rows.values()),
        "targets": rows,
    }


def run_one(job: Job, seconds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Fuzz one target and return its row: executions, coverage, and the names of new finds."""
    corpus, seeds, found = BUILD / "corpus" / job.name, BUILD / "seeds" / job.name, FOUND / job.name
    corpus.mkdir(parents=True, exist_ok=True)
    seeds.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-timeout={TIMEOUT_SECONDS}", f"-rss_limit_mb={MEMORY_MIB}",
               "-print_final_stats=1"]  # fmt: skip
    for number, seed in enumerate(target(job.name).seeds() if job.name in NAMES else core.seeds(job.name)):
        (seeds / str(number)).write_bytes(seed)
    if job.name in NAMES:
        one = target(job.name)
        words = BUILD / f"{job.name}.dict"
        words.write_text(dictionary(one.words), encoding="ascii")
        options += [f"-max_len={one.most_bytes}", *([f"-dict={words}"] if one.words else [])]
    else:
        options.append(f"-max_len={MOST_BYTES}")
    places = [str(place) for place in (corpus, seeds, found) if place.is_dir()]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as artifacts:
        command = [*job.command, *places, *options, f"-artifact_prefix={artifacts}/"]
        done = subprocess.run(command, cwd=ROOT, env=core.environment(), stdin=subprocess.DEVNULL, capture_output=True,
                              check=False)  # fmt: skip
        traceback, log = (stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr))
        new = [_keep(path, found) for path in sorted(Path(artifacts).iterdir()) if not path.name.startswith("slow-")]
    if done.returncode and not new:
        new = [f"exit code {done.returncode}"]
    if new:
        last = "\n".join((traceback or log).splitlines()[-LOG_LINES:])
        say(f"fuzz: {job.name}: found {', '.join(new)}; what it said last:\n{last}\n")
    return {**counts_of(log), "seconds": round(time.monotonic() - started, 1), "found": new}


def counts_of(log: str) -> dict[str, int]:
    """Return what libFuzzer's log says: executions, edges covered, features, inputs in the corpus."""
    lines = COUNTS.findall(log)
    executions, *others = map(int, lines[-1]) if lines else (0, 0, 0, 0)
    total = EXECUTIONS.findall(log)
    return {"executions": int(total[-1]) if total else executions} | dict(
        zip(("coverage", "features", "corpus"), others, strict=True)
    )


def table(document: dict[str, Any]) -> str:
    """Return the document as people read it."""
    rows = [["target", "executions", "coverage", "features", "corpus", "seconds", "found"]]
    for name, row in document["targets"].items():
        numbers = [f"{row[key]:,}" for key in ("executions", "coverage", "features", "corpus", "seconds")]
        rows.append([name, *numbers, ", ".join(row["found"]) or "nothing"])
    machine = document["machine"]
    return "\n".join([
        *columns(rows, right=range(1, 6)),
        f"{document['executions']:,} executions in {document['seconds']:,} s on {machine['cpu']}, {machine['cores']} cores",
        "",
    ])  # fmt: skip


def _keep(artifact: Path, found: Path) -> str:
    """Put an input with the regression tests and return its name, which begins with the kind of its fault."""
    data = artifact.read_bytes()
    name = f"{artifact.name.partition('-')[0]}-{hashlib.sha256(data).hexdigest()[:12]}"
    found.mkdir(parents=True, exist_ok=True)
    (found / name).write_bytes(data)
    return name


def _revision() -> str | None:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
