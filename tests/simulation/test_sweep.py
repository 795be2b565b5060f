"""Sweeps: every combination is simulated, in any executor, and the rows that nobody beats are found."""

import json
import os
import pickle
import zlib
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest

from pksm import report
from pksm.engine.cost import PRICES
from pksm.errors import PksmError, UsageError
from pksm.policies import choose
from pksm.simulation import compare, sweep, varying
from pksm.simulation.curve import Curve, reached
from pksm.simulation.partial import Partial
from pksm.simulation.run import Settings, simulate
from pksm.simulation.stored import stored
from pksm.simulation.sweeps import _left_out
from pksm.simulation.tasks import Task, run_task

from support.documents import faults

SMALL = {"pages": 400, "until_ms": 500, "prices": PRICES["6.18"]}


class Inline(Executor):
    """Does a task when it is submitted, and counts them."""

    def __init__(self):
        self.done = 0

    def submit(self, function, /, *arguments, **named):
        self.done += 1
        future = Future()
        future.set_result(function(*arguments, **named))
        return future


def rows_of(document):
    return [(row["policy"], row["settings"]) for row in document["rows"]]


def test_every_combination_is_a_row_and_the_kernels_advisor_is_one():
    document = sweep(
        "b", "ksmd,pksmd", ["ksmd.pages_to_scan=50,100", "ksmd.smart_scan=0,1"], executor=Inline(), **SMALL
    )
    assert faults(document) == []
    assert rows_of(document) == [
        *[("ksmd:ksm-6.11", {"pages_to_scan": pages, "smart_scan": smart}) for pages in (50, 100) for smart in (0, 1)],
        ("pksmd:fixed", {}),
        ("ksmd:ksm-6.11", {"smart_scan": 1, "advisor_mode": "scan-time"}),
    ]
    assert [row["is_advisor"] for row in document["rows"]] == [False] * 5 + [True]
    assert all(row["tunables"]["advisor_mode"] == "scan-time" for row in document["rows"] if row["is_advisor"])


def test_a_row_is_what_one_simulation_says():
    document = sweep("b", "ksmd", {"ksmd": {"pages_to_scan": [70]}}, executor=Inline(), advisor=False, **SMALL)
    [row] = document["rows"]
    [run] = compare("b", "ksmd", {"pages_to_scan": 70}, pace="kernel", sample_ms=1, **SMALL)["runs"]
    final = run["final"]
    assert row["cpu_seconds"]["median"] == final["cpu"]["seconds"]
    assert row["saved_bytes"]["median"] == final["counters"]["frames_saved"] * 4096 == 100 * 4096
    assert row["net_bytes"]["median"] == 100 * 4096 - final["metadata_bytes"]
    saved = run["series"]["columns"].index("frames_saved")
    sampled = [row[saved] for row in run["series"]["rows"][:-1]]
    assert row["mean_saved_bytes"]["median"] == pytest.approx(4096 * sum(sampled) / len(sampled), rel=0.1)
    assert row["reached_90_s"]["median"] <= final["reached_ms"] / 1000 + 0.03


def test_processes_and_threads_find_the_same():
    given = ("b", "ksmd", ["pages_to_scan=50,100"])
    with ThreadPoolExecutor(2) as threads:
        assert sweep(*given, executor=threads, **SMALL) == sweep(*given, workers=2, seeds=1, **SMALL)


def test_seeds_give_medians_and_intervals():
    document = sweep("fork-family", "ksmd", ["pages_to_scan=100"], seeds=3, executor=Inline(), advisor=False, **SMALL)
    [row] = document["rows"]
    alone = [
        sweep("fork-family", "ksmd", ["pages_to_scan=100"], seeds=[seed], executor=Inline(), advisor=False, **SMALL)
        for seed in range(3)
    ]
    found = sorted(one["rows"][0]["saved_bytes"]["median"] for one in alone)
    assert row["saved_bytes"] == {"low": found[0], "median": found[1], "high": found[2]}
    assert row["runs"] == 3 and document["seeds"] == [0, 1, 2] and document["best_bytes"] == found[1]


@pytest.mark.parametrize("n, left_out", [(1, 0), (2, 0), (5, 0), (6, 0), (8, 0), (9, 1), (10, 1), (17, 4), (20, 5)])
def test_intervals_hold_the_median_with_95_percent(n, left_out):
    """As tables of the sign test have it: the k-th smallest and largest of n, k = left_out + 1."""
    assert _left_out(n) == left_out


