"""pksm truth: its document, its tables, its exit code, and one line for whatever is wrong."""

import csv
import io
import json

import pytest

from support import ROOT
from support.cli_runs import is_one_line, run

TRACES = ROOT / "tests" / "validation" / "recorded" / "pksm-fuzz-truth.jsonl"


@pytest.fixture
def some(tmp_path):
    """Three short traces of K1 and one of K2."""
    lines = TRACES.read_text(encoding="utf-8").splitlines()
    chosen = [line for line in lines if '"K1"' in line][:3] + [line for line in lines if '"K2"' in line][:1]
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(chosen) + "\n")
    return path


def test_workloads_as_json(capfd):
    done = run(capfd, "truth", "W4", "W23_leak", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["schema"] == "pksm.truth/1"
    assert set(found["rows"][0]) == {"kernel", "w", "phase", "counter", "kernel_value", "ours", "note"}
    assert {(row["kernel"], row["w"]) for row in found["rows"]} == {("K1", "W4"), ("K1", "W23_leak"), ("K2", "W4")}
    leak = {
        row["phase"]: row["ours"]
        for row in found["rows"]
        if row["w"] == "W23_leak" and row["counter"] == "pages_sharing"
    }
    assert leak["after_exit_settled"] == 200
    assert all(row["ours"] == row["kernel_value"] for row in found["rows"])


def test_a_file_as_json_and_csv(some, capfd):
    done = run(capfd, "truth", some, "--json")
    found = json.loads(done.out)
    assert (done.code, done.err, found["schema"]) == (0, "", "pksm.truth/1")
    assert set(found["rows"][0]) == {"kernel", "id", "round", "when", "counter", "kernel_value", "ours"}
    assert {row["when"] for row in found["rows"]} == {"before_scan", "read"}
    assert len({row["id"] for row in found["rows"]}) == 4
    assert all(good == all_ for good, all_ in found["readings"].values()) and list(found["readings"]) == ["K1", "K2"]
    rows = list(csv.DictReader(io.StringIO(run(capfd, "truth", some, "--csv").out)))
    assert [{name: str(value) for name, value in row.items()} for row in found["rows"]] == rows


def test_tables(some, capfd):
    done = run(capfd, "truth", "W1")
    assert done.code == 0 and "differ for a known reason, 0 for none." in done.out and "init's own pages" in done.out
    assert "wake-up 1" not in done.out and "wake-up 1" in run(capfd, "truth", "W1", "--all").out
    assert "readings exact in every counter" in run(capfd, "truth", some).out


def test_another_preset_differs(some, capfd):
    done = run(capfd, "truth", some, "--policy", "pksmd:fixed")
    assert done.code == 1 and "Numbers that differ" in done.out
    done = run(capfd, "truth", "W6", "--policy", "pksmd:fixed")
    assert done.code == 1 and "0 for none" not in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["W77"], 2, ["no recorded workload 'W77'"]),
        (["--policy", "pksmd:v9"], 2, ["unknown preset 'v9'"]),
        (["--policy", "ksmd"], 2, ["--policy: ksmd:", "preset of pksmd"]),
        (["--set", "n=2"], 2, ["--set", "pksmd:fixed"]),
        (["a.jsonl", "b.jsonl"], 2, ["one file of traces at a time"]),
        (["nowhere.jsonl"], 1, ["cannot read nowhere.jsonl"]),
    ],
)
def test_one_line_for_what_is_wrong(arguments, code, words, capfd):
    done = run(capfd, "truth", *arguments)
    assert done.code == code and done.out == "" and is_one_line(done.err, *words)


def test_a_trace_that_cannot_be(some, capfd):
    lines = some.read_text().splitlines()
    trace = json.loads(lines[1])
    trace["rounds"][1]["ops"] = [["munmap", 0, 0, 0, 0]]
    some.write_text(json.dumps(trace))
    done = run(capfd, "truth", some)
    assert done.code == 2 and is_one_line(done.err, "some.jsonl, line 1: round 1: ")
    trace["rounds"][1]["wakeups_est"] = 0
    some.write_text(json.dumps(trace))
    done = run(capfd, "truth", some)
    assert done.code == 1 and is_one_line(done.err, "some.jsonl, line 1: round 1: wakeups_est 0: must be at least 1")
