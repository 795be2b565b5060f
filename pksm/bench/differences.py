"""What has become faster or slower from one benchmark to another, by their samples."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from pksm.bench import statistics
from pksm.bench.measuring import YARDSTICK
from pksm.documents import BenchDiffDocument, BenchDiffRow, BenchDiffSide, BenchDocument, BenchRow
from pksm.errors import PksmError, UsageError

SCHEMA: Final = "pksm.bench.diff/1"
OF: Final = "pksm.bench/1"
KEY = ("load", "pages", "engine", "order", "batch", "threads", "checksum")
SAME_MACHINE = ("cpu", "cpu_level", "kernel", "python", "numpy", "thp")
MOST_BYTES = 1 << 28
# What a row must have to be compared, and of what type.
_ROW: Mapping[str, type | tuple[type, ...]] = {
    "load": str,
    "pages": int,
    "engine": str,
    "order": (str, type(None)),
    "batch": (int, type(None)),
    "threads": int,
    "checksum": (str, type(None)),
    "ns_per_page": (int, float),
    "cpu_samples_s": list,
}


def read(path: str | os.PathLike[str]) -> BenchDocument:
    """Return the document that a file holds. PksmError if it cannot be read, UsageError if it is not what `pksm bench` stores."""
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            octets = file.read(MOST_BYTES + 1)
        document = json.loads(octets) if len(octets) <= MOST_BYTES else None
    except OSError as error:
        raise PksmError(f"{name}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{name}: is not JSON: store one by pksm bench with JSON as its output") from None
    return _checked(document, name)


def _checked(document: Any, name: str) -> BenchDocument:
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != OF:
        raise UsageError(
            f"{name}: is not a document {OF} but {schema if isinstance(schema, str) else 'something else'}"
        )
    rows = document.get("rows")
    facts = isinstance(document.get("machine"), dict) and isinstance(document.get("page_size"), int)
    if not facts or not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{name}: is a document {OF} without what one must have: rows, machine, page_size")
    for row in rows:
        wrong = [field for field, kind in _ROW.items() if field not in row or not isinstance(row[field], kind)]
        samples = row.get("cpu_samples_s")
        if "cpu_samples_s" not in row:
            raise UsageError(f"{name}: has no samples, only medians: measure again")
        if wrong or not samples or not all(isinstance(one, (int, float)) and 0 <= one < 1e9 for one in samples):
            raise UsageError(f"{name}: a row without {', '.join(wrong) or 'samples'}, as pksm bench stores it")
    return cast(BenchDocument, document)


def diff(old: BenchDocument, new: BenchDocument, names: tuple[str, str] = ("old", "new")) -> BenchDiffDocument:
    """Compare two benchmarks, row by row.

    CPU times are compared where both machines are the same and were quiet, else their ratios to `read` in the same
    round. A row is called faster or slower if Mann and Whitney's test says so; of all that are, about one in twenty is
    by chance (Benjamini and Hochberg).

    Args:
        old: a document pksm.bench/1.
        new: another.
        names: what they are called.

    Returns:
        The document `pksm.bench.diff/1`, ready for JSON.

    Raises:
        UsageError: they have other page sizes, or no row in common.
    """
    if old["page_size"] != new["page_size"]:
        raise UsageError(
            f"pages of {old['page_size']} bytes in {names[0]}, of {new['page_size']} in {names[1]}: measure alike"
        )
    rows_of = [{tuple(row[field] for field in KEY): row for row in one["rows"]} for one in (old, new)]  # type: ignore[literal-required]
    common = [key for key in rows_of[0] if key in rows_of[1]]
    if not common:
        raise UsageError(f"{names[0]} and {names[1]} have no row in common: measure the same loads, sizes and settings")
    reasons = _reasons(old, new)
    by_ratio = bool(reasons)
    compared = []
    for key in common:
        sides = [_samples(rows[key], rows, by_ratio) for rows in rows_of]
        if all(side and min(side) > 0 for side in sides):
            compared.append(_row(rows_of[0][key], rows_of[1][key], *sides))
    shown = statistics.with_few_false([row["p"] for row in compared])
    for row, differs in zip(compared, shown, strict=True):
        if differs:
            row["verdict"] = "faster" if row["ratio"] < 1 else "slower"
    return {
        "schema": SCHEMA,
        "old": _side(old, names[0]),
        "new": _side(new, names[1]),
        "compared": "ratios" if by_ratio else "times",
        "rows": compared,
        "only_old": len(rows_of[0]) - len(common),
        "only_new": len(rows_of[1]) - len(common),
        "warnings": [*reasons, *_too_few(old, new)],
    }


def _reasons(old: BenchDocument, new: BenchDocument) -> list[str]:
    """Why times cannot be compared."""
    differ = [name for name in SAME_MACHINE if old["machine"].get(name) != new["machine"].get(name)]
    reasons = [f"measured on other machines ({', '.join(differ)})"] if differ else []
    for document, which in ((old, "old"), (new, "new")):
        meanwhile = document.get("interference")
        if not meanwhile or meanwhile["trust"] != "times":
            reasons.append(
                f"the machine was busy during the {which} run"
                if meanwhile
                else f"the {which} run does not say how busy it was"
            )
    return [f"{reason}: compared are ratios to reading the bytes once, not times" for reason in reasons]


def _too_few(old: BenchDocument, new: BenchDocument) -> list[str]:
    """A line if so few runs can show no difference, however large."""
    least = statistics.p_of_no_difference(range(old["repeats"]), range(old["repeats"], old["repeats"] + new["repeats"]))
    if least <= 1 - statistics.CONFIDENCE:
        return []
    return [
        f"{old['repeats']} and {new['repeats']} runs are too few to show any difference: repeat each row 5 times or more"
    ]


def _samples(row: BenchRow, rows: Mapping[Any, BenchRow], by_ratio: bool) -> list[float]:
    """What is compared of a row; nothing where there is nothing to compare it with."""
    if not by_ratio or row.get("times_read") is None:
        return [] if by_ratio else row["cpu_samples_s"]
    [limit] = [
        other for other in rows.values()
        if other["engine"] == YARDSTICK and (other["load"], other["pages"]) == (row["load"], row["pages"])
    ] or [row]  # fmt: skip
    if limit is row or len(limit["cpu_samples_s"]) != len(row["cpu_samples_s"]) or not all(limit["cpu_samples_s"]):
        return []
    return [one / read for one, read in zip(row["cpu_samples_s"], limit["cpu_samples_s"], strict=True)]


def _row(old: BenchRow, new: BenchRow, old_samples: Sequence[float], new_samples: Sequence[float]) -> BenchDiffRow:
    ratio, low, high = statistics.ratio_interval(old_samples, new_samples)
    return {
        "load": old["load"],
        "pages": old["pages"],
        "engine": old["engine"],
        "order": old["order"],
        "batch": old["batch"],
        "threads": old["threads"],
        "checksum": old["checksum"],
        "old_ns": old["ns_per_page"],
        "new_ns": new["ns_per_page"],
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "p": statistics.p_of_no_difference(old_samples, new_samples),
        "verdict": "same",
    }


def _side(document: BenchDocument, name: str) -> BenchDiffSide:
    return {
        "name": name,
        "pksm": document["pksm"],
        "commit": document.get("commit"),
        "machine": document["machine"],
        "repeats": document["repeats"],
    }
