"""Measures anew what the documentation quotes, stores it, and writes the tables and figures that show it.

Each result is the JSON of one command, with the command and the data of the machine, in benchmarks/results. What a
machine cannot measure (the kernel's KSM takes root) keeps its old result, and a line says so.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import storing

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FILE = "FILE"  # in a command: where it stores; one without it prints its result
UNSUPPORTED = 77
# name: (file in RESULTS, command)
COMMANDS = {
    "engine": ("1048576.json", "pksm bench --pages 1048576 --load f,a,b,e,p --repeats 3 --json"),
    "kernel": ("against-kernel.json", "pksm bench --against kernel --load b,e,f --pages 65536 --repeats 5 --json"),
    "curve": (
        "curve.json",
        "pksm bench --load a,f --pages 65536,262144,1048576,4194304 --page-size 64 --beside hash-table --repeats 3 --json",
    ),
    "targets": ("targets.json", f"python benchmarks/targets.py --json {FILE}"),
    "checksums": ("checksums.json", f"python benchmarks/checksums.py {FILE}"),
    "profile": ("checksum-profile.json", "pksm checksum profile f --pages 262144 --json"),
    "choices": ("choices.json", f"python benchmarks/proposals.py --to {FILE}"),
    "recording": ("recording.json", f"python benchmarks/recording.py {FILE}"),
    "replay": ("replay.json", f"python benchmarks/replay.py {FILE}"),
    "sandbox": ("sandbox.json", f"python benchmarks/sandbox.py --json {FILE}"),
    "replayed": ("replayed.json", "pksm validate --replay --json"),
    "replayed-hashes": ("replayed-hashes.json", "pksm validate --replay --workload fork-server --track hashes --json"),
    "pair-rule": ("pair-rule.json", f"python benchmarks/pair_rule.py {FILE}"),
    "uksm-truth": ("uksm-truth.json", f"python benchmarks/uksm_truth.py {FILE}"),
    "predict": ("predict.json", "pksm validate --predict --json"),
    "sweep-workers": ("sweep-workers.json", f"python benchmarks/sweep_workers.py --json {FILE}"),
    "advise": ("advise-image.json", f"python benchmarks/advise_image.py --json {FILE}"),
    "compared": ("compared.json", f"python benchmarks/compared.py {FILE}"),
    "policies": ("policies.json", f"python benchmarks/policies.py {FILE}"),
    "fork-families": ("fork-families.json", f"python benchmarks/fork_families.py {FILE}"),
}
FIGURES = {"engine": "bench", "kernel": "against-kernel", "curve": "curve", "profile": "checksum-profile"}


def without_file(command):
    """Return a command as it is quoted: without where it stores."""
    words = shlex.split(command)
    if FILE not in words:
        return command
    at = words.index(FILE)
    return shlex.join(words[: at - 1 if words[at - 1].startswith("--") else at])


def measure(command):
    """Run a command; return (exit code, its result)."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "result.json")
        words = [str(path) if word == FILE else word for word in shlex.split(command)]
        start = [sys.executable, "-m", "pksm"] if words[0] == "pksm" else [sys.executable]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        stored = str(path) in words
        with open(path if not stored else os.devnull, "wb") as out:
            done = subprocess.run([*start, *words[1:]], cwd=ROOT, env=environment, stdout=None if stored else out)
        return done.returncode, path.read_bytes() if path.exists() else b""


def store(name):
    """Measure one result and store it; return whether that went well."""
    file, command = COMMANDS[name]
    began = time.monotonic()
    print(f"{name}: {command}", flush=True)
    code, octets = measure(command)
    if code == UNSUPPORTED:
        print(f"{name}: cannot be measured here: {RESULTS / file} stays as it is")
        return True
    try:
        document = json.loads(octets)
    except ValueError:
        print(f"{name}: exit code {code} and no result", file=sys.stderr)
        return False
    document = {"command": without_file(command), **{key: value for key, value in document.items() if key != "command"}}
    RESULTS.mkdir(exist_ok=True)
    storing.store(RESULTS / file, document)
    print(f"{name}: stored in {RESULTS / file} after {time.monotonic() - began:.0f} s", flush=True)
    return True


def show(names):
    """Write all tables, and the figures of these results; return whether that went well."""
    figures = [FIGURES[name] for name in names if name in FIGURES]
    commands = [["ci/make_tables.py"], *([["ci/make_figures.py", *figures]] if figures else [])]
    codes = [subprocess.run([sys.executable, *words], cwd=ROOT).returncode for words in commands]  # all are run
    return not any(codes)


def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/run.py", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"results: {', '.join(COMMANDS)} (default: all)")
    options = parser.parse_args(argv)
    for name in options.names:
        if name not in COMMANDS:
            print(f"benchmarks/run.py: unknown result {name!r}: choose from {', '.join(COMMANDS)}", file=sys.stderr)
            return 2
    names = options.names or list(COMMANDS)
    try:
        went_well = [store(name) for name in names]
        return 0 if all(went_well) and show(names) else 1
    except OSError as error:
        print(f"benchmarks/run.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
