"""pksm simulate of traces and scripts: every operation, pipes, and one line for whatever is wrong in them."""

import json
import os
import threading

import pytest

from pksm.cli.main import main
from pksm.simulation import OPERATIONS

from support.cli_runs import is_one_line, run
from support.simulating import TRACE, only_run


def test_scripts(tmp_path, capfd):
    path = tmp_path / "work.py"
    path.write_text("def workload(machine, sim):\n    sim.run(77)\n    sim.read('x')\n")
    assert only_run(capfd, path)["readings"][0]["ms"] == 77


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
