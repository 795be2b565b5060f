"""Fewer wake-ups for trials on long recordings: what ksmd visits in several between two samples, it visits in one.

Nothing changes between two samples, so the same pages are met in the same order. What differs is when, by less than the
time between two samples, and the last wake-up of a full scan, which ends with the scan.
"""

from dataclasses import replace
from typing import Any

from pksm.engine.cost import Prices
from pksm.policies.registry import Choice
from pksm.simulation.pace import Pace

FINE_WAKES = 200_000  # so many are simulated one by one: an hour and a quarter
WAKES_PER_SCAN = 50  # at least, for the one that is cut off at its end not to count
WAKE_S, VISIT_S = 500e-6, 200e-9  # that the simulation takes, about
_ADVISED = ("advisor_min_pages_to_scan", "advisor_max_pages_to_scan")
_PERIODS = 9  # of a mean: ticks of a third of 10 ms do not end with a millisecond


def coarser(choice: Choice, prices: Prices, pages: int, ms: int, every_ms: int | None) -> tuple[Choice, Prices]:
    """Return ksmd with longer sleeps that visits as many more pages behind each, and the prices for that.

    Args:
        choice: ksmd with its settings.
        prices: of its work.
        pages: of the recording.
        ms: how long that lasts.
        every_ms: between two of its samples; None: not known, nothing is changed.
    """
    values = choice.settings.as_dict()
    period_ms = _period_ms(prices, values["sleep_millisecs"])
    if every_ms is None or ms / period_ms <= FINE_WAKES:
        return choice, prices
    most_ms = min(float(every_ms), period_ms * pages / pages_per_wake(choice) / WAKES_PER_SCAN)
    sleeps = range(int(most_ms), values["sleep_millisecs"], -1)
    sleep = next((sleep for sleep in sleeps if _period_ms(prices, sleep) <= most_ms), None)
    if sleep is None:
        return choice, prices
    times = _period_ms(prices, sleep) / period_ms
    names = _ADVISED if values["advisor_mode"] == "scan-time" else ("pages_to_scan",)
    scaled = {name: round(times * values[name]) for name in (*names, "pages_to_scan")}
    changes: dict[str, Any] = {"sleep_millisecs": sleep, **scaled}
    settings = replace(choice.settings, **changes)
    return replace(choice, settings=settings), replace(prices, wake_ns=times * prices.wake_ns)


def cost_s(choice: Choice, prices: Prices, ms: int) -> float:
    """Return how many seconds of CPU time it takes to simulate ksmd for so long, about."""
    wakes = ms / _period_ms(prices, choice.settings.as_dict()["sleep_millisecs"])
    return wakes * (WAKE_S + VISIT_S * pages_per_wake(choice))


def pages_per_wake(choice: Choice) -> int:
    """Return how many pages are visited per wake-up at most, or, if the advisor decides, at first."""
    return int(choice.settings.as_dict()["pages_to_scan"])


def _period_ms(prices: Prices, sleep_ms: int) -> float:
    """Return the time between two wake-ups that have hardly any work."""
    pace, at = Pace(prices), 0
    for _ in range(_PERIODS):
        at = pace.next_wake(at, 1.0, sleep_ms)
    began = at
    for _ in range(_PERIODS):
        at = pace.next_wake(at, 1.0, sleep_ms)
    return (at - began) / _PERIODS
