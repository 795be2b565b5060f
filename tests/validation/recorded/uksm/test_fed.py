"""Recordings of UKSM played in the order that a kernel logged: what is compared, and what a log must look like."""

import gzip
import json

import pytest

from pksm.errors import PksmError
from pksm.simulation.trace import open_binary
from pksm.validation import truth
from pksm.validation.recorded.uksm import logs
from pksm.validation.recorded.uksm.fed import feed
from pksm.validation.recorded.uksm.logs import read_logs
from pksm.validation.recorded.uksm.recording import COLUMNS, read_recordings

from support.cli_runs import is_one_line, run

COLS = ["visits", "cpu_ns", "ema", "sleep_next", "hash_strength", "full_scans", "step[4]", "quota_next[4]"]
ROW = [0, 164, 500, 100, 64, 1, [1] * 4, [400, 803, 62291, 3800000]]
# Pages 0 and 1 are equal: the first is put in a node of its own, the second beside it; visited again they merge.
OUTS = [8, 9, 14] + [5] * 5
RESETS, JUDGED = ["R 0 0 1 7 0 1"] * 5, ["J 0 1 0 7 2 2"] * 4
EVENTS = ["M 0 1 0 7 2 0", "B 0 0 0 1 0 164", *(f"V {out} 0 0 7 {visit % 2} 0" for visit, out in enumerate(OUTS))]


def recording(wakes, n=2):
    operations = ["sysfs run 0", "spawn 0", f"mmap 0 0 {n}", f"fill 0 0 0 {n} 1 1", "sysfs run 1", "series s 100 40"]
    counters = dict.fromkeys(("pages_shared", "pages_sharing", "pages_unshared", "full_scans", "pages_scanned"), 0)
    read = {"k": "read", "phase": "settled", "sleep_times": wakes, "KsmZeroPages_kB": 0, "hash_strength": 64, "ms": 9}
    rows = [[0] * (len(COLUMNS) - 2) + [count, 100 * count] for count in (0, wakes)]
    series = {"k": "series", "name": "s", "cols": list(COLUMNS), "rows": rows}
    return {"kernel": "U1", "w": "W", "operations": operations, "readings": [series, read | counters]}


@pytest.fixture
def written(tmp_path):
    """Write a recording and its logs; return the three paths."""

    def write(events, wakes=1, rows=(ROW, ROW), cols=COLS, w="W", ending=""):
        paths = [tmp_path / name for name in ("uksm.jsonl", f"visits.jsonl{ending}", f"batches.jsonl{ending}")]
        lines = recording(wakes), {"kernel": "U1", "w": w, "events": events}, {"kernel": "U1", "w": w, "cols": cols}
        lines[2]["rows"] = list(rows)
        for path, line in zip(paths, lines, strict=True):
            data = json.dumps(line).encode() + b"\n"
            path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        return [str(path) for path in paths]

    return write


def fed(paths):
    (one,) = read_recordings(paths[0])
    return {tally.what: tally for tally in feed(one, read_logs(*paths[1:], open_binary)["U1", "W"])}


def test_before_anything_is_visited_the_arithmetic_is_compared(written):
    tallies = fed(written(EVENTS + RESETS))
    assert {what: (tally.all, tally.equal) for what, tally in tallies.items()} == {
        "outcomes": (0, 0),
        "judgements": (0, 0),
        "strides": (3, 3),
        "quotas": (2, 2),
        "means": (2, 2),
        "sleeps": (2, 2),
        "strengths": (2, 2),
    }


def test_outcomes_are_compared_as_far_as_the_log_goes(written):
    first = fed(written(EVENTS + JUDGED + RESETS, wakes=2))["outcomes"]
    # new pages wait: what would have been a merge is none
    assert (first.all, first.equal, first.first) == (8, 2, "visit 2: 14 in the kernel, 19 here")


def test_a_pair_that_waits_fails_until_the_round_ends(written):
    outs = [8, 9, 19, 8, 9, 19, 8, 9]
    events = [f"V {out} 0 0 7 {visit % 2} 0" for visit, out in enumerate(outs)]
    first = fed(written(events + JUDGED + RESETS, wakes=2))["outcomes"]
    assert (first.all, first.equal) == (8, 8) and first.first.endswith("the log ends")