def test_a_tie_is_beaten_by_nobody_and_what_costs_more_for_less_is():
    document = sweep("b", "ksmd", ["pages_to_scan=20,400"], executor=Inline(), advisor=False, **SMALL)
    dear = {**document["rows"][1]["tunables"]}
    slow, fast = document["rows"]
    assert slow["cpu_seconds"]["median"] < fast["cpu_seconds"]["median"] and dear["pages_to_scan"] == 400
    assert slow["on_front"] and fast["on_front"], "one is cheaper, the other saves more"
    idle = sweep("b", "ksmd", ["smart_scan=0,1", "pages_to_scan=400"], executor=Inline(), advisor=False, **SMALL)
    by_smart = {row["settings"]["smart_scan"]: row for row in idle["rows"]}
    assert by_smart[1]["on_front"] and not by_smart[0]["on_front"], "the same saving for more visits"


def test_what_was_kept_is_not_simulated_again(tmp_path):
    part = str(tmp_path / "part")
    first, second = Inline(), Inline()
    given = {"resume": part, **SMALL}
    whole = sweep("b", "ksmd", ["pages_to_scan=50,100"], executor=first, **given)
    assert sweep("b", "ksmd", ["pages_to_scan=50,100"], executor=second, **given) == whole
    assert (first.done, second.done) == (3, 0)
    more = Inline()
    sweep("b", "ksmd", ["pages_to_scan=50,100,200"], executor=more, **given)
    assert more.done == 1, "only what is new"
    other = Inline()
    sweep("b", "ksmd", ["pages_to_scan=50"], executor=other, seeds=[7], advisor=False, **given)
    assert other.done == 1, "another seed is another run"


def test_an_interrupted_sweep_has_what_was_done_and_goes_on_later(tmp_path):
    part = str(tmp_path / "part")

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    ended = sweep("b", "ksmd", ["pages_to_scan=50,100"], executor=Inline(), resume=part, progress=stop, **SMALL)
    assert ended["interrupted"] and (ended["done"], ended["runs"]) == (2, 3) and len(ended["rows"]) == 2
    rest = Inline()
    whole = sweep("b", "ksmd", ["pages_to_scan=50,100"], executor=rest, resume=part, **SMALL)
    assert rest.done == 1 and not whole["interrupted"] and len(whole["rows"]) == 3


def result_that_saved(pages):
    cpu = {"seconds": 0.5, "percent": None, "seconds_per_mib": None, "merges": 1, "copies": 0, "copies_seconds": 0.0}
    return {
        "ms": 500,
        "page_size": 4096,
        "saved_bytes": pages * 4096,
        "mean_saved_bytes": 0.25,
        "metadata_bytes": 64,
        "wakes": 2,
        "cost": {"pages_visited": 3},
        "cpu": cpu,
        "hung": None,
        "warnings": ["a line"],
        "points": [[0.0, 0], [2.5, 0], [2.5, 4096]],
    }


def test_a_line_that_was_cut_off_is_written_over(tmp_path):
    path = tmp_path / "part"
    with Partial(str(path)) as kept:
        kept.add("a", result_that_saved(1))
        kept.add("b", result_that_saved(2))
    path.write_bytes(path.read_bytes()[:-5])
    with Partial(str(path)) as kept:
        assert kept.known == {"a": result_that_saved(1)}
        kept.add("c", result_that_saved(3))
    with Partial(str(path)) as kept:
        assert kept.known == {"a": result_that_saved(1), "c": result_that_saved(3)}


def entry_with(**changes):
    """A line whose sum is right, with some fields of the result changed."""
    result = result_that_saved(1) | changes
    return {"key": "a", "result": result, "crc32": zlib.crc32(json.dumps(["a", result]).encode())}


def resumed(path, line):
    path.write_bytes(b'{"schema": "pksm.sweep.part/1"}\n' + line + b"\n")
    with Partial(str(path)) as kept:
        return kept.known


def test_a_line_is_taken_by_its_format(tmp_path):
    assert resumed(tmp_path / "part", json.dumps(entry_with()).encode()) == {"a": result_that_saved(1)}


