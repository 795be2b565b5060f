"""Which strategy to take, in one sentence: the least CPU to rest of those that are wide enough and missed no merge.

Where the intervals of the measurements overlap, strategies take as much: then the widest sum counts, then the default.
"""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from pksm.documents import Recommendation
from pksm.engine.checksums.strategies import DEFAULT

ALIKE = 1.05  # within this factor, others take as much
MOST_COLLISIONS = 0.01  # expected: pages squared by the number of possible sums

Row = Mapping[str, Any]


def recommend(rows: Sequence[Row], pages: int) -> Recommendation:
    """Return {strategy, sentence} for the rows of one subject of so many pages; strategy None when none is fit."""
    fit = [row for row in rows if _is_fit(row, pages)]
    if not fit:
        return {"strategy": None, "sentence": _why_none(rows, pages)}
    least = min(fit, key=itemgetter("cpu_ns_to_rest"))
    tied = [row for row in fit if _takes_as_much(row, least)]
    best = min(tied, key=lambda row: (-row["width"], row["name"] != DEFAULT, row["cpu_ns_to_rest"]))
    interval = best["intervals"]["to_rest"]
    of_them = "the only one" if len(fit) == 1 else f"the least of the {len(fit)}"
    if len(tied) > 1:
        of_them = f"one of {len(fit)}"
    sentence = (
        f"{best['name']}: {best['cpu_ns_to_rest']:.0f} ns of CPU per page to rest "
        f"({interval['low']:.0f} to {interval['high']:.0f}), {of_them} that missed no merge"
    )
    if len(tied) > 1:
        sentence += (
            f"; the intervals do not distinguish it from {_names(tied, best)}: the widest sum wins, then the default"
        )
    cheaper = [row for row in rows if not _is_fit(row, pages) and row["cpu_ns_to_rest"] < best["cpu_ns_to_rest"]]
    if cheaper:
        tempting = min(cheaper, key=itemgetter("cpu_ns_to_rest"))
        sentence += f"; {tempting['name']} takes {tempting['cpu_ns_to_rest']:.0f} ns, but {_fault(tempting, pages)}"
    return {"strategy": best["name"], "sentence": sentence + "."}


def _is_fit(row: Row, pages: int) -> bool:
    return not _missed(row) and _collisions(row, pages) <= MOST_COLLISIONS


def _takes_as_much(row: Row, least: Row) -> bool:
    within = row["cpu_ns_to_rest"] < ALIKE * least["cpu_ns_to_rest"]
    return within or row["intervals"]["to_rest"]["low"] <= least["intervals"]["to_rest"]["high"]


def _names(tied: Sequence[Row], best: Row) -> str:
    return ", ".join(row["name"] for row in sorted(tied, key=itemgetter("cpu_ns_to_rest")) if row is not best)


def _why_none(rows: Sequence[Row], pages: int) -> str:
    lossless = [row for row in rows if not _missed(row)]
    if lossless:
        widest = max(lossless, key=itemgetter("width"))
        return f"None of these: of those that missed no merge, the widest, {widest['name']}, {_fault(widest, pages)}."
    least = min(rows, key=_missed)
    return f"None of these: every one missed merges, {least['name']} the fewest ({_missed(least):,})."


def _fault(row: Row, pages: int) -> str:
    if _missed(row):
        merges = row["merges"] + row["missed_merges"] + row["changes"]
        return f"missed {_missed(row):,} of {merges:,} merges"
    return (
        f"is too narrow: its {row['width']} bits let expect {_collisions(row, pages):.2g} collisions of {pages:,} "
        f"pages, and {MOST_COLLISIONS:g} is the bound"
    )


def _collisions(row: Row, pages: int) -> float:
    return pages**2 / 2.0 ** row["width"]


def _missed(row: Row) -> int:
    return row["missed_merges"] + row["missed_after_change"]
