"""Numbers, names, columns and paragraphs as people read them, and rows as spreadsheets do.

Names come from strangers: what would steer a terminal or start a formula leaves this file as harmless text.
"""

import csv
import io
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from pksm.documents.validation import ValidateSkipped
from pksm.plain import plain

BOLD, DIM, GREEN = "1", "2", "32"
INDENT = "  "
ROWS = 12  # of a list that may be long
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is not text to a spreadsheet


def size(n_bytes: float) -> str:
    """Return bytes as people read them: "640 B", "12.0 KiB", "1.50 GiB"."""
    amount, units = float(n_bytes), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while abs(amount) >= 1023.95 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    digits = 0 if units[0] == "B" else 1 if units[0] in ("KiB", "MiB") else 2
    return f"{amount:.{digits}f} {units[0]}"


def left_out(skipped: Iterable[ValidateSkipped], width: int) -> list[list[str]]:
    """Return a paragraph for each workload that the machine could not play."""
    return [paragraph(f"{one['workload']}: left out: {plain(one['reason'])}", width) for one in skipped]


def rate(per_second: float) -> str:
    """Return a number per second as people read it: "850", "12.3 k", "1.42 M"."""
    if per_second < 1000:
        return f"{per_second:.0f}"
    return f"{per_second / 1e3:.1f} k" if per_second < 999_950 else f"{per_second / 1e6:.2f} M"


def seconds(amount: float | None) -> str:
    """Return seconds as people read them: "850 ns", "12.3 µs", "1.42 ms", "3.10 s"; "-" for None."""
    if amount is None:
        return "-"
    for factor, unit in ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms")):
        if abs(amount) < 999.5 * factor:
            return f"{amount / factor:.3g} {unit}" if amount else "0 s"
    return f"{amount:,.2f} s" if amount < 99.995 else f"{amount:,.0f} s"


def within_a_minute(recorded: float) -> str:
    """Return "within a minute", or within how long something that took less than that was recorded."""
    return "within a minute" if recorded >= 60 else f"within {seconds(recorded)}"


def volatile(share: float, recorded: float) -> str:
    """Return the sentence about the share of memory whose contents did not last. recorded: seconds."""
    soon = within_a_minute(recorded)
    return f"On average, {percent(100 * share)} of memory held contents that were rewritten {soon} of being written."


def percent(amount: float | None) -> str:
    """Return a percentage as people read it, with three digits: "0.123 %", "12.3 %"; "-" for None."""
    return "-" if amount is None else f"{amount:.3g} %" if amount < 999.5 else f"{amount:,.0f} %"


def cut(text: str, width: int) -> str:
    """Return text in at most `width` characters, its middle left out if need be."""
    if len(text) <= width:
        return text
    kept = max(0, width - 3)
    return text[: kept - kept // 2] + "..."[:width] + text[len(text) - kept // 2 :]


def cut_names(text: str, width: int) -> str:
    """Return names with commas between in at most `width` characters: the first of them, and that there are others."""
    if len(text) <= width:
        return text
    others = " and others"
    whole = text[: width - len(others) + 2].rpartition(", ")[0]
    return whole + others if whole else cut(text, width)


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return rows of cells as lines with aligned columns; those numbered in `right` are flush right."""
    rows = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def paragraph(text: str, width: int) -> list[str]:
    """Return text as lines of at most `width` characters."""
    return textwrap.wrap(plain(text), width)


def hanging(text: str, width: int) -> list[str]:
    """Return a paragraph that is indented, and more so from its second line on."""
    first, *others = paragraph(text, width - 2 * len(INDENT))
    return [INDENT + first, *(2 * INDENT + line for line in others)]


def page(parts: Iterable[Sequence[str]]) -> str:
    """Return parts, each some lines, with an empty line between two; empty parts are left out."""
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def painting(colour: bool) -> Callable[..., str]:
    """Return paint(text, code=BOLD), which puts colour on text, or does not."""
    if colour:
        return lambda text, code=BOLD: f"\033[{code}m{text}\033[0m"
    return lambda text, code=BOLD: text


def csv_text(rows: Sequence[Mapping[str, Any]], keys: Iterable[str] = ()) -> str:
    """Return dicts with the same keys as CSV with a header line. keys: theirs, where there may be no rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, rows[0] if rows else keys))
    writer.writerows(map(_cell, row.values()) for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Return a value as spreadsheets may have it: text without escapes for terminals, and never as a formula."""
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(FORMULAS) else "") + plain(value)


def many(number: int, noun: str) -> str:
    """Return a number and its noun: "1 page", "2,304 pages"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def with_title(
    title: Sequence[str], rows: Sequence[Sequence[str]], paint: Callable[..., str], most: int = ROWS
) -> list[str]:
    """Return lines of the first rows under a title, and one that says how many more there are."""
    lines = columns([title, *rows[:most]], right=range(1, len(title)))
    rest = [f"... and {len(rows) - most:,} more (JSON has all)"] if len(rows) > most else []
    return [paint(lines[0], BOLD), *lines[1:], *rest]
