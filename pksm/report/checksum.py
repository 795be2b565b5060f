"""How a profile of checksum strategies looks to people and to spreadsheets: pure functions of `pksm.checksum/1`."""

from collections.abc import Callable, Mapping
from typing import Any

from pksm.documents import Missed, ProfileDocument, ProfileSubject, StrategyRow
from pksm.report.text import columns, csv_text, many, page, painting, paragraph, size

_SPEED = ("Speed, ns of CPU per page", "hot", "cold", "random", "GB/s cold", "x read")
_TRUTH = ("Truth and blindness", "colliding", "expected", "false zero", "1 word", "8 words", "byte", "line", "tail")
_CONSEQUENCE = (
    "Consequence", "ns to rest", "interval", "futile", "missed", "after change", "limbo", "lost", "ksmd ns", "missed",
)  # fmt: skip


def table(document: ProfileDocument, width: int = 80, colour: bool = False) -> str:
    """Return a profile for people: three tables and a recommendation for each subject."""
    parts, paint = [], painting(colour)
    for subject in document["subjects"]:
        rows = [row for row in document["strategies"] if row["subject"] == subject["name"]]
        parts += [
            [
                line
                for text in _headline(subject, document, any(row["read_bound"] for row in rows))
                for line in paragraph(text, max(width, 60))
            ],
            _table(_SPEED, [_speed(row) for row in [*_yardsticks(subject), *rows]], paint),
            _table(_TRUTH, [_truth(row) for row in rows], paint),
            _table(_CONSEQUENCE, [_consequence(row) for row in rows], paint),
            paragraph(f"Recommended: {subject['recommendation']['sentence']}", width),
        ]
    parts.append([f"{document['cost']['wall_s']:.1f} s"])
    return page(parts)


def csv(document: ProfileDocument) -> str:
    """Return a profile as CSV: a row for each subject and strategy."""
    rows = []
    for row in document["strategies"]:
        flat = {key: value for key, value in row.items() if not isinstance(value, dict)}
        flat["read_bound"] = " ".join(row["read_bound"])
        for what, interval in row["intervals"].items():
            name = "cpu_ns_to_rest" if what == "to_rest" else f"ns_{what}"
            flat |= {f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
        flat |= {f"cpu_ns_{step}": ns for step, ns in row["cpu_ns_steps"].items()}
        flat |= {f"missed_{kind}": missed["measured"] for kind, missed in row["missed"].items()}
        rows.append(flat)
    names = dict.fromkeys(key for row in rows for key in row)
    return csv_text([{key: row.get(key) for key in names} for row in rows])


def _headline(subject: ProfileSubject, document: ProfileDocument, bound: bool) -> list[str]:
    pages, changes = subject["pages"], document["changes"]
    return [
        f"{subject['name']}: {many(pages, 'page')} of {size(document['page_size']).replace('.0', '')}, "
        f"{size(subject['bytes'])}: {many(subject['contents'], 'content')}, "
        f"{many(subject['zero_pages'], 'zero page')}, merging saves {subject['saving_pages']:,}",
        f"After change: {100 * changes:g} % of the unshared pages of a sample change by a word, each to equal another.",
        "Limbo, lost: pages booked as merged though they are not, and merges not made, under the published quirks.",
        *(["*: bound by reading: measured below what reading the page takes, and shown as that."] if bound else []),
    ]


def _yardsticks(subject: ProfileSubject) -> list[dict[str, Any]]:
    read = subject["yardsticks"]["read"]
    return [
        {
            "name": f"({name})",
            **{f"ns_{where}": value for where, value in ns.items()},
            "gb_s_cold": subject["bytes"] / subject["pages"] / ns["cold"] if ns["cold"] else None,
            "times_read_cold": ns["cold"] / read["cold"] if read["cold"] else None,
        }
        for name, ns in subject["yardsticks"].items()
    ]


def _table(titles: tuple[str, ...], rows: list[list[str]], paint: Callable[..., str]) -> list[str]:
    lines = columns([titles, *rows], right=range(1, len(titles)))
    return [paint(lines[0]), *lines[1:]]


def _speed(row: Mapping[str, Any]) -> list[str]:
    bound = row.get("read_bound", ())
    ns = [f"{row[f'ns_{where}']:.0f}{'*' * (where in bound)}" for where in ("hot", "cold", "random")]
    return [f"  {row['name']}", *ns, _number(row["gb_s_cold"], ".1f"), _number(row["times_read_cold"], ".2f")]


def _truth(row: StrategyRow) -> list[str]:
    missed = [_share(row["missed"].get(kind)) for kind in ("1_word", "8_words", "byte", "line", "tail")]
    expected = f"{row['expected_pairs']:.1g}" if row["expected_pairs"] >= 1e-6 else "0"
    return [f"  {row['name']}", f"{row['colliding_pairs']:,}", expected, f"{row['false_zero']:,}", *missed]


def _consequence(row: Mapping[str, Any]) -> list[str]:
    counts = ("futile_compares", "missed_merges", "missed_after_change", "limbo_pages", "published_missed_merges")
    after = f"{row['missed_after_change']:,}/{row['changes']:,}"
    cells = [after if key == "missed_after_change" else f"{row[key]:,}" for key in counts]
    ksmd = f"{row['ksmd_cpu_ns_to_rest']:.0f}", f"{row['ksmd_missed_merges']:,}"
    interval = row["intervals"]["to_rest"]
    ns = f"{row['cpu_ns_to_rest']:.0f}", f"{interval['low']:.0f}-{interval['high']:.0f}"
    return [f"  {row['name']}", *ns, *cells, *ksmd]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _share(missed: Missed | None) -> str:
    if missed is None:
        return "-"
    return "0" if missed["measured"] == 0 else f"{100 * missed['measured']:.1f} %"
