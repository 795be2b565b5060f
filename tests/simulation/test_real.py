"""Real memory as a workload: the pages that sources hold, as processes over the frames that they share."""

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.errors import UsageError
from pksm.extents import State
from pksm.hosts.machine import Machine
from pksm.policies import choose
from pksm.simulation import RealMemory, Simulation, compare, from_sources
from pksm.simulation.real import STORED_BYTES

from support.memory_sources import GivenSource, data

SIZE = 512


def page(text):
    return text.encode().ljust(SIZE, b"\0")


def pages(text):
    """A page for each letter; a 0 is a zero page."""
    return [page("" if letter == "0" else letter) for letter in text]


def process(name, text, frames=None, names=None):
    """A source with a page for each letter, and the frame of each."""
    exclusive = None if frames is None else [False] * len(frames)
    return GivenSource(name, data(*pages(text)), frames, exclusive, names)


def take(*sources, **more):
    return from_sources(sources, page_size=SIZE, **more)


def started(memory, policy="nobody"):
    """A simulation in which the memory is, at rest."""
    machine = Machine(memory.frames + 50, STORED_BYTES)
    sim = Simulation(machine, choose(policy)[0].make(machine))
    memory.play(sim)
    return sim


def seen(sim, name):
    """How often each content is mapped in a process, contents as the machine has them."""
    mm = sim.names.process(name)
    found = Counter()
    for vma in mm.vmas:
        first, end = sim.machine.vmas.span(vma)
        for start, slots in sim.machine.tables.existing(mm.root, first, end):
            mapped = start[sim.machine.tables.ptes[slots] != 0]
            for at in mapped.tolist():
                found[sim.machine.read(mm, at * STORED_BYTES)[0].tobytes()] += 1
    return found


def test_each_page_is_there_once_and_equal_ones_are_equal():
    sim = started(take(process("one", "abca00"), process("two", "ccd")))
    assert sorted(seen(sim, "one").values()) == [1, 1, 2, 2], "a and zero twice, b and c once"
    assert seen(sim, "one")[bytes(STORED_BYTES)] == 2
    assert sorted(seen(sim, "two").values()) == [1, 2]
    assert len(seen(sim, "one").keys() & seen(sim, "two").keys()) == 1, "c alone is in both"
    assert sim.machine.frames_used == 9


def test_frames_that_processes_share_are_shared():
    """As after a fork: three frames in common, one of each for itself."""
    memory = take(process("one", "abcx", [1, 2, 3, 4]), process("two", "abcx", [1, 2, 3, 5]))
    [family] = memory.families
    assert memory.frames == 5 and len(family.contents) == 3
    sim = started(memory)
    assert sim.machine.frames_used == 5
    assert seen(sim, "one") == seen(sim, "two")
    sim.machine.check()


def test_each_relative_maps_only_what_it_has():
    memory = take(process("one", "abc", [1, 2, 3]), process("two", "bcd", [2, 3, 4]), process("three", "ad", [1, 4]))
    sim = started(memory)
    assert memory.frames == sim.machine.frames_used == 4
    counts = [sum(seen(sim, name).values()) for name in ("one", "two", "three")]
    assert counts == [3, 3, 2]
    sim.machine.check()


def test_strangers_are_families_of_their_own():
    memory = take(process("one", "ab", [1, 2]), process("two", "ab", [2, 5]), process("three", "zz", [8, 9]))
    assert [[one.name for one in family.processes] for family in memory.families] == [["one", "two"], ["three"]]


def test_a_frame_that_a_process_maps_twice_is_merged_already_and_counts_as_two():
    memory = take(process("one", "aab", [1, 1, 2]), process("two", "a", [1]))
    assert memory.frames == 4 and all(not len(family.contents) for family in memory.families)


@given(st.data())
def test_any_sharing_of_frames_is_kept(draw):
    """The oracle counts frames and mappings in plain Python."""
    frames = draw.draw(st.lists(st.lists(st.integers(1, 30), min_size=1, unique=True), min_size=1, max_size=5))
    letters = {frame: draw.draw(st.sampled_from("abc0")) for frame in {frame for one in frames for frame in one}}
    sources = [
        process(f"p{number}", "".join(letters[frame] for frame in one), one) for number, one in enumerate(frames)
    ]
    sim = started(take(*sources))
    assert sim.machine.frames_used == len(letters)
    for number, one in enumerate(frames):
        expected = Counter(letters[frame] for frame in one)
        assert sorted(seen(sim, f"p{number}").values()) == sorted(expected.values())
        assert seen(sim, f"p{number}")[bytes(STORED_BYTES)] == expected["0"]
    sim.machine.check()


def test_zero_pages_without_bytes_are_pages():
    source = GivenSource("dump", [(State.DATA, page("a")), (State.ZERO, None), (State.ZERO, None), (State.HOLE, None)])
    assert take(source).frames == 3
    assert compare(take(source), "pksmd")["runs"][0]["final"]["counters"]["frames_saved"] == 2


