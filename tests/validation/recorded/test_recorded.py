"""What booted PKSM kernels counted, against the machine: recorded workloads, and random traces."""

from pathlib import Path

import pytest

from pksm.errors import PksmError, UsageError
from pksm.policies.pksmd import tunables
from pksm.validation.recorded import workloads
from pksm.validation.recorded.traces import Replay, agreement, read_traces, replay

from support import ROOT

TRACES = Path(__file__).parent / "pksm-fuzz-truth.jsonl"
# the boot of this trace differs in a page of init's: see docs/explanation/fidelity/booted-kernels.md
KNOWN = {("k1_x026", 3, "read", "pages_unshared", 40, 39), ("k1_x026", 3, "read", "rmap_items", 92, 91)}


@pytest.fixture(scope="module")
def traces():
    return read_traces(TRACES)


@pytest.fixture(scope="module")
def compared():
    return workloads.compare()


def test_recorded_workloads(compared):
    """Every settled phase and every wake-up; what differs is not PKSM's."""
    rows = compared
    assert not [row for row in rows if row.kernel_value != row.ours and not row.note]
    differing = [row for row in rows if row.kernel_value != row.ours]
    assert len(rows) > 2600 and len(differing) < 40
    settled = [row for row in differing if not row.phase.endswith(("_now", "after_exit_settled"))]
    assert {row.counter for row in settled} == {"pages_unshared", "rmap_items"}
    assert {(row.kernel, row.w) for row in rows} == {(line["kernel"], line["w"]) for line in workloads.recorded()}


def test_the_ledger_has_these_numbers(compared):
    """The chapter was not written from memory."""
    chapter = ROOT / "docs" / "explanation" / "fidelity" / "booted-kernels.md"
    text = " ".join(chapter.read_text(encoding="utf-8").split())
    equal = sum(row.kernel_value == row.ours for row in compared)
    assert f"{equal:,} of {len(compared):,} numbers are the kernel's; {len(compared) - equal:,} differ" in text
    assert "K1 1,125 of 1,126 readings exact in every counter, K2 282 of 282" in text


def test_random_traces(traces):
    rows = [row for trace in traces for row in replay(trace)]
    assert {row[1:] for row in rows if row.kernel_value != row.ours} == KNOWN
    agreed = agreement(rows)
    assert agreed == {"K1": (1125, 1126), "K2": (282, 282)}


def test_every_process_and_the_end(traces):
    """What the recording has besides: frames and KSM ptes of each process, and what stays when all have ended."""
    for trace in traces[::3]:
        run = Replay(trace)
        for round in trace["rounds"]:
            for op in round["ops"]:
                run.do(op)
            run.machine.drain()
            run.wake(round["wakeups_est"])
            for name, counted in round["procs"].items():
                ours = workloads.census(run.machine, run.sim.process(name))
                assert ours == (counted["frames"], counted["ksm_ptes"]), (trace["id"], name)
        for name in set(run.sim.processes) - {"init"}:
            run.do(["exit", int(name[1:])])
        run.machine.drain()
        run.wake(20)
        ended = trace["end_minus_baseline"]
        assert run.net() == {name: ended[name] for name in workloads.COUNTERS} | {"frames": 0}, trace["id"]


def test_our_column_does_not_read_the_recording(traces):
    trace = traces[5]
    changed = trace | {"rounds": [dict(round) for round in trace["rounds"]]}
    for round in changed["rounds"]:
        for when in ("before_scan", "read"):
            round[when] = dict.fromkeys(round[when], 7)
        round["frames_before"] = round["frames_total"] = 7
    ours, again = replay(trace), replay(changed)
    assert [row.ours for row in ours] == [row.ours for row in again]
    assert {row.kernel_value for row in again} == {7}


def test_lines_of_another_recording_do_not_change_ours(monkeypatch):
    before = workloads.compare(["W3"])
    lines = [
        {name: 0 if name in workloads.COUNTERS else value for name, value in line.items()}
        for line in workloads.recorded()
    ]
    monkeypatch.setattr(workloads, "recorded", lambda: lines)
    ours = {row[1:4]: row.ours for row in workloads.compare(["W3"]) if "wake-up" not in row.phase}
    assert ours == {row[1:4]: row.ours for row in before if "wake-up" not in row.phase}


def test_without_one_quirk_the_kernels_are_not_met(traces):
    """The comparison can tell: each of these rules is needed."""
    chosen = workloads.preset_of("K1")
    some = [trace for trace in traces if trace["kernel"] == "K1" and trace["cls"] in ("fork", "split")][:18]
    for quirk in ("lifo-batch", "walk-stops", "multi-mapped-kpage", "drop-is-final", "first-break-uncounted"):
        altered = chosen.with_(quirks=chosen.quirks - {quirk})
        rows = [row for trace in some for row in replay(trace, altered)]
        good, all_ = agreement(rows)["K1"]
        assert good < all_ - 3, quirk


def test_the_fixed_preset_saves_more(traces):
    trace = next(trace for trace in traces if trace["cls"] == "mix")
    ours = replay(trace, tunables.preset("fixed"))
    frames = [(row.kernel_value, row.ours) for row in ours if row.counter == "frames" and row.when == "read"]
    assert sum(kernel for kernel, _ in frames) > sum(fixed for _, fixed in frames)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: must be an object"),
        ('{"kernel": "K1"}', "line 1: field id: missing"),
        ("", "no trace in it"),
    ],
)
def test_bad_files(tmp_path, line, told):
    path = tmp_path / "x.jsonl"
    path.write_text(line)
    with pytest.raises(PksmError, match=told):
        read_traces(path)
    with pytest.raises(PksmError, match="cannot read"):
        read_traces(tmp_path / "nowhere.jsonl")


@pytest.mark.parametrize(
    ("op", "told"),
    [
        (["jump", 0, 0], "unknown operation 'jump'"),
        (["fill", 0, 7, 0, 1, {"list": [1]}], "nothing is mapped"),
        (["fill", 0], "wrong form"),
        (["mmap", 0, 0, -4], "at least one page"),
    ],
)
def test_operations_that_cannot_be(traces, op, told):
    trace = traces[0] | {"rounds": [traces[0]["rounds"][0] | {"ops": [op]}]}
    with pytest.raises(PksmError, match=f"line 1: round 0: .*{told}"):
        replay(trace)


def test_unknown_names():
    with pytest.raises(UsageError, match="no recorded workload 'W99'"):
        workloads.compare(["W99"])
    with pytest.raises(UsageError, match="K1 or K2"):
        workloads.preset_of("K9")
