"""The machine that steers the strength of UKSM's hash, on what a recorded kernel's hashes were worth and cost."""

import pytest

from pksm.policies.uksm.strength import Strength

# (worth, cost, pages hashed, strength from then on) of the full scans 2 to 22 of a kernel with UKSM 0.1.2
ORPHAN = [
    *[(384000, 240560, 400, 64), (192000, 122220, 200, 64), (202560, 131920, 211, 64), (195840, 133860, 204, 64)],
    *[(180480, 119310, 188, 64), (194880, 137740, 203, 64), (192000, 125130, 200, 64), (196800, 133860, 205, 64)],
    *[(192960, 132890, 201, 63), (182590, 88361, 190, 61), (201267, 105084, 209, 57), (197268, 101608, 204, 49)],
    *[(199875, 101455, 205, 33), (178380, 82082, 180, 1), (226083, 124993, 221, 65), (195636, 100776, 204, 66)],
    *[(192558, 94864, 201, 68), (171124, 78246, 179, 33), (216038, 118118, 218, 33), (191263, 135135, 193, 33)],
    (198200, 133133, 200, 33),
]


def strengths(worths, words=64):
    machine = Strength(words, 1034)
    return machine, [machine.adjust(*worth, full_scans) for full_scans, worth in enumerate(worths, 2)]


def test_it_looks_on_both_sides_and_takes_the_better_point():
    machine, ours = strengths([worth[:3] for worth in ORPHAN])
    assert ours == [worth[3] for worth in ORPHAN]
    # as the kernel showed it: where it turned, and the benefits there
    assert (machine.turn_down, machine.best_down, machine.turn_up, machine.best_up) == (33, 534, 64, 298)
    assert (machine.stable_point, machine.below, machine.window, machine.step) == (64, 3, 3, 0)


@pytest.mark.parametrize("scans, strength", [(4, 64), (5, 63), (6, 61), (7, 57), (8, 49), (9, 33), (10, 1), (11, 34)])
def test_still_memory_needs_ever_fewer_words(scans, strength):
    """The strengths of a kernel in which 500 pages were left alone; at full scan 10 it probes, from 33 words on."""
    _, ours = strengths([(960 * 500, 300 * 500, 500), *[(960 * 500, 0, 500)] * 20])
    assert ours[scans - 2] == strength


def test_what_it_begins_with_is_not_one_of_three_balances_without_cost():
    """As in a kernel with a dozen pages of which one has the hash of zeros; none of 94 went down before full scan 5."""
    _, ours = strengths([(149760, 390, 156)] * 5)
    assert ours == [64, 64, 64, 63, 61]


def test_it_stays_while_no_page_is_hashed():
    _, ours = strengths([(149760, 390, 156), *[(0, 0, 0)] * 9])
    assert ours == [64] * 10


def test_a_turn_begins_with_a_step_of_one():
    _, ours = strengths([(1000, 0, 10)] * 5 + [(1000, 950, 10)] * 3)
    assert ours == [64, 64, 64, 63, 61, 62, 64, 68]


def test_three_of_a_window_of_five_that_are_worse_end_the_search():
    start = [(64000, 32000, 100)]
    good, worse = (64000, 20000, 100), (64000, 40000, 100)
    probe = [(64000, 6400, 100)] * 3  # far off the benefit before, three times
    for found, searches in (
        ([worse] * 3, False),
        ([worse, good, worse, good], True),
        ([worse, good] * 2 + [good], True),
    ):
        machine, _ = strengths(start + probe[:1] + probe + found, words=600)
        assert (machine.state == 1) == searches