def test_every_policy_saves_on_it_what_it_saves_on_the_bytes():
    rng = np.random.default_rng(3)
    text = "".join(rng.choice(list("0abcdefgh"), 200))
    memory = take(process("one", text[:120]), process("two", text[120:]))
    document = compare(memory, "ksmd,pksmd", {"use_zero_pages": 1})
    assert document["page_size"] == SIZE and document["frames"] > 200
    for run in document["runs"]:
        distinct = len(set(text) - {"0"})
        assert run["final"]["counters"]["frames_used"] == distinct, run["policy"]
        assert run["readings"][0]["label"] == "at rest"


def test_work_is_counted_in_bytes_of_real_pages():
    [run] = compare(take(process("one", "abcdef")), "ksmd")["runs"]
    visits = run["final"]["cost"]["pages_visited"]
    hashed = run["final"]["cost"]["bytes_hashed"]
    assert hashed % SIZE == 0 and SIZE <= hashed <= visits * SIZE


def test_the_profit_of_ksm_is_counted_in_bytes_of_real_pages():
    """Six mappings of 64 bytes, of which three share frames of their kinds."""
    [run] = compare(take(process("one", "aabbbc")), "ksmd", {"max_page_sharing": 256})["runs"]
    assert run["final"]["counters"]["pages_sharing"] == 3
    assert run["final"]["counters"]["general_profit"] == 3 * SIZE - 6 * 64


def test_a_copy_of_a_machine_still_stands_for_real_pages():
    machine = Machine(10, STORED_BYTES, real_page_size=SIZE)
    for twin in (machine.snapshot(), pickle.loads(pickle.dumps(machine))):
        assert (twin.store.page_size, twin.store.real_page_size) == (STORED_BYTES, SIZE)
    assert Machine(10, SIZE).store.real_page_size == SIZE


def test_only_what_has_opted_in_is_merged_if_that_is_asked_for():
    source = process("one", "aabb", names=["heap", "heap", "stack", "stack"])
    source.mappings = [one.__class__(one.name, 0, 0, one.name == "heap") for one in source.mappings]
    saved = [
        compare(take(source, opted_in_only=only), "ksmd")["runs"][0]["final"]["counters"]["frames_saved"]
        for only in (False, True)
    ]
    assert saved == [2, 1]
    memory = take(source, opted_in_only=True)
    assert [area.opted_in for area in memory.processes[0].areas] == [True, False]
    assert not any(area.opted_in for area in memory.only(["another"]).processes[0].areas)


def test_no_bytes_are_kept_and_a_page_takes_at_most_24_bytes():
    memory = take(process("one", "abcd" * 500, list(range(2000))), process("two", "abcd" * 500, list(range(2000))))
    assert memory.nbytes <= 24 * 4000
    again = pickle.loads(pickle.dumps(memory))
    assert isinstance(again, RealMemory) and again.frames == memory.frames
    assert len(pickle.dumps(memory)) < SIZE * 100


def test_what_two_pages_have_in_common_is_measured():
    assert take(process("one", "ab")).prefix_bytes == 0
    alike = GivenSource("two", data(b"x" * 100 + page("a")[:-100], b"x" * 100 + page("b")[:-100]))
    assert take(alike).prefix_bytes == 100


def test_memory_of_which_nothing_is_resident_is_refused():
    with pytest.raises(UsageError, match="no resident memory"):
        take(GivenSource("hole", [(State.HOLE, None)]))


def order(sim, name):
    """The contents of a process in the order in which KSM visits them."""
    mm = sim.names.process(name)
    pages, _, _ = sim.machine.next_mapped(mm.id, 0, 100)
    return [sim.machine.read(mm, at * STORED_BYTES)[0].tobytes() for at in pages.tolist()]


def test_pages_of_a_family_are_visited_in_the_order_of_their_addresses():
    memory = take(process("one", "abcdef", [1, 2, 3, 4, 5, 6]), process("two", "abxdyf", [1, 2, 9, 4, 10, 6]))
    [family] = memory.families
    assert len(family.contents) == 4 and family.span == 6
    sim = started(memory)
    one, two = order(sim, "one"), order(sim, "two")
    assert [mine == theirs for mine, theirs in zip(one, two, strict=True)] == [True, True, False, True, False, True]
    assert len({*one, *two}) == 8 and one[0] != one[1], "each letter is a content"
    sim.machine.check()


def test_a_relative_that_has_not_opted_in_is_left_alone():
    memory = take(process("one", "aabq", [1, 2, 3, 4]), process("two", "axbx", [1, 7, 3, 8])).only(["one"])
    assert memory.families[0].span == 4
    assert started(memory, "ksmd").machine.frames_saved == 1, "one's second a joins the first; two's x stay two"


@pytest.mark.parametrize(
    "sources",
    [
        [("one", "ab", [1, 2]), ("two", "ba", [2, 1])],  # moved
        [("one", "a", [1]), ("two", "a", [3]), ("three", "ab", [1, 2]), ("four", "ab", [3, 2])],  # forks of forks
    ],
)
def test_a_family_without_one_address_for_each_page_is_taken_in_another_order(sources):
    memory = take(*(process(*one) for one in sources))
    [family] = memory.families
    assert family.span == 0 and started(memory).machine.frames_used == memory.frames
