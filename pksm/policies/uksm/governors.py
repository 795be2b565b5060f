"""Governors: what a share of a CPU comes to in pages. Integer arithmetic in the order of the kernel's."""

from __future__ import annotations

from typing import NamedTuple

RUNGS = 4
FIRST_PAGE_NS = 500  # that a visit is taken to cost before any was measured
MOST_PAGE_NS = 100_000  # a mean above this begins anew
ROUNDS_OF_MEAN = 256  # evaluation rounds after which the mean begins anew
MOST_SLEEP_MS = 1000
MOST_RATIO = 10_000  # parts of a CPU
FEWEST_SAMPLED = 3


class Governor(NamedTuple):
    """cpu_ratios: of each rung, in 1/10000 of a CPU, or "MAX/n"; cover_msecs: in which a rung is sampled once."""

    cpu_ratios: str
    eval_intervals: str
    max_cpu_percentage: int


GOVERNORS = {
    "full": Governor("20 40 MAX/4 MAX/1", "1000 500 200 50", 95),
    "medium": Governor("20 30 MAX/4 MAX/1", "1000 500 400 100", 50),
    "low": Governor("10 20 MAX/2 MAX/1", "1500 1000 1000 250", 20),
    "quiet": Governor("10 20 40 75", "2000 1000 1000 1000", 1),
}


def ratios_of(text: str, max_cpu: int) -> list[int]:
    """Return the rungs' shares in 1/10000 of a CPU; ValueError if the text is not four of them."""
    shares = [int(part[4:]) if part.startswith("MAX/") else -int(part) for part in text.split()]
    if len(shares) != RUNGS or 0 in shares or min(shares) < -MOST_RATIO:
        raise ValueError("four numbers up to 10000, or MAX/n")
    return [-one if one < 0 else max(1, MOST_RATIO // one * max_cpu // 100) for one in shares]


def intervals_of(text: str) -> list[int]:
    """Return the rungs' cover times in ms; ValueError if the text is not four of them."""
    intervals = [int(part) for part in text.split()]
    if len(intervals) != RUNGS or min(intervals) < 0:
        raise ValueError("four numbers from 0")
    return intervals


def quota(sleep_ms: int, ratio: int, page_ns: int) -> int:
    """Pages that a rung may visit in a batch after such a sleep."""
    return sleep_ms * 1_000_000 // (MOST_RATIO - ratio) * ratio // page_ns if ratio < MOST_RATIO else 1 << 40


def stride(pages: int, cover_ms: int, ratio: int, page_ns: int) -> int:
    """Pages from one visit to the next, so that the rung is sampled once in its cover time."""
    if not cover_ms:
        return 1
    sampled = max(FEWEST_SAMPLED, cover_ms * 100 * ratio // page_ns)
    return pages // sampled if pages > sampled else 1


def mean(before: int, batch_ns: int, visits: int) -> int:
    """Return the mean ns of a visit after one more batch: the last counts for a fifth; what is far off, double."""
    if not visits:
        return before
    page_ns = batch_ns // visits
    if page_ns > 10 * before:
        return before * 2
    return max(1, (page_ns * 20 + before * 80) // 100)


def pause(sleep_ms: int, batch_ns: int, ratio: int) -> int:
    """ms to sleep after a batch that took so many ns, so that the share is kept."""
    wanted = (batch_ns >> 20) * (MOST_RATIO - ratio) // ratio
    return min(MOST_SLEEP_MS, max(sleep_ms, wanted))
