"""pksm simulate: what it prints, its document, and one line for whatever is wrong."""

import csv
import io
import json
import signal
from dataclasses import replace

import pytest

from pksm.cli.main import main
from pksm.cli.verbs import simulate as verb
from pksm.engine.cost import PRICES
from pksm.policies.pksmd.counters import COUNTERS
from pksm.recording import Kind
from pksm.simulation import prices, workloads
from pksm.simulation.pace import IDEAL, PACES

from support.cli_runs import is_one_line, run, start
from support.recordings import block, recorded
from support.simulating import TRACE, document, only_run


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(TRACE)
    return path


def test_the_document(trace, capfd):
    found = document(capfd, trace, "--frames", "50", "--sample", "1000")
    assert found["schema"] == "pksm.simulate/1" and not found["interrupted"]
    assert (found["workload"], found["page_size"], found["frames"]) == (str(trace), 4096, 50)
    assert found["unmerged"] == [], "only several policies are compared with nobody"
    [run] = found["runs"]
    assert run["policy"] == "pksmd:fixed" and run["tunables"]["pages_to_scan"] == 1000
    settled, written = run["readings"]
    assert (settled["label"], settled["ms"], settled["reached_ms"]) == ("settled", 2500, 0)
    assert (written["ms"], written["reached_ms"]) == (2500, 2500), "a page was written then"
    assert set(settled["counters"]) == {*COUNTERS, "frames_used", "frames_saved"}
    assert {name: settled["counters"][name] for name in ("pages_shared", "pages_sharing", "pages_unshared")} == {
        "pages_shared": 1, "pages_sharing": 2, "pages_unshared": 1}  # fmt: skip
    assert (settled["counters"]["frames_used"], written["counters"]["frames_used"]) == (2, 3)
    series, final = run["series"], run["final"]
    assert series["columns"] == ["ms", *settled["counters"]]
    assert [row[0] for row in series["rows"]] == [0, 1000, 2000, 2500]
    assert series["rows"][-1][1:] == list(final["counters"].values()) == list(written["counters"].values())
    assert final["ms"] == 2500 and final["wakes"] == 126 and final["metadata_bytes"] > 0
    assert final["merges"] == {"count": 2, "wait_ms": {"p50": 0, "p90": 0, "p99": 0, "p100": 0}}
    assert final["cost"]["pages_visited"] == 4