@pytest.mark.parametrize(
    "changes",
    [
        {"saved_bytes": -4096},
        {"saved_bytes": 0.5},
        {"saved_bytes": True},
        {"mean_saved_bytes": float("nan")},
        {"mean_saved_bytes": float("inf")},
        {"ms": "500"},
        {"page_size": 0},
        {"cpu": {"seconds": 1.0}},
        {"cost": 5},
        {"warnings": "one"},
        {"hung": 1},
        {"points": []},
        {"points": [[0.0, 0, 0]]},
        {"points": [[2.0, 0], [1.0, 4096]]},
        {"pints": []},
    ],
    ids=str,
)
def test_a_result_that_no_run_has_is_one_line(tmp_path, changes):
    with pytest.raises(UsageError, match="line 2 of it is damaged: remove the line"):
        resumed(tmp_path / "part", json.dumps(entry_with(**changes)).encode())


@pytest.mark.parametrize(
    "old, new",
    [
        (b'"points"', b'"pints"'),
        (b'"saved_bytes": 4096', b'"saved_bytes": 8192'),
        (b'"key": "a"', b'"key": "b"'),
        (b'"crc32"', b'"crc"'),
    ],
)
def test_a_line_that_was_changed_is_found(tmp_path, old, new):
    line = json.dumps(entry_with()).encode()
    assert old in line
    with pytest.raises(UsageError, match="line 2 of it is damaged: remove the line"):
        resumed(tmp_path / "part", line.replace(old, new))


def test_results_are_kept_in_a_regular_file_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        with pytest.raises(UsageError, match=f"{path}: is not a regular file"), Partial(path):
            pass


@pytest.mark.parametrize("line", [b"5", b"[]", b'{"key": "a", "result": 5}', b'{"key": [], "result": {}, "crc32": 0}'])
def test_a_line_of_something_else_is_one_line(tmp_path, line):
    with pytest.raises(UsageError, match="line 2 of it is damaged: remove the line"):
        resumed(tmp_path / "part", line)


@pytest.mark.parametrize("held", [b"something else\n", b"{}", b'{"schema": "pksm.sweep.part/1"}\nnonsense\n'])
def test_a_file_that_holds_something_else_is_left_alone(tmp_path, held):
    path = tmp_path / "part"
    path.write_bytes(held)
    with pytest.raises(UsageError, match="part: "):
        sweep("b", "ksmd", resume=str(path), executor=Inline(), **SMALL)
    assert path.read_bytes() == held


def test_tasks_pickle_and_have_keys_of_their_own():
    tasks = [
        Task(Settings("b", pages=pages, seed=seed), choose("ksmd", {"pages_to_scan": scan})[0])
        for pages in (10, 20)
        for seed in (0, 1)
        for scan in (1, 2)
    ]
    assert len({task.key for task in tasks}) == len(tasks)
    assert [pickle.loads(pickle.dumps(task)).key for task in tasks] == [task.key for task in tasks]


def test_an_object_that_is_played_is_stored_once_and_mapped():
    import numpy as np

    thing = {"ids": np.arange(100_000)}
    with stored(thing) as one:
        assert len(pickle.dumps(one)) < 1000
        loaded = one.load()["ids"]
        assert (loaded == thing["ids"]).all() and not loaded.flags.writeable and not loaded.flags.owndata
        path = one.path
    assert not os.path.exists(path)
    with stored("b") as name:
        assert name == "b"


def test_an_error_of_a_run_reaches_the_caller():
    with pytest.raises(PksmError, match="frames"):
        sweep("b", "ksmd", workers=1, page_size=4096, **SMALL | {"pages": 1 << 40})


# ---- what varies ----


@pytest.mark.parametrize(
    "values, found",
    [
        ("1,2,2,5", [1, 2, 5]),
        ("3:6", [3, 4, 5, 6]),
        ("100:20000:log2", [100, 20000]),
        ("1:1000:log4", [1, 10, 100, 1000]),
        ("1:3:log8", [1, 2, 3]),
        ("0:10:lin3", [0, 5, 10]),
    ],
)
def test_ranges(values, found):
    [(_, settings)] = varying.parse([f"pages_to_scan={values}"], choose("ksmd")).items()
    assert settings == {"pages_to_scan": found}


