"""pksm sweep: what it prints, its document, and one line for whatever is wrong."""

import csv
import io
import json

import pytest

from pksm.recording import Kind

from support.cli_runs import is_one_line, run
from support.documents import faults
from support.recordings import block, recorded

SMALL = ("sweep", "b", "--pages", "200", "--until", "1s", "--workers", "1")


def test_the_document(capfd):
    done = run(capfd, *SMALL, "--vary", "pages_to_scan=50,100", "--seeds", "2", "--json")
    assert done.code == 0 and done.err == "", done.err
    document = json.loads(done.out)
    assert faults(document) == []
    assert document["seeds"] == [0, 1] and document["varied"] == {"ksmd": {"pages_to_scan": [50, 100]}}
    assert [row["runs"] for row in document["rows"]] == [2, 2, 2]


def test_table_and_csv(capfd):
    done = run(capfd, *SMALL, "--vary", "pages_to_scan=50,100")
    assert "the kernel's advisor" in done.out and "pages_to_scan" in done.out
    done = run(capfd, *SMALL, "--vary", "ksmd.pages_to_scan=50,100", "--policy", "ksmd,pksmd", "--csv")
    assert [row["policy"] for row in csv.DictReader(io.StringIO(done.out))] == [
        *["ksmd:ksm-6.11"] * 2,
        "pksmd:fixed",
        "ksmd:ksm-6.11",
    ]


def test_a_trace_is_swept(tmp_path, capfd):
    trace = tmp_path / "trace.jsonl"
    trace.write_text(
        '{"op": "spawn", "process": "p"}\n{"op": "mmap", "process": "p", "n": 4, "name": "a", "mergeable": true}\n'
        '{"op": "write", "process": "p", "address": "a", "content": [1, 1, 2, 1]}\n'
    )
    done = run(capfd, "sweep", trace, "--until", "1s", "--vary", "pages_to_scan=1,2", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["best_bytes"] == 2 * 4096


def test_a_recording_is_swept_as_long_as_it_is(capfd):
    events = [(page, Kind.BIRTH, 7) for page in range(4)]
    blocks = [block(0, 0, [("start", 1, "a"), ("map", 0, 4, "", True)], events)]
    with recorded(blocks, 3000) as path:
        done = run(capfd, "sweep", str(path), "--vary", "pages_to_scan=50,100", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["until_ms"] == 3000


def test_results_are_kept(tmp_path, capfd):
    part = tmp_path / "part"
    first = run(capfd, *SMALL, "--vary", "pages_to_scan=50", "--resume", part, "--json")
    assert len(part.read_text().splitlines()) == 1 + 2
    before = part.read_bytes()
    again = run(capfd, *SMALL, "--vary", "pages_to_scan=50", "--resume", part, "--json")
    assert again.out == first.out and part.read_bytes() == before


def test_a_picture(tmp_path, capfd):
    pytest.importorskip("matplotlib")
    path = tmp_path / "a.svg"
    done = run(capfd, *SMALL, "--vary", "pages_to_scan=50,100", "--seeds", "2", "--plot", path)
    assert done.code == 0 and "saved on average" in path.read_text()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["b", "--vary", "nothing=1"], "--vary: 'nothing=1': ksmd has no setting 'nothing'"),
        (["b", "--policy", "ksmd,pksmd", "--vary", "run=1"], "say whose setting it is"),
        (["b", "--policy", "ksmd,ksmd"], "comes twice"),
        (["b", "--seeds", "0"], "--seeds: there must be one at least"),
        (["b", "--workers", "0"], "--workers: must be 1 at least"),
        (["b", "--until", "0"], "--until: must be 1 ms at least"),
        (["nowhere"], "no workload and no file 'nowhere'"),
        (["/dev/null"], "/dev/null"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, words, capfd):
    done = run(capfd, "sweep", *arguments)
    assert done.code == 2 and is_one_line(done.err) and words in done.err, done.err
