"""pksm simulate: what it prints, its document, and one line for whatever is wrong."""

import csv
import io
import json
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest

from pksm.cli.main import main
from pksm.cli.verbs import simulate as verb
from pksm.engine.cost import PRICES
from pksm.policies.pksmd.counters import COUNTERS
from pksm.recording import Block, Kind, Writer
from pksm.simulation import OPERATIONS, prices, workloads
from pksm.simulation.pace import IDEAL, PACES

from support.cli_runs import is_one_line, run, start
from support.recordings import block, recorded

TRACE = """
{"op": "spawn", "process": "p"}
{"op": "mmap", "process": "p", "n": 4, "name": "a"}
{"op": "write", "process": "p", "address": "a", "content": [1, 1, 2, 0]}
{"op": "until_rest"}
{"op": "read", "label": "settled"}
{"op": "write", "process": "p", "address": "a", "content": 3}
{"op": "read", "label": "written"}
"""


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(TRACE)
    return path


def document(capfd, *arguments):
    done = run(capfd, "simulate", "--json", *arguments)
    assert done.code == 0 and done.err == "", done.err
    return json.loads(done.out)


def only_run(capfd, *arguments):
    """The run of a document about one policy."""
    [run] = document(capfd, *arguments)["runs"]
    return run


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


def test_scripts(tmp_path, capfd):
    path = tmp_path / "work.py"
    path.write_text("def workload(machine, sim):\n    sim.run(77)\n    sim.read('x')\n")
    assert only_run(capfd, path)["readings"][0]["ms"] == 77


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


def test_malformed_traces_and_scripts_are_one_line(tmp_path, capfd):
    trace = tmp_path / "t.jsonl"
    trace.write_text('{"op": "spawn", "process": "p"}\n{"op": "mmap", "process": "p", "n": 0}\n')
    done = run(capfd, "simulate", trace)
    assert done.code == 2 and is_one_line(done.err, f"{trace}, line 2: field n: must be a whole number from 1")
    trace.write_text('{"op": "exit", "process": "p"}\n')
    done = run(capfd, "simulate", trace)
    assert done.code == 2 and is_one_line(done.err, "line 1: exit: no process 'p'")
    script = tmp_path / "s.py"
    script.write_text("def workload(machine, sim):\n    return 1 // 0\n")
    done = run(capfd, "simulate", script)
    assert done.code == 1 and is_one_line(done.err, f"{script}, line 2: ZeroDivisionError")


EVERY_OPERATION = """
{"t": 0, "op": "spawn", "process": "p"}
{"op": "mmap", "process": "p", "n": 8, "address": "0x10000000", "name": "a", "writable": true, "mergeable": true}
{"op": "write", "process": "p", "address": "a", "n": 8, "content": {"base": 1, "mod": 2}, "patches": [[7, 1, 9]]}
{"op": "patch", "process": "p", "address": "a", "patches": [[0, 3, 5]]}
{"op": "touch", "process": "p", "address": "a", "n": 8, "writing": true}
{"op": "read", "process": "p", "address": "a", "n": 8}
{"op": "mprotect", "process": "p", "address": "a", "n": 2, "writable": false}
{"op": "mlock", "process": "p", "address": "a", "first": 4, "n": 2}
{"op": "munlock", "process": "p", "address": "a", "first": 4, "n": 2}
{"op": "pin", "process": "p", "address": "a", "first": 4, "name": "held"}
{"op": "unpin", "name": "held"}
{"op": "lock_page", "process": "p", "address": "a", "first": 4, "name": "held"}
{"op": "unlock_page", "name": "held"}
{"op": "drain"}
{"op": "swap_out", "process": "p", "address": "a", "first": 4, "n": 4}
{"op": "swap_in", "process": "p", "address": "a", "first": 4, "n": 4}
{"op": "migrate", "process": "p", "address": "a", "n": 8}
{"op": "madvise", "process": "p", "address": "a", "first": 7, "n": 1, "advice": "DONTNEED"}
{"op": "mmap", "process": "p", "n": 512, "address": "0x20000000", "name": "huge", "stack": false}
{"op": "thp_fault", "process": "p", "address": "huge"}
{"op": "thp_split", "process": "p", "address": "huge"}
{"op": "mremap", "process": "p", "address": "huge", "n": 512, "new_n": 500}
{"op": "munmap", "process": "p", "address": "huge", "n": 500}
{"op": "fork", "process": "p", "child": "c"}
{"op": "exit", "process": "p"}
{"op": "set", "name": "pages_to_scan", "value": 3}
{"op": "wait", "ms": 10}
{"op": "until_rest", "quiet_ms": 100, "limit_ms": 100000}
{"op": "read", "label": "end"}
"""


