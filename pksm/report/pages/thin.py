"""Documents that are too large for a page, made smaller; the field "thinned" of what comes out says where."""

from collections.abc import Iterator, Mapping
from typing import Any

MOST = 1_000  # entries of a list
MOST_NUMBERS = 60_000  # in all lists of numbers together


def thinned(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document in which no list is longer than MOST.

    Of samples over time, entries are taken evenly, the first and the last among them; of all other lists the first
    ones, for those that are ranked begin with what matters. `thinned` has {place: "1,000 of 123,456"}; it is empty if
    nothing was left out.
    """
    cuts: dict[str, str] = {}
    numbers = sum(len(rows) * len(rows[0]) for rows in _series(document) if rows)
    most = max(50, min(MOST, int(MOST * MOST_NUMBERS / max(1, numbers))))
    small = _thin(document, "", cuts, most)
    return {**small, "thinned": cuts}


def evenly(n: int, most: int) -> list[int]:
    """Return at most `most` numbers below n, evenly spread, the first and the last among them."""
    return list(range(n)) if n <= most else [i * (n - 1) // (most - 1) for i in range(most)]


def _series(value: Any) -> Iterator[list[list[int]]]:
    if isinstance(value, Mapping):
        for name, entry in value.items():
            if name == "series" and isinstance(entry, Mapping) and isinstance(entry.get("rows"), list):
                yield entry["rows"]
            else:
                yield from _series(entry)
    elif isinstance(value, list):
        for entry in value[:MOST]:
            yield from _series(entry)


def _thin(value: Any, place: str, cuts: dict[str, str], most_samples: int) -> Any:
    if isinstance(value, Mapping):
        return {name: _thin(entry, f"{place}.{name}".lstrip("."), cuts, most_samples) for name, entry in value.items()}
    if not isinstance(value, list):
        return value
    over_time = place.endswith("series.rows")
    most = most_samples if over_time else MOST
    if len(value) > most:
        cuts[place] = f"{most:,} of {len(value):,}"
        value = [value[i] for i in evenly(len(value), most)] if over_time else value[:most]
    if value and not isinstance(value[0], (Mapping, list)):
        return value
    return [_thin(entry, f"{place}[{i}]", cuts, most_samples) for i, entry in enumerate(value)]
