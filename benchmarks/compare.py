"""Compares the speed of two revisions, pair by pair: base, head, base, head, on the same loads at the same time.

Each side is built in a worktree of its own (the head: in place, if it is the checkout as it is) and runs in a process
of its own on one CPU; they take turns. The ratio of each pair is head / base in CPU time: below 1, the head is faster.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]


class Failure(Exception):
    """One line to tell: what could not be compared."""


def run(*command, cwd):
    """Run a command in silence; Failure with the last thing it said if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise Failure(f"{' '.join(map(str, command))} failed: {said[-1]}")
    return done.stdout.strip()


@contextmanager
def built(revision):
    """Give a directory with this revision and its extension; None: the checkout as it is."""
    if revision is None:
        run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=ROOT)
        yield ROOT
        return
    with tempfile.TemporaryDirectory(prefix="pksm-compare-") as scratch:
        tree = Path(scratch, "tree")
        run("git", "worktree", "add", "--quiet", "--detach", str(tree), revision, cwd=ROOT)
        try:
            run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=tree)
            yield tree
        finally:
            run("git", "worktree", "remove", "--force", str(tree), cwd=ROOT)


class Side:
    """A process that measures the revision in one directory, when it is told to."""

    def __init__(self, tree, options):
        settings = json.dumps({name: getattr(options, name) for name in ("pages", "order", "batch", "cpu")})
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", settings],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            home = Path(self.ask("home"))
            if not home.is_relative_to(tree):
                raise Failure(f"the process meant to measure {tree} has imported {home}")
        except BaseException:
            self.close()
            raise

    def ask(self, *words):
        """Send a request, and return the answer."""
        try:
            print(*words, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            pass  # what it died of stands on stderr
        answer = self._process.stdout.readline()
        if not answer:
            raise Failure("a measuring process ended: its own message says why")
        return json.loads(answer)

    def close(self):
        """End the process."""
        self._process.communicate()


def worker(settings):
    """Answer requests on stdin until it ends: home, fill LOAD, measure. Only what all revisions have is used."""
    import inspect
    import time

    import numpy as np

    import pksm
    from pksm import FlatHost, Pksmd, Store, preset

    try:
        from pksm.simulation.workloads import make
    except ImportError:  # its place before there were rooms
        from pksm.workloads import make

    os.sched_setaffinity(0, {settings["cpu"]})
    store = Store()
    first, memory = store.allocate(settings["pages"])
    pages = np.arange(first, first + settings["pages"], dtype=np.uint32)
    values = preset("fixed").with_(order=settings["order"], pages_to_scan=settings["batch"], period_seconds=100_000_000)
    promise = {"static": True} if "static" in inspect.signature(FlatHost).parameters else {}
    load = None
    for request in sys.stdin:
        verb, *arguments = request.split()
        if verb == "home":
            answer = str(Path(pksm.__file__).resolve())
        elif verb == "fill":
            load = make(arguments[0], memory)
            answer = None
        else:
            host = FlatHost(store, **promise)
            daemon = Pksmd(host, values)
            began = time.process_time()
            (host.add if hasattr(host, "add") else host.bear)(pages)
            while not daemon.at_rest:
                daemon.wake()
            answer = time.process_time() - began
            found = len(np.unique(host.frame_of[pages]))
            if found != load.expected()["distinct"]:
                raise SystemExit(f"load {load.name}: {load.expected()['distinct']} contents, found {found}")
        print(json.dumps(answer), flush=True)


def compare(options):
    """Measure all loads and print a line for each."""
    with ExitStack() as stack:
        # both are built before anything is measured
        trees = [stack.enter_context(built(revision)) for revision in (options.base, options.head)]
        sides = []
        for tree in trees:
            sides.append(Side(tree, options))
            stack.callback(sides[-1].close)
        print(f"base {options.base}, head {options.head or 'this checkout'}: {options.pages:,} pages, "
              f"order {options.order}, {options.batch:,} pages a wake-up; "
              "CPU time, ns a page; ratio head / base")  # fmt: skip
        for load in options.loads.split(","):
            for side in sides:
                side.ask("fill", load)
                side.ask("measure")  # once for the caches, not counted
            pairs = [[side.ask("measure") * 1e9 / options.pages for side in sides] for _ in range(options.pairs)]
            base, head = (median(times) for times in zip(*pairs, strict=True))
            ratios = [after / before for before, after in pairs]
            told = " ".join(f"{ratio:.3f}" for ratio in ratios)
            print(f"load {load}: base {base:7.1f}  head {head:7.1f}  ratio {median(ratios):.3f}  of {told}", flush=True)


def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/compare.py", description=__doc__.partition("\n")[0])
    parser.add_argument("base", help="a git revision")
    parser.add_argument("--head", metavar="REVISION", help="the other one (default: the checkout as it is)")
    parser.add_argument("--loads", default="f,a,b,e,p", help="names with commas between (%(default)s)")
    parser.add_argument("--pages", type=int, default=65536, help="pages of each load (%(default)s)")
    parser.add_argument("--order", default="checksum-content", help="tree order (%(default)s)")
    parser.add_argument("--batch", type=int, default=65536, help="pages a wake-up (%(default)s)")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of runs (%(default)s)")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the one to use (%(default)s)")
    try:
        compare(parser.parse_args(argv))
    except Failure as failure:
        print(f"benchmarks/compare.py: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(json.loads(sys.argv[2]))
    else:
        sys.exit(main(sys.argv[1:]))