@pytest.mark.parametrize(
    "text, words",
    [
        ("pages_to_scan", "write NAME=VALUES"),
        ("pages_to_scan=", "write NAME=VALUES"),
        ("nothing=1", "no setting 'nothing'"),
        ("pksmd.pages_to_scan=1", "not among those chosen"),
        ("pages_to_scan=1:2:3", "a range is"),
        ("pages_to_scan=5:1", "a range goes up"),
        ("pages_to_scan=0:5:log3", "a range goes up"),
        ("pages_to_scan=1:1000000", "1000 values at most"),
        ("pages_to_scan=1:9:lin1", "a range goes up"),
        ("pages_to_scan=many", "whole number"),
    ],
)
def test_what_cannot_vary_is_one_line(text, words):
    with pytest.raises(UsageError, match=words):
        varying.parse([text], choose("ksmd"))


@pytest.mark.parametrize("changes", [["pages_to_scan=200"], {"ksmd.pages_to_scan": 200}])
def test_what_varies_has_no_value_besides(changes):
    with pytest.raises(UsageError, match="varies: give it no value besides"):
        sweep("b", "ksmd", ["pages_to_scan=100,1000"], changes, pages=64)


def test_a_setting_of_a_sweep_that_is_mistyped_is_answered_by_the_nearest():
    with pytest.raises(UsageError, match="unknown setting of a sweep 'page': did you mean pages"):
        sweep("b", "ksmd", page=64)


def test_settings_of_several_policies_are_named_with_them():
    with pytest.raises(UsageError, match="say whose setting it is, of ksmd, pksmd"):
        varying.parse(["pages_to_scan=1"], choose("ksmd,pksmd"))
    with pytest.raises(UsageError, match="varies already"):
        varying.parse(["ksmd.run=1", "ksmd.run=0"], choose("ksmd,pksmd"))
    with pytest.raises(UsageError, match="comes twice"):
        sweep("b", "ksmd:ksm-3.x,ksmd", executor=Inline(), **SMALL)
    with pytest.raises(UsageError, match="max_page_sharing=1"):
        sweep("b", "ksmd", ["max_page_sharing=1,2"], executor=Inline(), **SMALL)


def test_an_advisor_that_varies_has_no_further_row():
    document = sweep("b", "ksmd", ["advisor_mode=none,scan-time"], executor=Inline(), **SMALL)
    assert [row["settings"] for row in document["rows"]] == [{"advisor_mode": "none"}, {"advisor_mode": "scan-time"}]


# ---- curves ----


def test_a_curve_is_the_saving_at_every_moment():
    curve = Curve()
    settings = Settings("fork-family", pages=300, until_ms=4000, sample_ms=1)
    [run] = simulate(settings, choose("ksmd"), observers=[curve])["runs"]
    place = run["series"]["columns"].index("frames_saved")
    saved = {row[0]: row[place] for row in run["series"]["rows"]}
    for ms, frames in curve.points[1:]:
        assert saved[round(ms)] == frames or saved[round(ms) - 1] == frames
    exact = sum(saved[ms] for ms in range(1, 4000)) / 4000
    assert curve.mean(4000) == pytest.approx(exact, rel=0.02)


def test_when_so_much_was_saved():
    points = [(0, 0), (100, 0), (200, 50), (300, 40), (400, 90)]
    assert reached(points, 25) == 150
    assert reached(points, 50) == 200
    assert reached(points, 65) == 350
    assert reached(points, 91) is None
    assert reached(points, 0) == 0


def test_its_table_and_csv_have_every_row():
    document = sweep("b", "ksmd", ["pages_to_scan=50,100"], executor=Inline(), **SMALL)
    table = report.table(document, 120)
    assert "the kernel's advisor" in table and "50" in table and "KSM's" in table
    lines = report.csv(document).splitlines()
    assert len(lines) == 1 + 3 and lines[0].startswith("policy,pages_to_scan,advisor_mode,advisor,runs,cpu_percent")
    assert json.loads(json.dumps(document)) == document
    empty = {**document, "rows": [], "best_bytes": None, "done": 0, "interrupted": True}
    assert "interrupted" in report.table(empty) and report.csv(empty)


def test_one_run_of_a_sweep_can_be_made_by_itself():
    task = Task(Settings("b", pages=100, until_ms=500, sample_ms=None, pace="kernel"), choose("ksmd")[0])
    result = run_task(task)
    assert result["saved_bytes"] == 25 * 4096 and result["ms"] == 500
