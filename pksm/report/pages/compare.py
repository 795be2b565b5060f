"""The page of a comparison: what each policy saves for the same CPU time, and what is not like for like."""

from collections.abc import Callable, Sequence

from pksm.documents.compare import CompareDocument
from pksm.documents.sweep import Spread, SweepRow
from pksm.plain import plain
from pksm.report.compare import chosen, count, ranked
from pksm.report.pages.charts import lines
from pksm.report.pages.parts import Cell, Figure, Key, Page, Part, Table, Tile, number
from pksm.report.text import percent, seconds, size


def page(document: CompareDocument) -> Page:
    """Return the page of pksm.compare/1."""
    made = Page(f"Policies on {document['workload']}", _verdict(document), warnings=list(document["warnings"]))
    if document["interrupted"]:
        made.warnings.insert(0, "the comparison was interrupted")
    best = document["best_bytes"]
    made.tiles = [
        Tile("-" if best is None else size(best), "saved by the best policy, at the end", is_good=bool(best)),
        Tile(percent(document["target_percent"]), "of a core for each policy"),
        Tile(str(len(document["rows"])), "policies", f"{document['until_ms'] / 1000:,g} s of virtual time"),
    ]
    if document["rows"]:
        made.parts += [_curves(document), _table(document), *_tried(document)]
    made.parts += [f"Not like for like: {line}" for line in document["unlike"]]
    made.parts.append(f"CPU time is calculated by one price list for all policies: {document['prices']['source']}.")
    return made


def _verdict(document: CompareDocument) -> str:
    if not document["rows"]:
        return "There is nothing to compare yet."
    (row, _), *_ = ranked(document)
    saved, cpu = row["mean_saved_bytes"]["median"], row["cpu_percent"]["median"]
    if not saved:
        return "No policy saves anything on this memory."
    return f"{row['policy']} saves most on average over time, {size(saved)}, for {percent(cpu or 0.0)} of a core."


def _curves(document: CompareDocument) -> Figure:
    series = []
    for row, _ in ranked(document):
        points = [*row["curve"], [document["until_ms"], row["curve"][-1][1]]]
        series.append(lines.Line(row["policy"], [point[0] / 1000 for point in points], [point[1] for point in points]))
    about = f"Saved over virtual time at {percent(document['target_percent'])} of a core, with the first seed."
    times, values = lines.Read("virtual time, s", lambda time: f"{time:,.6g}"), lines.SIZE._replace(name="saved")
    keys = [Key(line.name, place, place) for place, line in enumerate(series)]
    return Figure("Saved over time", lines.lines(series, times, values, about), about, keys=keys)


def _table(document: CompareDocument) -> Table:
    figures: dict[str, Callable[[SweepRow], Cell]] = {
        "% of a core": lambda row: _cell(row["cpu_percent"], percent),
        "saved": lambda row: _cell(row["saved_bytes"], size),
        "on average": lambda row: _cell(row["mean_saved_bytes"], size),
        "50 % after": lambda row: _cell(row["reached_50_s"], seconds),
        "90 % after": lambda row: _cell(row["reached_90_s"], seconds),
        "records": lambda row: _cell(row["metadata_bytes"], size),
        "net of records": lambda row: _cell(row["net_bytes"], size),
        "merges": lambda row: _cell(row["merges"], count),
        "undone": lambda row: _cell(row["copies"], count),
        "visits": lambda row: _cell(row["pages_visited"], count),
    }
    cells: list[Sequence[Cell | str]] = [
        [plain(row["policy"]), chosen(tuning), *(cell(row) for cell in figures.values())]
        for row, tuning in ranked(document)
    ]
    return Table("What each policy saves and costs", ["policy", "tuned", *figures], cells)


def _tried(document: CompareDocument) -> list[Part]:
    cells: list[Sequence[Cell | str]] = []
    for row, tuning in ranked(document):
        for tried in tuning["tried"]:
            cpu, saved = tried["cpu_percent"], tried["mean_saved_bytes"]
            value = number(tried["value"], f"{tried['value']:,}")
            shown = [_number(cpu, percent), _number(saved, size)]
            cells.append([plain(row["policy"]), plain(tuning["setting"] or ""), value, *shown])
    heads = ["policy", "setting", "value", "% of a core", "saved on average"]
    return [Table("Values that were tried", heads, cells)] if cells else []


def _cell(spread: Spread, form: Callable[[float], str]) -> Cell:
    return _number(spread["median"], form)


def _number(value: float | None, form: Callable[[float], str]) -> Cell:
    return number(value, None if value is None else form(value))
