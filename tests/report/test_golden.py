"""What people see, letter by letter.

The tables are made of a real scan of files that a few lines here describe; only its times are set. When a change of
the output is meant:  PKSM_ACCEPT=1 python -m pytest tests/report/test_golden.py  and look at the difference in git.
"""

import os
import random
from pathlib import Path

import pytest

from pksm import report, sources
from pksm.extents import State
from pksm.report import text
from pksm.scan import Settings, scan
from pksm.sources import opened

from support.memory_sources import GivenSource, data, write_file

GOLDEN = Path(__file__).parent / "golden"
ACCEPT = "PKSM_ACCEPT"
SIZE = 4096


def compare(name, shown):
    path = GOLDEN / name
    if os.environ.get(ACCEPT):
        path.write_text(shown, encoding="utf-8")
    assert path.exists(), f"no {path}: make it with {ACCEPT}=1 python -m pytest {__file__}"
    assert shown == path.read_text(encoding="utf-8"), (
        f"the output is not that of {path}; if it should be new: {ACCEPT}=1 python -m pytest {__file__}"
    )


def with_times_set(result):
    """The one thing that is never twice the same."""
    steps = {name: {"wall_s": 0.25, "cpu_s": 0.25} for name in result["cost"]["steps"]}
    result["cost"] |= {"wall_s": 0.75, "cpu_s": 0.5, "pages_per_s": result["totals"]["pages"] / 0.25, "steps": steps}
    return result


def page_makers():
    rng = random.Random(2024)
    words = b"the quick brown fox jumps over a lazy dog and runs "
    return {
        "zero": lambda: bytes(SIZE),
        "noise": lambda: rng.randbytes(SIZE),
        "text": lambda: (words[rng.randrange(40) :] + words * 100)[:SIZE],
        "tail": lambda: bytes(SIZE - 64) + rng.randbytes(64),
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    make = page_makers()
    rng = random.Random(7)
    common = [make["noise"]() for _ in range(20)] + [make["text"]() for _ in range(6)] + [make["tail"]()] * 3
    guest = [make["zero"]() for _ in range(40)] + common * 2 + [make["noise"]() for _ in range(300)] + [None] * 200
    rng.shuffle(guest)
    directory = tmp_path_factory.mktemp("golden")
    before = os.getcwd()
    os.chdir(directory)
    try:
        write_file("guest.ram", guest, SIZE)
        with opened([lambda: sources.open_target("guest.ram")]) as (found, _):
            one = scan(found, Settings(top=1000))
    finally:
        os.chdir(before)

    def process(pid, name, zero):
        pages = data(*common, *(make["noise"]() for _ in range(150)), *(bytes(SIZE) for _ in range(zero)))
        names = ["[heap]"] * 20 + ["anon"] * (len(pages) - 30) + ["[stack]"] * 10
        pages += [(State.HOLE, None)] * 5000 + [(State.EXCLUDED, None)] * 700
        frames = [*range(1000, 1010), *(0 for _ in range(len(names) - 10))]
        exclusive = [0] * 10 + [1] * (len(names) - 10)
        return GivenSource(f"pid {pid} ({name})", pages, frames, exclusive, [*names, *["libc.so.6"] * 5700])

    several = scan([process(71, "redis-server", 5), process(72, "redis-server", 9), process(4093, "worker", 0)],
                   Settings(top=1000))  # fmt: skip
    nothing = scan([GivenSource("pid 5 (sleep)", [(State.HOLE, None)] * 7)])
    return {"one": with_times_set(one), "several": with_times_set(several), "nothing": with_times_set(nothing)}


@pytest.mark.parametrize("name", ["one", "several", "nothing"])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_scan_table(results, name, width):
    table = report.table(results[name], width)
    assert max(map(len, table.splitlines())) <= width
    compare(f"scan-{name}-{width}.txt", table)


def test_scan_table_in_colour(results):
    colourful = report.table(results["several"], 80, colour=True)
    plain = colourful
    for code in (text.BOLD, text.DIM, text.GREEN, "0"):
        plain = plain.replace(f"\x1b[{code}m", "")
    assert plain == report.table(results["several"], 80) and plain != colourful


def test_scan_csv(results):
    compare("scan-several.csv", report.csv(results["several"]))


def test_features():
    machine = {
        "cpus": 4, "page_size": 4096, "huge_pages": "madvise", "frame_numbers": False, "pagemap_scan": False,
        "process_vm_readv": True, "ptrace_scope": 1, "write_tracking": False, "soft_dirty": True, "injection": True, "kernel_ksm": True,
    }  # fmt: skip
    facts = {
        "schema": "pksm.features/1", "version": "1.2.3", "cpu_levels": ["scalar", "avx2"], "checksums": {"xxh3-64": 64, "jhash2": 32},
        "default_checksum": "xxh3-64", "orders": ["content", "checksum"], "policies": {"pksmd:fixed": "mends", "nobody": "does not"},
        "sources": {"raw": "files", "process": "live"}, "machine": machine,
        "sandbox": {"on": True, "no_new_privs": True, "no_capabilities": True, "landlock": 4, "seccomp": False},
    }  # fmt: skip
    compare("features.txt", report.table(facts))


@pytest.fixture(scope="module")
def simulated():
    from pksm.policies.registry import choose
    from pksm.simulation.run import Settings, simulate

    settings = Settings("fork-family", pages=300, seed=1, sample_ms=20)
    document = simulate(settings, choose("pksmd:fixed", {"pages_to_scan": 50}))
    document["runs"][0]["final"]["steps"] = {}  # the one thing that is never twice the same
    return document


@pytest.mark.parametrize("width", [60, 80, 120])
def test_simulate_table(simulated, width):
    table = report.table(simulated, width)
    assert max(map(len, table.splitlines())) <= max(width, 75)
    compare(f"simulate-{width}.txt", table)


@pytest.fixture(scope="module")
def advised():
    """Two guests that are much alike; only what compressing gives, and this machine, are set."""
    from unittest import mock

    from pksm.advice import Settings as Wanted
    from pksm.advice import advise
    from pksm.engine.cost import PRICES
    from pksm.linux import memory_facts

    make = page_makers()
    common = [make["noise"]() for _ in range(400)]
    guests = [
        GivenSource(name, data(*common, *(make["noise"]() for _ in range(200)), *(bytes(SIZE) for _ in range(zero))))
        for name, zero in (("web.img", 90), ("db.img", 30))
    ]
    with (
        mock.patch("pksm.advice.run.prices_here", return_value=PRICES["6.18"]),
        mock.patch.object(memory_facts, "nodes", return_value=1),
        mock.patch.object(memory_facts, "makes_huge_pages", return_value=True),
    ):
        document = advise(guests, Wanted(least_bytes=100_000))
    return {**document, "compressing": {"sampled": 1000, "percent": 12.0}}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_advise_table(advised, width):
    table = report.table(advised, width)
    assert max(map(len, table.splitlines())) <= max(width, 90)
    compare(f"advise-{width}.txt", table)


def test_advise_csv(advised):
    compare("advise.csv", report.csv(advised))
