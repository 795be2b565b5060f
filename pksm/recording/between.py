"""A part of a recording by time: hours of the clock, or times since its beginning."""

import re
from datetime import date, datetime, timedelta
from typing import NamedTuple

from pksm.errors import UsageError
from pksm.recording.reader import Recording

FORMS = "9:00-17:00, 2026-11-28T22:00-6:00, or 600s-1200s since the beginning of the recording"
_CLOCK = r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?"
_BY_CLOCK = re.compile(rf"(?:([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})[T ])?{_CLOCK} *- *{_CLOCK}")
_AMOUNT = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)"
_SINCE = re.compile(rf"{_AMOUNT} *- *{_AMOUNT}")
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DAY_S = 86_400


class Part(NamedTuple):
    """A part of a recording: ms since its beginning, the text that asked for it, and what of that was not recorded, as a line."""

    from_ms: int
    until_ms: int
    text: str
    lacks: str = ""


class _Clock(NamedTuple):
    """Times of day in seconds; day: of the first, None where none is named."""

    day: date | None
    begin_s: int
    end_s: int


def part_of(recording: Recording, text: str) -> Part:
    """Return the part of a recording that a text names, as far as it was recorded.

    Args:
        recording: whose beginning, by this machine's clock, its header has.
        text: `9:00-17:00`, by the clock of this machine, on the day (before it, if the recording is of several) on which
            that was recorded; or `600s-1200s`, since the beginning.

    Raises:
        UsageError: the text names no time, one that was not recorded, or one of several days.
    """
    text = text.strip()
    since = _SINCE.fullmatch(text)
    if since:
        begin, end = (round(float(since[at]) * _UNITS_MS[since[at + 1]]) for at in (1, 3))
        if begin >= end:
            raise UsageError(f"{text}: ends before it has begun", "between")
        return _cut(recording, text, begin, end)
    found = _BY_CLOCK.fullmatch(text)
    clock = _clock(found) if found else None
    if clock is None:
        raise UsageError(f"{text!r} is not a part of a recording: write {FORMS}", "between")
    return _on_its_day(recording, text, clock)


def _cut(recording: Recording, text: str, begin: int, end: int) -> Part:
    last = recording.last_ms
    if begin >= last or end <= 0:
        raise UsageError(f"{text}: nothing was recorded then: {_recorded(recording)}", "between")
    part = Part(max(0, begin), min(last, end), text)
    if begin >= 0 and end <= last:
        return part
    return part._replace(
        lacks=f"{recording.path}: {text}: only {(part.until_ms - part.from_ms) / 1000:g} s of that were recorded"
    )


def _clock(found: "re.Match[str]") -> _Clock | None:
    """Return what a text says; None where there is no such day or time."""
    begin, end = (_time_of_day(*(int(found[at + more] or 0) for more in range(3))) for at in (2, 5))
    try:
        day = date.fromisoformat(found[1]) if found[1] else None
    except ValueError:
        return None
    if begin is None or end is None or begin in (_DAY_S, end):
        return None
    return _Clock(day, begin, end if end > begin else end + _DAY_S)


def _time_of_day(hours: int, minutes: int, seconds: int) -> int | None:
    at = 3600 * hours + 60 * minutes + seconds
    return at if minutes < 60 and seconds < 60 and at <= _DAY_S else None


def _on_its_day(recording: Recording, text: str, clock: _Clock) -> Part:
    """Return the part on the one day on which it was recorded: wholly, or else in part."""
    began = recording.began
    if began is None:
        raise UsageError(
            f"{text}: {recording.path} does not say when it began: name times since then, such as 600s-1200s", "between"
        )
    whole: list[tuple[int, int]] = []
    others: list[tuple[int, int]] = []
    try:
        day = clock.day or datetime.fromtimestamp(began).date() - timedelta(days=1)
        while len(whole) < 2:
            begin, end = (round(1000 * (_epoch(day, at) - began)) for at in (clock.begin_s, clock.end_s))
            if begin >= recording.last_ms and not clock.day:
                break
            if begin >= 0 and end <= recording.last_ms:
                whole.append((begin, end))
            elif end > 0:
                others.append((begin, end))
            if clock.day:
                break
            day += timedelta(days=1)
    except (OverflowError, ValueError, OSError):
        raise UsageError(f"{text}: {recording.path} began at no time that a calendar has", "between") from None
    found = whole or others
    if len(found) > 1:
        raise UsageError(f"{text}: was recorded on several days: name one, as {_day(began)}T{text}", "between")
    if not found:
        raise UsageError(f"{text}: nothing was recorded then: {_recorded(recording)}", "between")
    return _cut(recording, text, *found[0])


def _epoch(day: date, second: int) -> float:
    """Return the seconds since 1970 of a second of a day, by the clock that hangs here."""
    return (datetime.combine(day, datetime.min.time()) + timedelta(seconds=second)).timestamp()


def _day(began: float) -> str:
    return datetime.fromtimestamp(began).date().isoformat()


def _recorded(recording: Recording) -> str:
    """Return when it was recorded, as a clause."""
    span = f"it lasts {recording.last_ms / 1000:g} s"
    try:
        first, last = (datetime.fromtimestamp((recording.began or 0) + ms / 1000) for ms in (0, recording.last_ms))
    except (OverflowError, ValueError, OSError):
        return span
    return span if recording.began is None else f"{span}, from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S}"
