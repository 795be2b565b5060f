"""The page of a recording: how much memory there was, how much of it had equals, and how long that lasts."""

from pksm.documents import RecordDocument
from pksm.report.pages.charts import lines
from pksm.report.pages.parts import Figure, Key, Page, Table, Tile, number
from pksm.report.record import name
from pksm.report.simulate import of_equals
from pksm.report.text import many, percent, seconds, size, within_a_minute


def page(document: RecordDocument) -> Page:
    """Return the page of pksm.record/1."""
    equals, page_size = document["equals"], document["page_size"]
    made = Page(f"Recording {name(document)}", of_equals(equals), warnings=list(document["warnings"]))
    if not document["whole"]:
        made.warnings.append("the recorder was killed, or is still at it: what it had written is here")
    made.tiles = [
        Tile(size(document["most_pages"] * page_size), "resident at a time, at most"),
        Tile(size(equals["mean_bytes"]), "had equals, on average", "what merging all of it at once would save"),
        Tile(
            percent(100 * document["volatile_share"]),
            "of memory did not last, on average",
            f"its contents were rewritten {within_a_minute(document['seconds'])} of being written",
        ),
        Tile(f"{document['seconds']:,.0f} s", "recorded", _samples(document)),
    ]
    made.parts += [_over_time(document), _lifetimes(document), _events(document), _spaces(document)]
    made.parts += [f"Not seen: {line}." for line in document["blind"]]
    return made


def _samples(document: RecordDocument) -> str:
    if "between" in document:
        return f"from {document['from_s']:,.0f} s on"
    return many(document["samples"] or 0, "sample")


def _over_time(document: RecordDocument) -> Figure:
    times = [point[0] for point in document["points"]]
    series = [
        lines.Line("resident", times, [point[1] for point in document["points"]]),
        lines.Line("equal, less one of each", times, [point[2] for point in document["points"]]),
    ]
    about = "What was resident, and what merging all equal pages at once would have saved of it."
    read = lines.Read("time, s", lambda time: f"{time:,.6g}")
    keys = [Key(line.name, place, place) for place, line in enumerate(series)]
    return Figure("Over time", lines.lines(series, read, lines.SIZE._replace(name="memory"), about), about, keys=keys)


def _lifetimes(document: RecordDocument) -> Table:
    equals = document["equals"]
    rows = [
        (until, number(count), *(number(found[p], seconds(found[p])) if found else "-" for p in ("p50", "p90", "p99")))
        for until, count, found in (
            ("until one was written or freed", equals["ended"], equals["ended_s"]),
            ("and still at the end", equals["lasting"], equals["lasting_s"]),
        )
    ]
    heads = ["pages that had an equal", "pages", "half of them for at most", "nine of ten", "99 of 100"]
    return Table("How long equal pages stay equal", heads, rows)


def _events(document: RecordDocument) -> Table:
    rows = [(name, number(count)) for name, count in {**document["events"], **document["operations"]}.items() if count]
    return Table("What happened", ["event", "times"], rows)


def _spaces(document: RecordDocument) -> Table:
    spaces = sorted(document["spaces"], key=lambda space: -space["pages"])
    rows = [(space["name"], number(space["pages"]), number(space["zero_pages"])) for space in spaces]
    return Table("Address spaces at the end", ["name", "pages", "of them zero"], rows)
