"""Parts of recordings: which one a text names, and what is counted in it."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.errors import UsageError
from pksm.recording import Kind, Recording
from pksm.recording.between import part_of
from pksm.recording.summary import summary

from model import lives as twin
from support.recordings import block, recorded, stories

HOUR = 3_600_000
B, W = Kind.BIRTH, Kind.WRITE


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    """A zone with summer time."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def epoch(text):
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M"))


def part(text, began="2026-11-27 08:00", hours=12.0):
    said = {} if began is None else {"began": epoch(began) if isinstance(began, str) else began}
    with recorded([], round(hours * HOUR), **said) as path, Recording(path) as recording:
        return part_of(recording, text)


@pytest.mark.parametrize(
    "text, span",
    [
        ("9:00-17:00", (1, 9)),
        (" 09:00 - 17:00 ", (1, 9)),
        ("2026-11-27T9:00-17:00", (1, 9)),
        ("2026-11-27 9:00-17:00", (1, 9)),
        ("9:30:36-9:45", (1.51, 1.75)),
        ("600s-1.5h", (1 / 6, 1.5)),
        ("0ms-90m", (0, 1.5)),
    ],
)
def test_a_part_is_hours_of_the_clock_or_times_since_the_beginning(text, span):
    found = part(text)
    assert (found.from_ms, found.until_ms) == tuple(round(hours * HOUR) for hours in span)
    assert found.text == text.strip() and found.lacks == ""


def test_a_night_ends_on_the_next_day():
    found = part("22:00-6:00", "2026-11-27 20:00", 12)
    assert (found.from_ms, found.until_ms, found.lacks) == (2 * HOUR, 10 * HOUR, "")
    assert part("22:00-24:00", "2026-11-27 20:00", 12).until_ms == 4 * HOUR


def test_hours_are_by_the_clock_when_summer_ends():
    found = part("1:00-5:00", "2026-10-25 00:00", 12)
    assert found.until_ms - found.from_ms == 5 * HOUR


def test_of_what_was_recorded_in_part_the_part_is_taken_and_said():
    found = part("6:00-9:00")
    assert (found.from_ms, found.until_ms) == (0, HOUR)
    assert "only 3600 s of that were recorded" in found.lacks
    assert part("11h-99h").until_ms == 12 * HOUR and "only" in part("11h-99h").lacks


def test_a_day_on_which_all_of_it_was_recorded_goes_before_one_with_a_part():
    assert part("9:00-17:00", "2026-11-27 16:00", 26).from_ms == 17 * HOUR


def test_of_several_days_one_must_be_named():
    with pytest.raises(UsageError, match="several days: name one, as 2026-11-27T9:00-17:00"):
        part("9:00-17:00", hours=100)
    assert part("2026-11-28T9:00-17:00", hours=100).from_ms == 25 * HOUR


@pytest.mark.parametrize(
    "text, said",
    [
        ("nine to five", "is not a part of a recording"),
        ("9-17", "is not a part of a recording"),
        ("25:00-26:00", "is not a part of a recording"),
        ("9:60-10:00", "is not a part of a recording"),
        ("9:00-9:00", "is not a part of a recording"),
        ("24:00-3:00", "is not a part of a recording"),
        ("2026-02-30T9:00-17:00", "is not a part of a recording"),
        ("600s-9:00", "is not a part of a recording"),
        ("600s-600s", "ends before it has begun"),
        ("20:30-23:00", "nothing was recorded then"),
        ("2025-01-01T9:00-17:00", "nothing was recorded then"),
        ("2027-01-01T9:00-17:00", "nothing was recorded then"),
        ("9999-12-31T9:00-8:00", "a calendar"),
        ("12h-13h", "nothing was recorded then: it lasts 43200 s, from 2026-11-27 08:00:00 to 2026-11-27 20:00:00"),
    ],
)
def test_what_was_not_recorded_is_refused(text, said):
    with pytest.raises(UsageError, match=said) as error:
        part(text)
    assert error.value.argument == "between" and "\n" not in str(error.value)


@pytest.mark.parametrize("began", [None, True, "yesterday", float("nan"), float("inf"), 10**400, 1e300, -1e300])
def test_a_recording_that_does_not_know_when_it_began_has_no_hours(began):
    said = {} if began is None else {"began": began}
    with recorded([], 12 * HOUR, **said) as path, Recording(path) as recording:
        with pytest.raises(UsageError, match=r"does not say when it began|no time that a calendar has|nothing was"):
            part_of(recording, "9:00-17:00")
        assert part_of(recording, "1h-2h").from_ms == HOUR
        with pytest.raises(UsageError, match="it lasts 43200 s"):
            part_of(recording, "12h-13h")


@given(stories(20, few=True), st.integers(0, 12_000), st.integers(1, 12_000))
def test_a_part_counts_what_happened_in_it(told, first, length):
    story, _ = told
    last = story[-1][0].ms if story else 0
    first, end = min(first, max(0, last - 1)), min(last, min(first, max(0, last - 1)) + length)
    if first >= end:
        return
    slow, counts, pages, page_ms, peak, now = twin.Lives(), np.zeros(len(Kind), int), 0, 0, None, first
    for one, spaces in story:
        if one.ms > end:
            break
        if one.ms > first:
            if peak is None:
                slow.count_from(first)
                peak = pages
            page_ms += pages * (one.ms - now)
            now = one.ms
            counts += np.bincount(one.kinds, minlength=len(Kind))
        slow.apply(one)
        pages = sum(map(len, spaces.values()))
        peak = peak if peak is None else max(peak, pages)
    if peak is None:
        slow.count_from(first)
        peak = pages
    page_ms += pages * (end - now)
    slow.at(end)
    with recorded([one for one, _ in story], last) as path:
        found = summary(path, between=f"{first}ms-{end}ms")
    assert found["seconds"] == (end - first) / 1000 and found["from_s"] == first / 1000
    assert list(found["events"].values()) == counts.tolist()
    assert found["most_pages"] >= peak and sum(space["pages"] for space in found["spaces"]) == pages
    assert found["equals"]["mean_bytes"] == round(slow.spare_ms / (end - first) * 4096)
    assert found["equals"]["ended"] == len(slow.ended) and found["equals"]["lasting"] == len(slow.lasting())
    writes = counts[Kind.WRITE] + counts[Kind.SAME]
    assert found["write_rate"] == (round(1000 * writes / page_ms, 6) if page_ms else 0)
    assert found["points"][0][0] == first / 1000 and found["points"][-1][0] <= end / 1000


def test_what_was_written_before_a_part_is_not_rewritten_in_it():
    begin = [("start", 1, "a"), ("map", 0, 4, "heap", False)]
    blocks = [
        block(0, 0, begin, [(page, B, page + 1) for page in range(4)]),
        block(10_000, 0, (), [(0, W, 10)]),
        block(20_000, 0, (), [(1, W, 11)]),
    ]
    with recorded(blocks, 30_000) as path:
        assert summary(path)["volatile_share"] == round(30_000 / 120_000, 6)
        assert summary(path, between="10s-30s")["volatile_share"] == round(10_000 / 80_000, 6)
        assert summary(path, between="21s-30s")["volatile_share"] == 0
