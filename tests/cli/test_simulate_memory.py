"""pksm simulate of memory: images, live processes and recordings."""

import json

import numpy as np

from pksm.recording import Block, Kind, Writer

from support.cli_runs import is_one_line, run
from support.simulating import document, only_run


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
