"""Advice on recordings: what was equal for a while, what writes undid, and the verdict by the average."""

import pytest

from pksm.advice import Settings, advise_recording, coarse, moments
from pksm.errors import UsageError
from pksm.recording.events import Kind
from pksm.report import advise as report
from pksm.simulation import RecordedWrites

from support.documents import faults
from support.recordings import block, recorded

B, W, D = Kind.BIRTH, Kind.WRITE, Kind.DEATH
N = 400
SIZE = 4096


def begin(space, contents):
    return block(
        0,
        space,
        [("start", 100 + space, f"p{space}"), ("map", 0, N, "heap", False)],
        [(page, B, content) for page, content in enumerate(contents)],
    )


def twins():
    """Two processes with the same 400 pages, 100 of them zero."""
    contents = [0] * 100 + list(range(1, 301))
    return [begin(0, contents), begin(1, contents)]


def advice(blocks, end_ms=10_000, **more):
    settings = Settings(**{"least_percent": 0, "least_bytes": 100 * SIZE, **more})
    with recorded(blocks, end_ms, every_ms=1000) as path:
        document = advise_recording(path, settings)
    assert faults(document) == []
    return document


def test_memory_that_stays_equal_is_worth_it():
    document = advice(twins())
    verdict = document["verdict"]
    assert verdict["kind"] == "turn it on" and verdict["names"] == ["p0 (pid 100)", "p1 (pid 101)"]
    assert verdict["of_bytes"] == 2 * N * SIZE
    [starred] = [row for row in document["pareto"] if row["starred"]]
    assert verdict["net_bytes"] == starred["mean_saved_bytes"] - starred["metadata_bytes"]
    assert starred["saved_bytes"] == 500 * SIZE and starred["undone"] == 0
    assert 450 * SIZE < starred["mean_saved_bytes"] < 500 * SIZE, "it takes a moment"
    assert {one["kind"]: one["pages"] for one in document["kinds"]} == {
        "zero pages": 200, "equal pages within one process": 0, "across processes": 300,
    }  # fmt: skip
    assert document["risk"]["groups_across_tenants"] == 300 and document["recorded"]["volatile_share"] == 0


def test_what_is_equal_for_a_short_time_alone_is_not_worth_it():
    apart = [block(500, space, (), [(page, W, space * N + 10_000 + page) for page in range(N)]) for space in (0, 1)]
    document = advice(twins() + apart, 60_000)
    assert document["verdict"]["kind"] == "not worth it" and document["pareto"] == [] and document["settings"] == []
    assert document["recorded"]["equals"]["mean_bytes"] < 100 * SIZE
    assert "merging all equal pages at once would have saved" in document["verdict"]["sentence"]


def blinking():
    """Two processes whose pages are equal for 1 s, and not for the next."""
    blocks, fresh = twins(), 10_000
    for second in range(1, 10):
        contents = range(fresh, fresh + N) if second % 2 else [0] * 100 + list(range(1, 301))
        blocks.append(block(1000 * second, 1, (), [(page, W, content) for page, content in enumerate(contents)]))
        fresh += N
    return blocks


def test_writes_undo_merges_and_that_is_the_risk():
    document = advice(blinking())
    [starred] = [row for row in document["pareto"] if row["starred"]]
    assert starred["undone"] > 0 and starred["undone"] >= starred["undone_soon"]
    assert document["recorded"]["volatile_share"] > 0.3
    said = " ".join(report.table(document).split())
    assert "were undone by writes" in said and "How much is written is not known" not in said
    assert "not change meanwhile" not in said and "undone" in report.csv(document).partition("\n")[0]


def test_the_average_decides_and_not_what_was_saved_at_most():
    floor = 280 * SIZE
    document = advice(blinking(), least_bytes=floor)
    rows = document["pareto"]
    assert document["verdict"]["kind"] == "not worth it" and document["recorded"]["equals"]["mean_bytes"] >= floor
    assert max(row["saved_bytes"] for row in rows) > floor > document["verdict"]["net_bytes"]


def test_zero_pages_only():
    contents = [0] * 300 + list(range(1, 101))
    document = advice([begin(0, contents), begin(1, [content + 1000 if content else 0 for content in contents])])
    assert document["verdict"]["kind"] == "zero pages only"
    assert "use_zero_pages" in [one["name"] for one in document["settings"]]


def test_a_pace_that_would_take_too_long_is_left_out_and_named(monkeypatch):
    monkeypatch.setattr("pksm.advice.recorded.MOST_S", 10_000 / 20 * (coarse.WAKE_S + 100 * coarse.VISIT_S))
    document = advice(twins())
    assert [row["label"] for row in document["pareto"]] == ["100 pages / 20 ms"]
    assert len(document["warnings"]) == 6 and "too long a recording" in document["warnings"][0]


