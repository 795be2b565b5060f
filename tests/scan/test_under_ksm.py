"""KSM's own answer to what a scan finds, and what merging within parts alone saves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pksm.errors import UsageError
from pksm.extents import State
from pksm.scan import Settings, scan
from pksm.simulation import compare, from_sources

from support.memory_sources import GivenSource, Process, data

SIZE = 512


def page(text):
    return text.encode().ljust(SIZE, b"\0")


def pages(text):
    """A page for each letter; a 0 is a zero page."""
    return [page("" if letter == "0" else letter) for letter in text]


def process(name, text, user="root", **facts):
    source = Process(name, name, user, *pages(text))
    source._facts |= facts
    return source


def found(*sources, within=(), **changes):
    return scan(sources, Settings(page_size=SIZE, policy="ksmd", changes=changes, within=within))


def test_ksm_keeps_a_page_for_so_many_mappings_as_may_share_it():
    under = found(process("p", "aaaaab"), max_page_sharing=2)["under_ksm"]["if_all"]
    assert (under["rmap_items"], under["pages_shared"], under["pages_sharing"]) == (6, 2, 2), "the fifth stays alone"
    assert under["frames_saved"] == 2 and under["general_profit"] == 2 * SIZE - 6 * 64
    assert under["net_bytes"] == 2 * SIZE - 6 * 64 - 2 * 64


@pytest.mark.parametrize(("use_zero_pages", "zero", "sharing", "items"), [(0, 0, 2, 4), (1, 3, 0, 1)])
def test_zero_pages_go_where_the_setting_says(use_zero_pages, zero, sharing, items):
    under = found(process("p", "000a"), use_zero_pages=use_zero_pages)["under_ksm"]["if_all"]
    assert (under["ksm_zero_pages"], under["pages_sharing"], under["rmap_items"]) == (zero, sharing, items)
    assert under["frames_saved"] == 2 + use_zero_pages


def test_a_process_has_its_own_profit():
    one, two = found(process("one", "aab"), process("two", "ac"))["under_ksm"]["if_all"]["processes"]
    assert (one["ksm_merging_pages"], two["ksm_merging_pages"]) == (2, 1), "the first of a group hangs on it, too"
    assert one["ksm_process_profit"] == 2 * SIZE - 3 * 64 and two["ksm_process_profit"] == SIZE - 2 * 64


def test_what_has_not_opted_in_is_left_out_of_the_answer_for_now():
    source = GivenSource("p", data(*pages("aabb")), names=["heap", "heap", "stack", "stack"])
    source.mappings = [one.__class__(one.name, 0, 0, one.name == "heap") for one in source.mappings]
    under = found(source)["under_ksm"]
    assert (under["opted_in"]["pages_sharing"], under["if_all"]["pages_sharing"]) == (1, 2)
    assert under["opted_in"]["rmap_items"] == 2


@settings(max_examples=20)
@given(
    st.lists(st.text("abc0", min_size=1, max_size=30), min_size=1, max_size=3), st.booleans(), st.sampled_from([0, 3])
)
def test_the_answer_is_what_the_simulated_ksmd_comes_to(texts, by_zero, limit):
    changes = {"use_zero_pages": int(by_zero), "max_page_sharing": limit}
    under = found(*(process(f"p{n}", text) for n, text in enumerate(texts)), **changes)["under_ksm"]["if_all"]
    memory = from_sources([process(f"p{n}", text) for n, text in enumerate(texts)], page_size=SIZE)
    [run] = compare(memory, "ksmd", changes)["runs"]
    counters = run["final"]["counters"]
    assert counters["pages_sharing"] == under["pages_sharing"]
    assert counters["pages_shared"] == under["pages_shared"]
    assert counters["ksm_zero_pages"] == under["ksm_zero_pages"]
    assert counters["frames_saved"] == under["frames_saved"]


def test_isolation_costs_what_lies_in_several_parts():
    one = process("one", "aab0", user="ann", cgroup="/x")
    two = process("two", "ab0", user="ann", cgroup="/y")
    three = process("three", "a", user="bob", cgroup="/y")
    rows = found(one, two, three, within=("process", "user", "cgroup", "vm", "all"), use_zero_pages=1)["within"]
    assert {row["within"]: row["parts"] for row in rows} == {"process": 3, "user": 2, "cgroup": 2, "vm": 1, "all": 1}
    assert {row["within"]: row["saving_pages"] for row in rows} == {
        "process": 3, "user": 5, "cgroup": 4, "vm": 6, "all": 6}  # fmt: skip
    assert [row["ksm_frames_saved"] for row in rows] == [row["saving_pages"] for row in rows]


def test_a_frame_that_relatives_share_counts_once_however_they_are_parted():
    one = GivenSource("one", data(*pages("00a")), [1, 2, 3], [False] * 3)
    two = GivenSource("two", data(*pages("00a")), [1, 2, 3], [False] * 3)
    rows = found(one, two, within=("process", "all"), use_zero_pages=1)["within"]
    assert [row["saving_pages"] for row in rows] == [2, 2]


def test_zero_pages_without_bytes_count():
    source = GivenSource("dump", [(State.DATA, page("a")), (State.ZERO, None), (State.ZERO, None)])
    under = found(source, use_zero_pages=1)["under_ksm"]["if_all"]
    assert (under["ksm_zero_pages"], under["rmap_items"], under["frames_saved"]) == (2, 1, 2)


def test_another_policy_has_no_answer_of_ksm_and_an_unknown_part_is_refused():
    assert "under_ksm" not in scan([process("p", "a")], Settings(page_size=SIZE))
    with pytest.raises(UsageError, match="unknown part 'room'"):
        Settings(within=("room",))
