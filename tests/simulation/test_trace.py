"""Traces: lines of JSON and Python files; whatever is wrong with one names line and field."""

import json
import tracemalloc

import pytest

from pksm.errors import PksmError, UsageError
from pksm.hosts.machine import Machine
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.simulation import Simulation, workloads
from pksm.simulation.operations import OPERATIONS, Event
from pksm.simulation.script import load_script
from pksm.simulation.trace import events_of, read_lines, read_trace

SIZE = 64


def simulation(frames=300):
    machine = Machine(frames, SIZE)
    return Simulation(machine, Pksmd(machine, tunables.preset("fixed")))


TRACE = """
# two processes, one page in common and two of their own
{"t": 0, "op": "spawn", "process": "a"}
{"op": "spawn", "process": "b"}
{"op": "mmap", "process": "a", "n": 3, "address": "0x10000", "name": "heap"}
{"op": "mmap", "process": "b", "n": 3, "name": "heap"}

{"t": 5, "op": "write", "process": "a", "address": "heap", "content": [1, 2, 3]}
{"t": 5, "op": "write", "process": "b", "address": "heap", "n": 3, "content": {"base": 3, "mod": 2}, "patches": [[1, 0, 7]]}
{"op": "until_rest"}
{"op": "read", "label": "settled"}
{"op": "set", "name": "run", "value": 0}
{"t": 9000, "op": "exit", "process": "b"}
{"op": "read", "label": "b is gone"}
"""


