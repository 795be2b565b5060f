"""The page of a sweep: what each combination of settings saves and costs, and which nobody beats."""

from collections.abc import Callable, Sequence
from statistics import median

from pksm.documents.sweep import Spread, SweepDocument, SweepRow
from pksm.plain import plain
from pksm.report.pages.charts import lines, points, svg
from pksm.report.pages.parts import Cell, Figure, Key, Page, Part, Table, Tile, number
from pksm.report.text import many, percent, seconds, size

ON_FRONT, BEATEN, ADVISOR = 0, 5, 3  # colours
CURVES = 8  # in one picture


def page(document: SweepDocument) -> Page:
    """Return the page of pksm.sweep/1."""
    policies = list(dict.fromkeys(row["policy"] for row in document["rows"]))
    made = Page(f"Settings for {document['workload']}", _verdict(document), warnings=list(document["warnings"]))
    if document["interrupted"]:
        made.warnings.insert(
            0, f"the sweep was interrupted: {document['done']:,} of {document['runs']:,} runs were made"
        )
    best = document["best_bytes"]
    made.tiles = [
        Tile("-" if best is None else size(best), "saved by the best row, at the end", is_good=bool(best)),
        Tile(
            f"{document['done']:,}",
            "runs",
            f"{many(len(document['seeds']), 'seed')}, {document['until_ms'] / 1000:,g} s each",
        ),
        Tile(
            str(sum(row["on_front"] for row in document["rows"])),
            "rows that no other beats",
            f"of {len(document['rows'])}",
        ),
    ]
    for policy in policies:
        rows = [row for row in document["rows"] if row["policy"] == policy]
        made.parts += [
            _pareto(policy, rows),
            _curves(policy, rows),
            *_effects(document, policy, rows),
            _table(policy, rows),
        ]
    made.parts.append(_about(document))
    return made