@pytest.mark.parametrize("policy", ["pksmd:fixed", "ksmd:ksm-6.11"])
def test_every_operation_can_be_played(tmp_path, capfd, policy):
    """By the verb, from a file. Pages 2 4 6 share and 1 3 5 do; 0 is patched, 7 is empty."""
    lines = EVERY_OPERATION.strip().splitlines()
    assert {json.loads(line)["op"] for line in lines} == set(OPERATIONS)
    path = tmp_path / "every.jsonl"
    path.write_text(EVERY_OPERATION)
    [reading] = only_run(capfd, path, "--policy", policy, "--sample", "1000")["readings"]
    assert reading["label"] == "end"
    assert {name: reading["counters"][name] for name in ("pages_shared", "pages_sharing", "frames_used")} == {
        "pages_shared": 2, "pages_sharing": 4, "frames_used": 3}  # fmt: skip


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


def test_a_trace_from_a_pipe_is_played_once(tmp_path, capfd):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text(TRACE))
    writer.start()
    assert len(only_run(capfd, path)["readings"]) == 2
    writer.join()
    done = run(capfd, "simulate", path, "--policy", "ksmd,pksmd")
    assert done.code == 2 and is_one_line(done.err, "can be read only once")


def test_a_trace_from_a_pipe_without_a_name_is_played(capfd):
    read, write = os.pipe()
    os.write(write, TRACE.encode())
    os.close(write)
    assert len(only_run(capfd, f"/dev/fd/{read}")["readings"]) == 2
    os.close(read)


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


