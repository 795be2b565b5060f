"""Recordings played again: the machine's memory is what was recorded, whoever merges, and what is saved is counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm import Machine, Simulation, UsageError, policies
from pksm.hosts.machine.content import pages_of
from pksm.recording import Kind
from pksm.simulation import RecordedWrites, Settings, simulate
from pksm.simulation.real import STORED_BYTES

from support.recordings import block, recorded, stories

B, W, D = Kind.BIRTH, Kind.WRITE, Kind.DEATH


@given(stories(8), st.sampled_from(["nobody", "ksmd", "pksmd"]))
def test_memory_is_what_was_recorded_whoever_merges(told, policy):
    story, peak = told
    with recorded([one for one, _ in story]) as path:
        workload = RecordedWrites.opened(path)
        assert workload.frames == peak
        machine = Machine(peak + 600, STORED_BYTES)
        sim = Simulation(machine, policies.make(policy, machine))
        workload.play(sim)
        machine.check()
        spaces = story[-1][1] if story else {}
        assert len(machine.mms) == len(spaces)
        for mm, number in zip([machine.mms[key] for key in sorted(machine.mms)], sorted(spaces), strict=True):
            for page, content in spaces[number].items():
                held = machine.read(mm, page * STORED_BYTES)
                assert held.tobytes() == pages_of([content], STORED_BYTES).tobytes()
        alive = sum(len(pages) for pages in spaces.values())
        assert machine.frames_used + machine.frames_saved <= alive


def pairs(n, first_content):
    """The pages 0 .. 2n-1 of n pairs."""
    return [(page, B, first_content + page // 2) for page in range(2 * n)]


def played(blocks, end_ms, **settings):
    with recorded(blocks, end_ms) as path:
        document = simulate(Settings(str(path), sample_ms=1000), policies.choose("ksmd", settings))
    [run] = document["runs"]
    assert document["page_size"] == 4096
    return run["final"]


FAST = {"pages_to_scan": 10000, "sleep_millisecs": 20}
BEGIN = [("start", 1, "a"), ("map", 0, 100, "heap", False)]


def test_what_is_saved_is_averaged_over_all_of_the_time():
    final = played([block(0, 0, BEGIN, pairs(10, 1)), block(50_000, 0, [("exit",)])], 100_000, **FAST)
    assert final["replay"]["most_saved_bytes"] == 10 * 4096
    assert final["replay"]["mean_saved_bytes"] == pytest.approx(5 * 4096, rel=0.1)
    assert final["replay"]["freed"] == 10 and final["replay"]["undone"] == 0


def test_the_profit_of_ksm_is_counted_in_bytes_of_recorded_pages():
    final = played([block(0, 0, BEGIN, pairs(10, 1))], 10_000, **FAST)
    assert final["counters"]["general_profit"] == 10 * 4096 - 20 * 64


@pytest.mark.parametrize("after_ms, soon", [(20_000, 4), (90_000, 0)])
def test_merges_that_are_undone_are_counted_and_how_soon(after_ms, soon):
    writes = [(page, W, 1000 + page) for page in range(8)]  # both of each of four pairs
    steps = [block(ms, 0, [], [(99, B if ms == 1000 else W, ms)]) for ms in range(1000, after_ms, 1000)]
    final = played([block(0, 0, BEGIN, pairs(10, 1)), *steps, block(after_ms, 0, [], writes)], after_ms + 10, **FAST)
    assert (final["replay"]["undone"], final["replay"]["undone_soon"]) == (4, soon)
    assert final["ms"] == after_ms + 10


def test_a_copy_that_says_the_same_ends_what_a_fork_shares():
    blocks = [
        block(0, 0, BEGIN, [(page, B, page + 1) for page in range(10)]),
        block(0, 1, [("fork", 0, 2, "b")], [(page, Kind.SAME, None) for page in range(4)]),
    ]
    with recorded(blocks) as path:
        machine = Machine(100, STORED_BYTES)
        RecordedWrites.opened(path).play(Simulation(machine))
        assert machine.frames_used == 14


def test_only_what_had_opted_in_is_merged_if_that_is_wanted():
    begin = [("start", 1, "a"), ("map", 0, 4, "in", True), ("map", 10, 4, "out", False)]
    events = [(page, B, 1) for page in (0, 1, 2, 3, 10, 11, 12, 13)]
    for only, saved in ((True, 3), (False, 7)):
        with recorded([block(0, 0, begin, events)], 5000) as path:
            workload = RecordedWrites.opened(path, opted_in_only=only)
            document = simulate(Settings(workload), policies.choose("ksmd", FAST))
            assert document["runs"][0]["final"]["counters"]["frames_saved"] == saved


def test_what_was_equal_and_not_merged_is_counted():
    """Nobody opts in: all that had equals stays as it is."""
    begin = [("start", 1, "a"), ("map", 0, 4, "in", False)]
    with recorded(
        [block(0, 0, begin, [(page, B, 1) for page in range(4)]), block(3000, 0, (), [(0, W, 2)])], 4000
    ) as path:
        document = simulate(Settings(str(path), opted_in_only=True), policies.choose("ksmd", FAST))
        replay = document["runs"][0]["final"]["replay"]
        assert replay["limbo_mean_bytes"] == (3 * 3000 + 2 * 1000) / 4000 * 4096
        assert replay["equals"]["ended"] == 1 and replay["equals"]["ended_s"]["p50"] == pytest.approx(3, rel=0.01)
        assert replay["equals"]["lasting"] == 3
        assert replay["volatile_share"] == 3000 / 16000
        everything = simulate(Settings(str(path)), policies.choose("ksmd", FAST))["runs"][0]["final"]["replay"]
        assert everything["limbo_mean_bytes"] < replay["limbo_mean_bytes"]


def test_what_cannot_have_happened_is_refused_before_it_is_played():
    with (
        recorded([block(0, 0, BEGIN, [(7, D, None)])]) as path,
        pytest.raises(UsageError.__mro__[1], match="not there"),
    ):
        RecordedWrites.opened(path)
    with recorded([block(0, 0, [("start", 1, "a"), ("map", 1 << 50, 9, "", True)])]) as path:
        with pytest.raises(UsageError, match="at 0 ms of the recording"):
            RecordedWrites.opened(path).play(Simulation(Machine(100, STORED_BYTES)))


def test_a_recording_of_nothing_can_be_played():
    with recorded([], 500) as path:
        assert RecordedWrites.opened(path).last_ms == 500
        document = simulate(Settings(str(path)), policies.choose("nobody"))
    assert document["runs"][0]["final"]["replay"]["mean_saved_bytes"] == 0
    assert np.isfinite(document["runs"][0]["final"]["ms"])


@pytest.mark.parametrize("end_ms", [None, 3000])
def test_what_is_cut_short_says_so(end_ms):
    with recorded([block(0, 0, [("start", 1, "a"), ("map", 0, 2, "", True)], [(0, Kind.BIRTH, 7)])], end_ms) as path:
        document = simulate(Settings(str(path)), policies.choose("pksmd"))
    assert [path.name in line for line in document["warnings"]] == ([True] if end_ms is None else [])


@given(stories(8), st.integers(0, 9000), st.integers(1, 9000), st.sampled_from(["nobody", "ksmd", "pksmd"]))
def test_a_part_is_played_on_what_was_there_when_it_began(told, first, length, policy):
    story, peak = told
    last = story[-1][0].ms if story else 0
    first = min(first, max(0, last - 1))
    end = min(last, first + length)
    if first >= end:
        return
    with recorded([one for one, _ in story], last) as path:
        workload = RecordedWrites.opened(path, between=f"{first}ms-{end}ms")
        assert workload.last_ms == end - first and workload.most_pages <= workload.frames <= peak
        machine = Machine(peak + 600, STORED_BYTES)
        sim = Simulation(machine, policies.make(policy, machine))
        workload.play(sim)
        machine.check()
        assert sim.now == end - first
        spaces = ([{}] + [pages for one, pages in story if one.ms <= end])[-1]
        for mm, number in zip([machine.mms[key] for key in sorted(machine.mms)], sorted(spaces), strict=True):
            for page, content in spaces[number].items():
                held = machine.read(mm, page * STORED_BYTES)
                assert held.tobytes() == pages_of([content], STORED_BYTES).tobytes()


def test_in_a_part_only_its_own_time_counts():
    """Ten pairs that are there from the start are written after a minute: what is saved before that is another part."""
    writes = [(page, W, 1000 + page) for page in range(20)]
    blocks = [block(0, 0, BEGIN, pairs(10, 1)), block(60_000, 0, [], writes)]
    with recorded(blocks, 100_000) as path:
        for part, most, undone in (("0s-50s", 10, 0), ("30s-100s", 10, 10), ("61s-100s", 0, 0)):
            settings = Settings(str(path), sample_ms=1000, between=part)
            document = simulate(settings, policies.choose("ksmd", FAST))
            final = document["runs"][0]["final"]
            assert document["workload"] == f"{path}, {part}" and document["warnings"] == []
            assert final["replay"]["most_saved_bytes"] == most * 4096 and final["replay"]["undone"] == undone
            assert final["ms"] == 1000 * final["replay"]["seconds"]
        cut = simulate(Settings(str(path), between="90s-200s"), policies.choose("ksmd", FAST))
        assert "only 10 s of that were recorded" in cut["warnings"][0]


@pytest.mark.parametrize("workload", ["b", RecordedWrites("a", 4096, 10, 10)])
def test_what_has_no_time_of_day_has_no_parts(workload):
    with pytest.raises(UsageError, match="is for a recording") as error:
        simulate(Settings(workload, between="9:00-17:00"), policies.choose("ksmd"))
    assert error.value.argument == "between"