def _verdict(document: SweepDocument) -> str:
    """The cheapest row of each policy that saves nine tenths of what its best one does, on average."""
    said = []
    for policy in dict.fromkeys(row["policy"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["policy"] == policy and row["mean_saved_bytes"]["median"]]
        if not rows:
            said.append(f"{policy} saves nothing with any of these settings.")
            continue
        most = max(_median(row["mean_saved_bytes"]) for row in rows)
        cheap = min((row for row in rows if _median(row["mean_saved_bytes"]) >= 0.9 * most),
                    key=lambda row: _median(row["cpu_percent"]))  # fmt: skip
        said.append(
            f"{policy} with {_name(cheap)} takes the least CPU, {percent(_median(cheap['cpu_percent']))} of a core, of all "
            f"that save at least 90 % of the most on average: {size(_median(cheap['mean_saved_bytes']))}."
        )
    return " ".join(said)


def _median(spread: Spread) -> float:
    return spread["median"] or 0.0


def _name(row: SweepRow) -> str:
    if row["is_advisor"]:
        return "the kernel's advisor"
    named = (f"{name} {_value(value)}" for name, value in row["settings"].items())
    return plain(", ".join(named)) or "its defaults"


def _short(row: SweepRow) -> str:
    """The values alone, in the order of the settings."""
    return "advisor" if row["is_advisor"] else plain(" / ".join(map(_value, row["settings"].values()))) or "defaults"


def _value(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _pareto(policy: str, rows: Sequence[SweepRow]) -> Figure:
    data = []
    for row in sorted(rows, key=lambda row: (not row["is_advisor"], not row["on_front"])):
        cpu, saved = row["cpu_percent"], _median(row["mean_saved_bytes"])
        colour = ADVISOR if row["is_advisor"] else ON_FRONT if row["on_front"] else BEATEN
        text = f"{_name(row)}: {percent(_median(cpu))} of a core, {size(saved)} saved on average"
        shown = row["on_front"] or row["is_advisor"]
        data.append(points.Point(_short(row), _median(cpu), saved, colour, text, cpu["low"], cpu["high"], shown))
    front = sorted((_median(row["cpu_percent"]), _median(row["mean_saved_bytes"])) for row in rows if row["on_front"])
    varied = dict.fromkeys(name for row in rows if not row["is_advisor"] for name in row["settings"])
    named = f" Named by {' / '.join(varied)}." if varied else ""
    about = f"{policy}: CPU time against what is saved on average over time. Best is top left.{named}"
    log = min((point.x for point in data), default=0) > 0
    axes = points.Axis("% of a core", is_log=log), points.Axis("saved on average", svg.amount, base=2.0)
    keys = [Key("no other row beats it", ON_FRONT), Key("beaten", BEATEN)]
    keys += [Key("the kernel's advisor", ADVISOR)] if any(row["is_advisor"] for row in rows) else []
    return Figure(f"{policy}: CPU time and saving", points.points(data, *axes, about, front), about, keys=keys)


def _curves(policy: str, rows: Sequence[SweepRow]) -> Figure:
    chosen = sorted(rows, key=lambda row: (not row["on_front"], _median(row["cpu_percent"])))[:CURVES]
    series = [
        lines.Line(_name(row), [point[0] / 1000 for point in row["curve"]], [point[1] for point in row["curve"]])
        for row in chosen
    ]
    about = f"{policy}: saved over virtual time, with the first seed" + (
        "." if len(chosen) == len(rows) else f"; {len(chosen)} of {len(rows)} rows, those that no other beats first."
    )
    times, values = lines.Read("virtual time, s", lambda time: f"{time:,.6g}"), lines.SIZE._replace(name="saved")
    keys = [Key(line.name, place, place) for place, line in enumerate(series)]
    return Figure(f"{policy}: saved over time", lines.lines(lines.held(series), times, values, about), about, keys=keys)


def _effects(document: SweepDocument, policy: str, rows: Sequence[SweepRow]) -> list[Part]:
    """For each setting, the medians of all rows that have a value of it: what it does, whatever the others are."""
    cells: list[Sequence[Cell | str]] = []
    for name, values in document["varied"].get(policy, {}).items():
        for value in values:
            those = [row for row in rows if not row["is_advisor"] and row["settings"].get(name) == value]
            if those:
                cpu = median(_median(row["cpu_percent"]) for row in those)
                saved = median(_median(row["mean_saved_bytes"]) for row in those)
                cells.append(
                    [name, _value(value), number(cpu, percent(cpu)), number(saved, size(saved)), number(len(those))]
                )
    heads = ["setting", "value", "% of a core", "saved on average", "rows"]
    return [Table(f"{policy}: what each setting does, the others as they come", heads, cells)] if cells else []


def _table(policy: str, rows: Sequence[SweepRow]) -> Table:
    figures: dict[str, Callable[[SweepRow], Cell]] = {
        "% of a core": lambda row: _cell(row["cpu_percent"], percent),
        "CPU per MiB": lambda row: _cell(row["cpu_seconds_per_mib"], seconds),
        "saved": lambda row: _cell(row["saved_bytes"], size),
        "net of metadata": lambda row: _cell(row["net_bytes"], size),
        "on average": lambda row: _cell(row["mean_saved_bytes"], size),
        "50 % after": lambda row: _cell(row["reached_50_s"], seconds),
        "90 % after": lambda row: _cell(row["reached_90_s"], seconds),
        "beaten": lambda row: Cell("no" if row["on_front"] else "yes"),
    }
    ranked = sorted(rows, key=lambda row: _median(row["cpu_percent"]))
    cells: list[Sequence[Cell | str]] = [[_name(row), *(cell(row) for cell in figures.values())] for row in ranked]
    return Table(f"{policy}: all rows, by CPU time", ["settings", *figures], cells)


def _cell(spread: Spread, form: Callable[[float], str]) -> Cell:
    return number(spread["median"], None if spread["median"] is None else form(spread["median"]))


def _about(document: SweepDocument) -> str:
    pace = "Wake-ups take the time of their work." if document["pace"] == "kernel" else "Wake-ups take no virtual time."
    return f"CPU time is calculated by one price list for all policies; in virtual time of {document['until_ms'] / 1000:,g} s. {pace}"