def flickering(seconds):
    """Twins of which a sixth is written anew every ten seconds, with the same in both."""
    blocks = twins()
    for second in range(10, seconds, 10):
        first = second // 10 % 6 * 60
        contents = [(page, W, 1000 * second + page) for page in range(first, first + 60)]
        blocks += [block(1000 * second, space, (), contents) for space in (0, 1)]
    return blocks


def test_fewer_wake_ups_give_nearly_the_same(monkeypatch):
    monkeypatch.setattr("pksm.advice.trials.PAGES_TO_SCAN", (2, 4))
    fine = advice(flickering(600), 600_000)
    monkeypatch.setattr("pksm.advice.coarse.FINE_WAKES", 1000)
    rough = advice(flickering(600), 600_000)
    pairs = [(one, other) for one in rough["pareto"] for other in fine["pareto"] if one["label"] == other["label"]]
    slow = [pair for pair in pairs if "pages" in pair[0]["label"]]
    assert len(slow) == 2, "as they were asked for"
    for one, other in slow:
        assert one["cpu_seconds"] != other["cpu_seconds"] == pytest.approx(one["cpu_seconds"], rel=0.03)
        assert one["mean_saved_bytes"] == pytest.approx(other["mean_saved_bytes"], rel=0.03)
        assert one["undone"] == pytest.approx(other["undone"], rel=0.1) and other["undone"] > 500


def test_only_the_pace_that_is_simulated_soonest_may_take_long(monkeypatch):
    monkeypatch.setattr("pksm.advice.recorded.MOST_S", 0)
    assert [row["label"] for row in advice(twins())["pareto"]] == ["100 pages / 20 ms"]
    monkeypatch.setattr("pksm.advice.recorded.MOST_ALONE_S", 0)
    with pytest.raises(UsageError, match="too long a recording to simulate at any pace"):
        advice(twins())


def test_a_recording_of_no_time_is_refused():
    with pytest.raises(UsageError, match="lasts 0 s"):
        advice([begin(0, [1, 1])], end_ms=0)


def test_a_process_that_is_named_by_its_number_has_it_once():
    start = block(
        0, 0, [("start", 7, "pid 7 (web)"), ("map", 0, 2 * N, "", True)], [(page, B, 1) for page in range(2 * N)]
    )
    assert advice([start])["verdict"]["names"] == ["pid 7 (web)"]


def test_a_recording_that_is_too_long_for_every_pace_is_refused():
    week = 7 * 86_400_000
    with pytest.raises(UsageError, match="too long a recording to simulate at any pace: name a part of it") as refused:
        advice(twins(), week)
    assert refused.value.argument == "between"


def test_a_recording_that_was_cut_short_says_so():
    assert "is cut short" in advice([*twins(), block(5000, 0, (), [(0, W, 9)])], None)["warnings"][-1]


@pytest.mark.parametrize(
    "wrong", [{"tenants": "user"}, {"within": "user"}, {"again_seconds": 1.0}, {"page_size": 4096}]
)
def test_what_is_not_for_recordings_is_refused(wrong):
    with recorded(twins(), 1000) as path, pytest.raises(UsageError) as refused:
        advise_recording(path, Settings(**wrong))
    assert refused.value.argument == next(iter(wrong))


def test_frames_of_a_fork_count_once_and_looks_are_means_over_time():
    pairs = [page // 2 + 1 for page in range(N)]
    blocks = [
        begin(0, pairs),
        block(0, 1, [("fork", 0, 7, "child")]),
        block(5000, 0, (), [(page, W, 0) for page in range(N)]),
    ]
    with recorded(blocks, 10_000) as path:
        seen = moments.seen_in(RecordedWrites.opened(path), looks=10)
    assert seen.zero_pages == N / 2, "for half of the time"
    assert seen.within_pages == N / 2, "the child keeps the pairs"
    assert (seen.across_pages, seen.shared_contents, seen.largest_group) == (0, 200, 2)


def test_a_part_has_a_verdict_of_its_own():
    apart = [block(5000, space, (), [(page, W, space * N + 10_000 + page) for page in range(N)]) for space in (0, 1)]
    with recorded(twins() + apart, 20_000) as path:
        settings = Settings(least_percent=0, least_bytes=100 * SIZE)
        for part, kind in (("0s-5s", "turn it on"), ("6s-20s", "not worth it")):
            document = advise_recording(path, settings, between=part)
            assert faults(document) == []
            assert document["verdict"]["kind"] == kind and document["sources"] == [f"{path}, {part}"]
        cut = advise_recording(path, settings, between="1s-99s")
        assert cut["recorded"]["seconds"] == 19 and "only 19 s of that were recorded" in cut["warnings"][0]
