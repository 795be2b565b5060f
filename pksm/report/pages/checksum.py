"""The page of a profile of checksums: speed and blindness, cost, collisions, consequences, and which to take."""

from collections.abc import Callable, Sequence
from typing import Any

from pksm.documents import ProfileDocument, ProfileSubject, StrategyRow
from pksm.report.front import front
from pksm.report.pages.charts import bars, points
from pksm.report.pages.parts import Cell, Figure, Key, Page, Part, Table, Tile, number
from pksm.report.text import many

TAKEN, BEST, BEATEN = 4, 0, 5  # colours


def page(document: ProfileDocument) -> Page:
    """Return the page of pksm.checksum/1."""
    subjects = document["subjects"]
    names = ", ".join(subject["name"] for subject in subjects[:4])
    verdict = " ".join(f"{subject['name']}: {subject['recommendation']['sentence']}" for subject in subjects[:6])
    made = Page(f"Checksums for {names}", verdict, warnings=list(document["warnings"]))
    for subject in subjects:
        rows = [row for row in document["strategies"] if row["subject"] == subject["name"]]
        of = f" on {subject['name']}" if len(subjects) > 1 else ""
        made.tiles.append(
            Tile(subject["recommendation"]["strategy"] or "none", f"to take{of}", many(subject["pages"], "page"), True)
        )
        if rows:
            made.parts += [
                _blindness(subject, rows, of),
                _cost(subject, rows, of),
                _table(rows, of),
                _consequences(rows, of),
            ]
    return made


def _colour(row: StrategyRow, subject: ProfileSubject, best: bool) -> int:
    return TAKEN if row["name"] == subject["recommendation"]["strategy"] else BEST if best else BEATEN


def _keys() -> list[Key]:
    return [Key("to take", TAKEN), Key("none beats it in both", BEST), Key("beaten", BEATEN)]


def _blindness(subject: ProfileSubject, rows: Sequence[StrategyRow], of: str) -> Figure:
    at = [(row["ns_cold"], _missed(row)) for row in rows]
    best = front(at)
    data = []
    for row, (x, y), is_best in zip(rows, at, best, strict=True):
        interval = row["intervals"].get("cold")
        low, high = (interval["low"], interval["high"]) if interval else (None, None)
        text = f"{x:.0f} ns per page, {100 * y:.3g} % of changed words missed"
        data.append(points.Point(row["name"], x, 100 * y, _colour(row, subject, is_best), text, low, high))
    corners = sorted({(x, 100 * y) for (x, y), is_best in zip(at, best, strict=True) if is_best})
    about = (
        f"Time per page, out of the caches and in order, against the share of changes of one word that are missed{of}. "
        "Best is bottom left."
    )
    picture = points.points(
        data, points.Axis("ns per page", is_log=True), points.Axis("changes missed, %"), about, corners
    )
    return Figure(f"Speed and blindness{of}", picture, about, keys=_keys())


def _missed(row: StrategyRow) -> float:
    return row["missed"]["1_word"]["measured"] if "1_word" in row["missed"] else 0.0


def _cost(subject: ProfileSubject, rows: Sequence[StrategyRow], of: str) -> Figure:
    ranked = sorted(rows, key=lambda row: row["cpu_ns_to_rest"])
    shown = [bars.Row(row["name"], [row["cpu_ns_to_rest"]], f"{row['cpu_ns_to_rest']:,.0f} ns") for row in ranked]
    read = subject["yardsticks"]["read"]["cold"] if "read" in subject["yardsticks"] else 0
    about = f"CPU time per page until pksmd is at rest{of}; the dashed line is what reading each byte once takes."
    return Figure(f"Cost until all is merged{of}", bars.beside(shown, read, f"reading: {read:.0f} ns", about), about)


def _table(rows: Sequence[StrategyRow], of: str) -> Part:
    columns: dict[str, Callable[[Any], Cell]] = {
        "bits": lambda row: number(row["width"]),
        "hot, ns": lambda row: number(row["ns_hot"], f"{row['ns_hot']:.0f}"),
        "cold, ns": lambda row: number(row["ns_cold"], f"{row['ns_cold']:.0f}"),
        "random, ns": lambda row: number(row["ns_random"], f"{row['ns_random']:.0f}"),
        "word missed, %": lambda row: number(100 * _missed(row), f"{100 * _missed(row):.3g}"),
        "95 % interval": lambda row: Cell(_interval(row)),
        "colliding pairs": lambda row: number(row["colliding_pairs"]),
        "expected": lambda row: number(row["expected_pairs"], f"{row['expected_pairs']:.3g}"),
        "used by": lambda row: Cell(row["users"] or ""),
    }
    return Table(
        f"Strategies{of}",
        ["strategy", *columns],
        [[row["name"], *(cell(row) for cell in columns.values())] for row in rows],
    )


def _interval(row: StrategyRow) -> str:
    missed = row["missed"].get("1_word")
    return f"{100 * missed['low']:.3g} to {100 * missed['high']:.3g} %" if missed else ""


def _consequences(rows: Sequence[Any], of: str) -> Part:
    names = ("cpu_ns_to_rest", "merges", "missed_merges", "missed_after_change", "futile_compares", "limbo_pages",
             "published_missed_merges", "ksmd_cpu_ns_to_rest", "ksmd_missed_merges")  # fmt: skip
    heads = ["strategy", "CPU to rest, ns per page", "merged", "missed", "missed after a change", "futile compares",
             "in limbo (published)", "missed (published)", "ksmd's CPU, ns", "missed by ksmd"]  # fmt: skip
    cells: list[Sequence[Cell | str]] = [
        [row["name"], *(number(row[name], f"{row[name]:,.0f}") for name in names)] for row in rows
    ]
    return Table(f"What follows{of}", heads, cells)