def test_the_document_counts_comparisons(written):
    path, visits, batches = written(EVENTS + RESETS)
    document = truth(traces=path, visits=visits, batches=batches)
    assert (document["numbers"], document["equal"], document["explained"]) == (7, 7, 0)
    assert document["fed"]["strides"] == [3, 3] and document["rows"][2]["phase"] == "fed"


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_the_command(written, ending, capfd):
    path, visits, batches = written(EVENTS + RESETS, ending=ending)
    done = run(capfd, "truth", path, "--visits", visits, "--batches", batches)
    assert (
        done.code == 0 and "Equal in the kernel's order: 0 of 0 outcomes" in done.out and "3 of 3 strides" in done.out
    )
    path, visits, batches = written(EVENTS + JUDGED + RESETS, wakes=2, ending=ending)
    done = run(capfd, "truth", path, "--visits", visits, "--batches", batches, "--json")
    document = json.loads(done.out)
    assert done.code == 1 and document["fed"]["outcomes"] == [2, 8]
    (row,) = [row for row in document["rows"] if row["counter"] == "outcomes"]
    assert (row["phase"], row["note"]) == ("fed; visit 2: 14 in the kernel, 19 here", "")


def test_one_log_without_the_other_or_without_recordings_is_wrong_usage(written, capfd):
    path, visits, batches = written(EVENTS)
    for arguments in (
        [path, "--visits", visits],
        [path, "--batches", batches],
        ["--visits", visits, "--batches", batches],
    ):
        done = run(capfd, "truth", *arguments)
        assert done.code == 2
        is_one_line(done.err)


def test_logs_of_other_workloads_are_none(written, capfd):
    path, visits, batches = written(EVENTS, w="another")
    done = run(capfd, "truth", path, "--visits", visits, "--batches", batches)
    assert done.code == 1
    is_one_line(done.err, "no log is of a workload")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"events": [7]}, "event 0: must be text"),
        ({"events": ["V 1 2"]}, "event 0: must be V and 6 whole numbers"),
        ({"events": ["V 8 0 0 7 -1 0"]}, "event 0: must be V"),
        ({"events": ["V 8 0 0 7 99999999999999999999 0"]}, "event 0: must be V"),
        ({"events": 3}, "field events: must be a list"),
        ({"cols": COLS[1:]}, "row 0: must have 7 values"),
        ({"cols": ["visits"]}, "field cols: cpu_ns is missing"),
        ({"rows": [[*ROW[:-1], [1, 2]]]}, "row 0: must be whole numbers"),
        ({"rows": [["x", *ROW[1:-2], 1, 2]]}, "row 0: must be whole numbers"),
        ({"w": 3}, "field w: must be text"),
    ],
)
def test_one_line_for_a_log_that_is_none(written, changes, words, capfd):
    path, visits, batches = written(**{"events": EVENTS} | changes)
    with pytest.raises(PksmError, match="line 1"):
        truth(traces=path, visits=visits, batches=batches)
    done = run(capfd, "truth", path, "--visits", visits, "--batches", batches)
    assert done.code == 1
    is_one_line(done.err, words)


def test_a_log_that_is_no_gzip_file_is_one_line(written, capfd):
    path, visits, batches = written(EVENTS, ending=".gz")
    with open(visits, "wb") as file:
        file.write(b"plain text")
    done = run(capfd, "truth", path, "--visits", visits, "--batches", batches)
    assert done.code == 1
    is_one_line(done.err, "gzip")


def test_a_log_may_be_cut_short(written, tmp_path, capfd):
    path, visits, batches = written(EVENTS, ending=".gz")
    whole = open(visits, "rb").read()
    (tmp_path / "visits.jsonl.gz").write_bytes(whole[:-9])
    with pytest.raises(PksmError, match="not a whole gzip file"):
        read_logs(visits, batches, open_binary)
    done = run(capfd, "truth", path, "--visits", str(tmp_path / "none"), "--batches", batches)
    assert done.code == 1
    is_one_line(done.err, "cannot read")


def test_a_line_of_a_log_has_a_bound(written, capfd, monkeypatch):
    """gzip makes a line of 256 MiB of 256 KiB."""
    monkeypatch.setattr(logs, "MOST_LINE_BYTES", 20)
    path, visits, batches = written(EVENTS, ending=".gz")
    done = run(capfd, "truth", path, "--visits", visits, "--batches", batches)
    assert done.code == 1
    is_one_line(done.err, "line 1: longer than 20 bytes")