def test_a_trace_is_played(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(TRACE)
    sim = simulation()
    sim.play(read_trace(path))
    settled, gone = sim.readings
    assert settled.label == "settled" and gone == ("b is gone", 9000, 9000, gone.counters)
    # 1 2 3, and 3 4' 3 with 4' patched
    assert (settled.counters["pages_sharing"], settled.counters["pages_unshared"]) == (2, 3)
    assert (gone.counters["pages_sharing"], gone.counters["frames_used"]) == (0, 3)
    sim.machine.check()


P = '"process": "p"'
WRONG = [
    ("{", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ("[1]", "a line is an object"),
    ("{}", "field op: missing"),
    ('{"op": 3}', "field op: must be the name"),
    ('{"op": "fly"}', "field op: unknown operation 'fly': choose from spawn"),
    ('{"op": "spawn"}', "field process: missing"),
    ('{"op": "spawn", "process": 3}', "field process: must be a name"),
    ('{"op": "spawn", "process": ""}', "field process: must be a name"),
    ('{"op": "spawn", %s, "pid": 3}' % P, "field pid: spawn has no such field"),
    ('{"t": -1, "op": "spawn", %s}' % P, "field t: must be a whole number from 0"),
    ('{"t": 0.5, "op": "spawn", %s}' % P, "field t: must be a whole number from 0"),
    ('{"t": true, "op": "spawn", %s}' % P, "field t: must be a whole number from 0"),
    ('{"op": "mmap", %s, "n": 0}' % P, "field n: must be a whole number from 1"),
    ('{"op": "mmap", %s, "n": 1, "address": -1}' % P, "field address: must be a whole number from 0"),
    ('{"op": "mmap", %s, "n": 1, "address": "0xg"}' % P, "field address: must be a number, hexadecimal"),
    ('{"op": "mmap", %s, "n": 1, "stack": 1}' % P, "field stack: must be true or false"),
    ('{"op": "mremap", %s, "address": "a", "n": 1, "to": "b"}' % P, "field to: must be a number"),
    ('{"op": "madvise", %s, "address": 0, "n": 1, "advice": "FREE"}' % P, "field advice: must be DONTNEED"),
    (
        '{"op": "write", %s, "address": 0, "content": -1}' % P,
        "field content: must be a whole number from 0 to 18446744073709551615",
    ),
    (
        '{"op": "write", %s, "address": 0, "content": 18446744073709551616}' % P,
        "field content: must be a whole number from 0",
    ),
    ('{"op": "write", %s, "address": 0, "content": [1, "x"]}' % P, "field content: must be a whole number"),
    ('{"op": "write", %s, "address": 0, "content": []}' % P, "field content: must be a content id, a list"),
    ('{"op": "write", %s, "address": 0, "content": "x"}' % P, "field content: must be a content id, a list"),
    ('{"op": "write", %s, "address": 0, "content": {"base": 1}}' % P, "field content: must have base and mod"),
    ('{"op": "write", %s, "address": 0, "content": {"base": 1, "mod": 0}}' % P, "field content: must be a whole"),
    (
        '{"op": "write", %s, "address": 0, "content": {"base": 18446744073709551615, "mod": 2}}' % P,
        "field content: must be",
    ),
    ('{"op": "patch", %s, "address": 0, "patches": [[1, 2]]}' % P, "field patches: must be a list of [page, word"),
    ('{"op": "patch", %s, "address": 0, "patches": 3}' % P, "field patches: must be a list of [page, word"),
    ('{"op": "patch", %s, "address": 0, "patches": [[1, 2, 4294967296]]}' % P, "field patches: must be a whole number"),
    ('{"op": "set", "name": "run", "value": null}', "field value: must be a number"),
    ('{"op": "set", "name": "run", "value": true}', "field value: must be a number"),
    ('{"op": "wait", "ms": "5"}', "field ms: must be a whole number from 0"),
]


@pytest.mark.parametrize("line, said", WRONG, ids=[said for _, said in WRONG])
def test_malformed_lines_name_line_and_field(line, said):
    with pytest.raises(UsageError) as caught:
        list(events_of(["", line], "a.jsonl"))
    assert str(caught.value).startswith("a.jsonl, line 2: ") and said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_time_that_goes_back():
    with pytest.raises(UsageError, match="line 2: field t: 3 ms lies before 5"):
        list(events_of(['{"t": 5, "op": "wait", "ms": 1}', '{"t": 3, "op": "wait", "ms": 1}']))


def test_a_trace_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(PksmError, match="cannot read .*: No such file"):
        next(read_trace(tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PksmError, match="cannot read .*: line 1 is not text in UTF-8"):
        next(read_trace(tmp_path / "binary"))


def test_a_trace_is_read_while_it_is_played(tmp_path):
    """An event is there before the next line is looked at, and what is wrong with that line is said then."""
    path = tmp_path / "trace.jsonl"
    path.write_text('{"op": "wait", "ms": 1}\n{"op": "wait", "ms": 2}\nnonsense\n')
    events = read_trace(path)
    assert [next(events).fields, next(events).fields] == [{"ms": 1}, {"ms": 2}]
    with pytest.raises(UsageError, match="trace.jsonl, line 3: not JSON"):
        next(events)


def test_a_long_trace_takes_no_more_memory_than_a_short_one(tmp_path):
    peaks = []
    for lines in (1000, 20_000):
        path = tmp_path / f"{lines}.jsonl"
        path.write_text('{"op": "wait", "ms": 1}\n' * lines)
        tracemalloc.start()
        assert sum(1 for _ in read_trace(path)) == lines
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 100_000, peaks


def test_a_line_without_end(tmp_path):
    (tmp_path / "endless").write_text("# short\n" + "#" * 5000)
    with pytest.raises(PksmError, match="endless, line 2: longer than 1,000 bytes"):
        list(read_lines(tmp_path / "endless", most_bytes=1000))


def test_every_field_of_every_operation_can_stand_in_a_trace():
    values = {
        **dict.fromkeys(("process", "child", "name", "label"), "x"),
        **dict.fromkeys(("ms", "quiet_ms", "limit_ms", "first", "n", "new_n", "address", "to", "salt"), 1),
        **dict.fromkeys(("writable", "mergeable", "stack", "writing"), True),
        "content": 1, "patches": [[0, 0, 0]], "advice": "DONTNEED", "value": ["lifo-batch"],
    }  # fmt: skip
    for op, operation in OPERATIONS.items():
        fields = {name: values[name] for name in operation.fields}
        (event,) = events_of([json.dumps({"t": 3, "op": op, **fields})])
        assert event.op == op and event.ms == 3 and event.fields.keys() == fields.keys()


# ---- Python files ----


def script(tmp_path, text):
    path = tmp_path / "work.py"
    path.write_text(text)
    return str(path)


def test_a_script_does_what_it_likes(tmp_path):
    path = script(tmp_path, """
from pksm.simulation.operations import Event

def workload(machine, sim):
    mm = machine.spawn()
    at = machine.mmap(mm, 2)
    machine.write(mm, at, [1, 1])
    sim.run_until_rest()
    sim.read("settled")
    yield Event(None, "read", {"label": "played"})
""")  # fmt: skip
    sim = simulation()
    load_script(path)(sim.machine, sim)
    assert [(reading.label, reading.counters["pages_sharing"]) for reading in sim.readings] == [
        ("settled", 1), ("played", 1)]  # fmt: skip


@pytest.mark.parametrize("text, said", [
    ("def workload(machine, sim):\n    mm = machine.spawn()\n    1 / 0\n", "line 3: ZeroDivisionError: division by zero"),
    ("def workload(:\n", "line 1: SyntaxError"),
    ("import no_such_module\n", "line 1: ModuleNotFoundError: No module named 'no_such_module'"),
    ("x = 1\n", "defines no function workload"),
    ("def workload(machine):\n    pass\n", "line 1: TypeError"),
    ("def workload(machine, sim):\n    machine.munmap(machine.spawn(), 3, 1)\n", "address 0x3 is not a multiple"),
    ("def workload(machine, sim):\n    sim.run(-1)\n", "whole number of milliseconds"),
    ("def workload(machine, sim):\n    assert False\n", "line 2: AssertionError"),
])  # fmt: skip
def test_what_a_script_does_wrong_is_one_line(tmp_path, text, said):
    sim = simulation()
    with pytest.raises(PksmError) as caught:
        load_script(script(tmp_path, text))(sim.machine, sim)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    sim.machine.check()
    sim.policy.check()


def test_a_script_that_is_not_there():
    with pytest.raises(PksmError, match="cannot read /none.py: No such file"):
        load_script("/none.py")


@pytest.mark.parametrize("at", range(1, 12))
def test_whatever_raises_leaves_the_machine_whole(at):
    """A workload that stops anywhere, in the middle of wake-ups that merge: machine and policy are in order."""
    sim = simulation()
    events = list(events_of([line for line in TRACE.split("\n") if line]))
    with pytest.raises(UsageError):
        sim.play([*events[:at], Event(None, "munmap", {"process": "nobody", "address": 0, "n": 1})])
    sim.machine.check()
    sim.policy.check()


# ---- workloads by name ----


@pytest.mark.parametrize("name", workloads.LOADS)
def test_loads_as_workloads_are_merged_as_their_answer_says(name):
    import numpy as np

    sim = simulation(frames=600)
    sim.play(workloads.events(name, pages=500, page_size=SIZE))
    expected = workloads.make(name, np.empty((500, SIZE), np.uint8)).expected()
    counters = sim.readings[-1].counters
    assert counters["pages_sharing"] == expected["duplicates"] + expected["zero"]
    assert counters["pages_zero_sharing"] == expected["zero"]


def test_workloads_that_there_are_not():
    with pytest.raises(UsageError, match="unknown workload 'z': choose from a, b"):
        workloads.events("z")
    with pytest.raises(UsageError, match="workload a of 0 pages"):
        workloads.events("a", pages=0)