def test_a_trace_may_set_what_only_one_of_the_policies_has(tmp_path, capfd):
    """And nobody, who is played beside them, has nothing to set."""
    path = tmp_path / "t.jsonl"
    path.write_text(
        '{"op": "spawn", "process": "a"}\n{"op": "mmap", "process": "a", "n": 8, "name": "h", "mergeable": true}\n'
        '{"op": "write", "process": "a", "address": "h", "content": {"base": 1, "mod": 4}, "n": 8}\n'
        '{"op": "set", "name": "smart_scan", "value": 0}\n{"op": "set", "name": "pages_to_scan", "value": 5}\n'
        '{"op": "until_rest"}\n'
    )
    assert main(["simulate", str(path), "--policy", "ksmd,pksmd", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["unmerged"] == [{"label": None, "frames_used": 8}]
    assert [run["final"]["counters"]["frames_used"] for run in document["runs"]] == [4, 4]
    assert main(["simulate", str(path)]) == 2
    assert "line 4: set: unknown tunable 'smart_scan'" in capfd.readouterr().err


def test_several_policies_have_the_same_script(tmp_path, capfd):
    """Its variables are new for each, and what it puts off happens to nobody's memory too."""
    path = tmp_path / "s.py"
    path.write_text(
        "from __future__ import annotations\nimport random\nfrom dataclasses import dataclass\n"
        "rng = random.Random(1)\n@dataclass\nclass Box:\n    n: int\n"
        "def workload(machine, sim):\n    mm = machine.spawn(); at = machine.mmap(mm, 10, mergeable=True)\n"
        "    machine.write(mm, at, list(range(1, Box(rng.randrange(2, 9)).n + 1))); sim.read('x')\n"
        "    sim.at(500, lambda: machine.write(mm, at, list(range(20, 30))))\n"
    )
    assert main(["simulate", str(path), "--policy", "ksmd,pksmd", "--until", "1000", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    then, last = document["unmerged"]
    assert then["label"] == "x" and last == {"label": None, "frames_used": 10}
    for one in document["runs"]:
        assert one["readings"][0]["counters"]["frames_used"] == then["frames_used"]
        assert one["final"]["counters"]["frames_used"] == 10


@pytest.mark.parametrize(
    "line, said",
    [
        ('{"op":"mmap","process":"a","n":4,"address":"heap"}', "mmap: address 'heap': must be a number"),
        ('{"op":"set","name":"quirks","value":5}', "set: quirks=5: must be names of quirks"),
        ('{"op":"write","process":"a","address":4096,"n":140737488355327,"content":1}', "write: 140737488355327 pages"),
        (
            '{"op":"write","process":"a","address":"big","n":20000000000,"content":1}',
            "write: out of frames: 20000000000 needed",
        ),
        (
            '{"op":"write","process":"a","address":"big","n":20000000000,"content":{"base":1,"mod":2}}',
            "write: out of frames: 20000000000 needed",
        ),
    ],
)
def test_odd_values_in_traces_are_one_line(tmp_path, capfd, line, said):
    path = tmp_path / "t.jsonl"
    path.write_text(
        f'{{"op":"spawn","process":"a"}}\n{{"op":"mmap","process":"a","n":30000000000,"name":"big"}}\n{line}\n'
    )
    assert main(["simulate", str(path)]) in (1, 2)
    error = capfd.readouterr().err
    assert f"line 3: {said}" in error and error.count("\n") == 1


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


def image(path, pages):
    path.write_bytes(b"".join(bytes([number]) * 4096 for number in pages))
    return path


def test_memory_images_are_simulated_together(tmp_path, capfd):
    one, two = image(tmp_path / "one.img", [1, 2, 3, 0]), image(tmp_path / "two.img", [3, 200, 0])
    found = document(capfd, one, two, "--policy", "ksmd,pksmd", "--set", "use_zero_pages=1")
    assert found["workload"] == f"{one}, {two}" and found["page_size"] == 4096
    assert [run["final"]["counters"]["frames_used"] for run in found["runs"]] == [4, 4]
    assert found["unmerged"][-1]["frames_used"] == 7


def test_memory_that_holds_text_is_memory(tmp_path, capfd):
    path = tmp_path / "web.ram"
    path.write_bytes(b"a line of text\n\n" * 256 * 3)
    found = document(capfd, path, image(tmp_path / "two.img", [3, 0]), "--policy", "ksmd,pksmd")
    assert found["unmerged"][-1]["frames_used"] == 5
    assert found["runs"][0]["final"]["counters"]["frames_saved"] == 2, "three pages are alike"


@pytest.mark.parametrize("name, before", [("trace", ""), ("trace.txt", "\n # what it does\n\n  "), ("t.json", "")])
def test_a_trace_is_known_by_what_it_holds(tmp_path, capfd, name, before):
    path = tmp_path / name
    path.write_text(before + TRACE.lstrip())
    assert len(only_run(capfd, path)["readings"]) == 2


@pytest.mark.parametrize("name", ["t.jsonl", "t.json"])
def test_a_trace_by_name_that_is_none_is_one_line(tmp_path, capfd, name):
    path = tmp_path / name
    path.write_text("5\n")
    done = run(capfd, "simulate", path)
    assert done.code == 2 and is_one_line(done.err, f"{path}, line 1: a line is an object")


def test_a_live_process_is_simulated(capfd):
    found = document(capfd, "--policy", "ksmd", "--after", "0.3", "--", "sleep", "100")
    assert found["workload"].startswith("sleep 100 (pid") and found["runs"][0]["final"]["counters"]["frames_used"] > 0
    done = run(capfd, "simulate", "--json", "--policy", "ksmd", "--opted-in", "--after", "0.3", "--", "sleep", "100")
    assert json.loads(done.out)["runs"][0]["final"]["counters"]["pages_scanned"] == 0, "sleep opts in to nothing"
    assert "visited nothing" in done.err


def test_memory_is_merged_within_parts(tmp_path, capfd):
    for name in ("one.img", "two.img"):
        (tmp_path / name).write_bytes(b"".join(bytes([letter]) * 4096 for letter in b"aabc"))
    told = [tmp_path / "one.img", tmp_path / "two.img", "--policy", "ksmd"]
    together, apart = document(capfd, *told), document(capfd, *told, "--within", "vm")
    assert [one["runs"][0]["final"]["counters"]["frames_saved"] for one in (together, apart)] == [5, 2]
    assert apart["workload"].endswith("within each guest alone")
    for wrong in (["--within", "vm,user"], ["--within", "house"]):
        done = run(capfd, "simulate", *told, *wrong)
        assert done.code == 2 and is_one_line(done.err) and "--within" in done.err


@pytest.mark.parametrize("extra", [["--pid", "1"], ["b"], ["--opted-in"], ["--within", "user"], ["--page-size", "4K"]])
def test_what_is_played_is_played_alone(trace, capfd, extra):
    done = run(capfd, "simulate", trace, *extra)
    assert done.code == 2 and is_one_line(done.err) and str(trace) in done.err


def test_of_a_recording_only_what_had_opted_in_is_merged_if_that_is_wanted(tmp_path, capfd):
    begin = (("start", 1, "a"), ("map", 0, 4, "in", True), ("map", 10, 4, "out", False))
    pages = np.array([0, 1, 2, 3, 10, 11, 12, 13], np.uint64)
    path = tmp_path / "work.pksmrec"
    writer = Writer(path, {"page_size": 4096, "every_ms": 1000})
    writer.add(Block(0, 0, begin, pages, np.full(8, Kind.BIRTH, np.uint8), np.ones(8, np.uint32)))
    writer.close({"ms": 5000})
    told = path, "--policy", "ksmd"
    for extra, saved in ((["--opted-in"], 3), ([], 7)):
        assert only_run(capfd, *told, *extra)["final"]["counters"]["frames_saved"] == saved


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