def test_prices_that_were_measured_here_hold_where_files_are_parsed_apart(trace, capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    prices.store(replace(PRICES["6.18"], source="measured by a test", visit_ns=1e6))
    with recorded([block(0, 0, [("start", 1, "web"), ("map", 0, 2, "heap", False)], [(0, Kind.BIRTH, 1)])], 99) as path:
        for played in (trace, path):
            for switch in ("on", "off"):
                monkeypatch.setenv("PKSM_SANDBOX", switch)
                found = document(capfd, played)
                assert found["prices"]["source"] == "measured by a test"
                assert found["runs"][0]["final"]["cpu"]["seconds"] > 1e-3, "a visit costs a millisecond"


def test_the_end_can_be_given(trace, capfd):
    """Not at the last wake-up before, nor at the workload's end: exactly there."""
    early = only_run(capfd, trace, "--until", "1010")
    assert early["final"]["ms"] == 1010 and early["readings"] == []
    late = only_run(capfd, trace, "--until", "9999")
    assert late["final"]["ms"] == 9999 and len(late["readings"]) == 2


def test_presets_and_settings(trace, capfd):
    found = only_run(capfd, trace, "--policy", "pksmd:android-3.4", "--set", "sleep_millisecs=7", "--set", "run=0")
    assert found["policy"] == "pksmd:android-3.4" and found["tunables"]["sleep_millisecs"] == 7
    assert "lifo-batch" in found["tunables"]["quirks"] and found["final"]["wakes"] == 0
    assert found["final"]["counters"]["pages_sharing"] == 0 and found["final"]["merges"]["wait_ms"] is None


@pytest.mark.parametrize("name", ["b", "d"])
def test_loads_by_name(name, capfd):
    found = document(capfd, name, "--pages", "200", "--seed", "3")
    assert found["frames"] == 131072 and found["seed"] == 3
    [run] = found["runs"]
    saved = run["readings"][0]["counters"]["frames_saved"]
    assert saved == {"b": 50, "d": 60}[name] and run["final"]["merges"]["count"] == saved


def test_csv(trace, capfd):
    done = run(capfd, "simulate", "--csv", trace, "--sample", "1000")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [(row["label"], row["ms"]) for row in rows] == [
        ("", "0"), ("", "1000"), ("", "2000"), ("", "2500"), ("settled", "2500"), ("written", "2500")]  # fmt: skip
    assert rows[4]["pages_sharing"] == "2"


def test_table_fits_and_tells(trace, capfd, monkeypatch):
    for width in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        done = run(capfd, "simulate", trace)
        assert max(map(len, done.out.splitlines())) <= max(width, 70)
        for words in ("settled", "written", "sharing", "Over time", "Merging saves", "wake-ups"):
            assert words in done.out


def test_a_hang_is_told(tmp_path, capfd):
    """W9: a page of an mlocked mapping meets a kept page that is not mlocked; the published pksmd sleeps for ever."""
    path = tmp_path / "mlock.jsonl"
    path.write_text(
        '{"op": "spawn", "process": "p"}\n'
        '{"op": "mmap", "process": "p", "n": 2, "name": "a"}\n{"op": "mmap", "process": "p", "n": 2, "name": "b"}\n'
        '{"op": "write", "process": "p", "address": "a", "content": [1, 2]}\n'
        '{"op": "mlock", "process": "p", "address": "b", "n": 2}\n'
        '{"op": "write", "process": "p", "address": "b", "content": [1, 3]}\n'
        '{"op": "wait", "ms": 1000}\n'
    )
    assert only_run(capfd, path)["final"]["hung"] is None
    found = only_run(capfd, path, "--policy", "pksmd:android-3.4")
    assert "pksmd hangs" in found["final"]["hung"] and found["final"]["wakes"] == 1
    assert "pksmd hangs" in run(capfd, "simulate", path, "--policy", "pksmd:android-3.4").out


@pytest.mark.parametrize(
    "arguments, words, code",
    [
        ([], ["say what to simulate", "such as b", "--list"], 2),
        (["zz"], ["no workload and no file 'zz'", "a, b, c"], 2),
        (["b", "--pages", "0"], ["workload b of 0 pages"], 2),
        (["b", "--seed", "-1"], ["seed -1"], 2),
        (["b", "--frames", "0"], ["0 frames"], 2),
        (
            ["b", "--pages", "100", "--frames", "50"],
            ["write: out of frames: 100 needed", "raise the argument frames"],
            1,
        ),
        (["b", "--until", "-5"], ["--until"], 2),
        (["b", "--sample", "0"], ["sample_ms=0"], 2),
        (["b", "--policy", "pksmd:v9"], ["v9", "fixed, v0.1"], 2),
        (["b", "--set", "period_seconds=0"], ["period_seconds=0", "from 1"], 2),
        (["b", "--set", "sleep_millisecs=-1"], ["sleep_millisecs=-1", "from 0"], 2),
        (["b", "--json", "--csv"], ["--csv", "--json"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage(arguments, words, code, capfd):
    done = run(capfd, "simulate", *arguments)
    assert (done.code, done.out) == (code, "") and is_one_line(done.err, *words)


def test_a_state_is_reached_long_before_it_is_read(tmp_path, capfd):
    """Eight pages at 4 a wake-up, at 0 and at 20 ms; then nothing changes, whenever somebody looks."""
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"op": "spawn", "process": "p"}\n{"op": "mmap", "process": "p", "n": 8, "name": "a"}\n'
        '{"op": "write", "process": "p", "address": "a", "n": 8, "content": {"base": 1, "mod": 4}}\n'
        '{"op": "wait", "ms": 700}\n{"op": "read", "label": "waited"}\n'
        '{"op": "until_rest"}\n{"op": "read", "label": "settled"}\n'
    )
    slow = only_run(capfd, path, "--set", "pages_to_scan=4")
    assert [(reading["ms"], reading["reached_ms"]) for reading in slow["readings"]] == [(700, 20), (3200, 20)]
    assert slow["final"]["reached_ms"] == 20
    table = run(capfd, "simulate", path, "--policy", "pksmd:fixed,pksmd:v0.2").out.splitlines()
    [row] = [line.split("  ") for line in table if line.startswith("waited")]
    assert [cell.strip() for cell in row if cell] == ["waited", "8", "4 at 0 ms", "4 at 0 ms"]


def test_interrupted_it_prints_what_was_gathered(tmp_path):
    path = tmp_path / "endless.py"
    path.write_text(
        "import sys\n"
        "def workload(machine, sim):\n"
        "    sim.read('begun')\n"
        "    print('on', file=sys.stderr, flush=True)\n"
        "    while True:\n"
        "        sim.run(sim.now + 1000)\n"
    )
    with start("simulate", "--json", "--sample", "1000000", path) as process:
        assert process.stderr.readline() == "on\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    found = json.loads(out)
    assert found["interrupted"] and found["runs"][0]["readings"][0]["label"] == "begun"


def test_nobody_alone_and_beside_others(trace, capfd):
    alone = only_run(capfd, trace, "--policy", "nobody")
    assert alone["tunables"] == {} and alone["final"]["counters"] == {"frames_used": 4, "frames_saved": 0}
    for policies in ("nobody", "nobody,pksmd,ksmd"):
        done = run(capfd, "simulate", trace, "--policy", policies)
        assert done.code == 0 and "under nobody" in done.out


def test_a_workload_of_one_page(capfd):
    assert main(["simulate", "opted-in", "--pages", "1"]) == 0


def test_every_workload_has_a_sentence_and_a_maker():
    from pksm.simulation.workloads.registry import MAKERS

    assert list(MAKERS) == list(workloads.WORKLOADS) and all(workloads.WORKLOADS.values())


@pytest.mark.parametrize(
    ("mergeable", "policy", "said"), [(False, "ksmd", True), (True, "ksmd", False), (False, "pksmd", False)]
)
def test_ksmd_says_that_nobody_has_opted_in(tmp_path, capfd, mergeable, policy, said):
    path = tmp_path / "work.py"
    path.write_text(
        "import numpy as np\n"
        "def workload(machine, sim):\n"
        "    mm = machine.spawn()\n"
        f"    at = machine.mmap(mm, 4, mergeable={mergeable})\n"
        "    machine.write(mm, at, np.ones((4, 4096), np.uint8))\n"
        "    sim.run(500)\n"
    )
    done = run(capfd, "simulate", str(path), "--policy", policy, "--json")
    document = json.loads(done.out)
    lines = [line for line in document["warnings"] if "opted in" in line]
    assert len(lines) == said and all("MADV_MERGEABLE" in line for line in lines)
    assert done.code == 0 and ("opted in" in done.err) == said


@pytest.mark.parametrize("extra", [["--pid", "1"], ["b"], ["--opted-in"], ["--within", "user"], ["--page-size", "4K"]])
def test_what_is_played_is_played_alone(trace, capfd, extra):
    done = run(capfd, "simulate", trace, *extra)
    assert done.code == 2 and is_one_line(done.err) and str(trace) in done.err


def test_the_pace_of_a_kernel_takes_longer(capfd):
    told = ["b", "--pages", "400", "--policy", "ksmd"]
    ideal, kernel = (document(capfd, *told, "--pace", pace) for pace in ("ideal", "kernel"))
    assert (ideal["pace"], kernel["pace"]) == ("ideal", "kernel")
    assert kernel["runs"][0]["final"]["ms"] > ideal["runs"][0]["final"]["ms"]
    assert "tick of the timer" in run(capfd, "simulate", *told, "--pace", "kernel").out
    assert "tick of the timer" not in run(capfd, "simulate", *told).out


def test_the_paces_are_those_of_the_simulation():
    assert set(verb.PACES) == set(PACES) and verb.IDEAL == IDEAL


def test_an_unknown_pace_is_one_line(capfd):
    done = run(capfd, "simulate", "b", "--pace", "slow")
    assert done.code == 2 and is_one_line(done.err, "--pace")
