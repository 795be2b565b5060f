"""Measures recordings as files and as workloads: `python benchmarks/replay.py [FILE]`.

Many pages are born, and then 1 % of them are written in each sample: a tenth of the writes makes copies of other pages.
The file is written, read back, checked and played by nobody and by ksmd. What comes out is compared with what went in.
Writes JSON to FILE and prints a line; no verdict, but the targets beside.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
from storing import store

from pksm.bench.run import machine
from pksm.policies.registry import choose
from pksm.recording import Block, Kind, Recording, Writer
from pksm.simulation import RecordedWrites, Settings, simulate

SHARE, COPIES = 0.01, 0.1


class Memory:
    """Pages with contents that are written at random: what is recorded, and what has to come out."""

    def __init__(self, pages: int, samples: int) -> None:
        self.samples = samples
        self.contents = np.arange(1, pages + 1, dtype=np.uint32)
        self._next = pages + 1
        self._rng = np.random.default_rng(1)
        self.events = 0

    def blocks(self) -> Iterator[Block]:
        """Yield what happens, sample by sample."""
        n = len(self.contents)
        begin = (("start", 1, "memory"), ("map", 0, n, "anon", True))
        yield self._block(0, begin, np.arange(n, dtype=np.uint64), Kind.BIRTH)
        for sample in range(1, self.samples):
            pages = np.unique(self._rng.integers(0, n, int(SHARE * n)))
            new = np.arange(self._next, self._next + len(pages), dtype=np.uint32)
            self._next += len(pages)
            copied = self._rng.random(len(pages)) < COPIES
            new[copied] = self.contents[self._rng.integers(0, n, int(copied.sum()))]
            self.contents[pages] = new
            yield self._block(1000 * sample, (), pages.astype(np.uint64), Kind.WRITE)

    def _block(self, ms: int, operations: tuple, pages: np.ndarray, kind: Kind) -> Block:
        self.events += len(pages)
        kinds = np.full(len(pages), kind, np.uint8)
        return Block(ms, 0, operations, pages, kinds, self.contents[pages.astype(np.int64)])


def timed(work) -> tuple[float, object]:
    """Return (seconds of CPU, what it returned)."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def written(path: str, memory: Memory) -> dict:
    """Write a recording; return what that took."""
    writer, seconds = Writer(path, {"page_size": 4096, "every_ms": 1000}), 0.0
    for block in memory.blocks():
        took, _ = timed(lambda block=block: writer.add(block))
        seconds += took
    took, _ = timed(lambda: writer.close({"ms": 1000 * memory.samples}))
    size = os.path.getsize(path)
    return {
        "pages": len(memory.contents),
        "samples": memory.samples,
        "events": memory.events,
        "bytes": size,
        "bytes_per_event": round(size / memory.events, 3),
        "write_ns_per_event": round(1e9 * (seconds + took) / memory.events, 1),
    }


def read(path: str, memory: Memory) -> float:
    """Read a recording to its end, compare what it comes to with memory, and return ns of CPU per event."""
    contents = np.zeros(len(memory.contents), np.uint32)
    found = 0
    seconds = 0.0
    with Recording(path) as recording:
        blocks = recording.blocks()
        while True:
            took, block = timed(lambda: next(blocks, None))
            seconds += took
            if block is None:
                break
            contents[block.pages.astype(np.int64)] = block.contents
            found += len(block.pages)
    assert found == memory.events, "there are not as many events as were written"
    assert np.array_equal(contents, memory.contents), "what was read is not what was written"
    return round(1e9 * seconds / memory.events, 1)


def played(path: str, memory: Memory) -> dict:
    """Check and play a recording; return events per second of CPU of each."""
    took, recorded = timed(lambda: RecordedWrites.opened(path))
    spare = len(memory.contents) - len(np.unique(memory.contents))
    with Recording(path) as recording:
        state = recording.check()
    assert state.lives.spare == spare
    assert np.array_equal(state.spaces[0].contents, memory.contents)
    found = {"check_events_per_s": round(memory.events / took)}
    for policy in ("nobody", "ksmd"):
        took, document = timed(lambda policy=policy: simulate(Settings(recorded, sample_ms=None), choose(policy)))
        final = document["runs"][0]["final"]
        assert final["ms"] == 1000 * memory.samples
        assert final["counters"]["frames_used"] == len(memory.contents) - final["counters"]["frames_saved"]
        found[f"{policy}_events_per_s"] = round(memory.events / took)
    return found


def table(document: dict) -> list[str]:
    """Return the lines of the table of a document of this script."""
    large, played = document["large"], document["played"]
    return [
        "| recordings | measured | aim |",
        "|---|--:|--:|",
        f"| {large['pages']:,} pages, {large['samples']:,} samples, 1 % written in each: events | {large['events']:,} | |",
        f"| the same: file | {large['bytes'] / 1e6:.0f} MB | at most 250 MB |",
        f"| the same: per event | {large['bytes_per_event']:.2f} bytes | at most 2 |",
        f"| {played['pages']:,} pages: what it says of the memory, events per second of CPU | "
        f"{played['check_events_per_s'] / 1e6:.2f} M | |",
        f"| the same, played if nobody merges | {played['nobody_events_per_s'] / 1e6:.2f} M | at least 2 M |",
        f"| the same, played with ksmd's own work | {played['ksmd_events_per_s'] / 1e6:.2f} M | |",
    ]


def main(words: list[str]) -> int:
    """Measure, print and store; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="where the JSON goes")
    parser.add_argument("--pages", type=int, default=10_000_000, help="of the recording whose size is measured")
    parser.add_argument("--samples", type=int, default=1000, help="of it")
    parser.add_argument("--played-pages", type=int, default=1_000_000, help="of the recording that is played")
    parser.add_argument("--played-samples", type=int, default=100, help="of it")
    given = parser.parse_args(words)
    found: dict = {"command": "python benchmarks/replay.py", "machine": machine()}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "small.pksmrec")
        memory = Memory(given.played_pages, given.played_samples)
        found["played"] = written(path, memory) | {"read_ns_per_event": read(path, memory)} | played(path, memory)
        path = os.path.join(folder, "large.pksmrec")
        memory = Memory(given.pages, given.samples)
        found["large"] = written(path, memory) | {"read_ns_per_event": read(path, memory)}
    large = found["large"]
    print(
        f"{large['events']:,} events: {large['bytes'] / 1e6:.0f} MB (target 250); played by nobody at "
        f"{found['played']['nobody_events_per_s'] / 1e6:.2f} M events/s (target 2), by ksmd at "
        f"{found['played']['ksmd_events_per_s'] / 1e6:.2f}; checked at {found['played']['check_events_per_s'] / 1e6:.2f}"
    )
    store(given.file, found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
