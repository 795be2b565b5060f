"""The page of a simulation: what each policy saves over virtual time, and what it does for it."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from pksm.documents import Run, SimulateDocument
from pksm.report.pages.charts import lines, svg
from pksm.report.pages.parts import Cell, Figure, Key, Page, Part, Table, Tile, number
from pksm.report.text import percent, seconds, size, within_a_minute

LONG_MS = 10_000  # from here on, time is in seconds
PERCENTILES = ("p50", "p90", "p99", "p100")
REPLAYED = {
    "saved on average": "mean_saved_bytes",
    "saved at most": "most_saved_bytes",
    "merges undone by writes": "undone",
    "of them {soon}": "undone_soon",
    "equal and not merged, on average": "limbo_mean_bytes",
}
NOT_ALIKE = (
    "Not like for like: counters carry each policy's own meaning (KSM counts mappings, PKSM physical pages); a wake-up "
    "of one policy is not a wake-up of another; settings that share a name may mean different things."
)


def page(document: SimulateDocument) -> Page:
    """Return the page of pksm.simulate/1."""
    runs, several = document["runs"], len(document["runs"]) > 1
    names = " and ".join(run["policy"] for run in runs[:4]) + (f" and {len(runs) - 4} more" if len(runs) > 4 else "")
    made = Page(f"{document['workload']} under {names}", _verdict(document), warnings=list(document["warnings"]))
    if document["interrupted"]:
        made.warnings.insert(0, "the simulation was interrupted: this is what happened until then")
    made.warnings += [f"{run['policy']}: {run['final']['hung']}" for run in runs if run["final"]["hung"]]
    made.tiles = [tile for run in runs for tile in _tiles(document, run, several)]
    made.parts = [
        _over_time(document, "frames_saved", "Saved over time", "saved", lines.SIZE._replace(name="saved"), document["page_size"]),
        *_counter(document, "pages_sharing", "Mappings that share a frame"),
        *_counter(document, "pages_visited", "Pages visited so far"),
        _at_end(document), *_waits(document), *_readings(document), _settings(document),
    ]  # fmt: skip
    made.parts.append(f"CPU time is by a price list, {document['prices']['source']}, the same for all policies.")
    if several:
        made.parts.append(NOT_ALIKE)
    return made


def _saved(document: SimulateDocument, run: Run) -> int:
    return run["final"]["counters"].get("frames_saved", 0) * document["page_size"]


def _verdict(document: SimulateDocument) -> str:
    said = []
    for run in document["runs"][:6]:
        final, saved = run["final"], _saved(document, run)
        net = saved - final["metadata_bytes"]
        left = size(net) if net >= 0 else f"-{size(-net)}"
        replay = run["final"].get("replay")
        if replay is not None:
            said.append(
                f"{run['policy']} saves {size(replay['mean_saved_bytes'])} on average and {size(saved)} at the end."
            )
        else:
            said.append(f"{run['policy']} saves {size(saved)} at the end ({left} net of its metadata).")
    return " ".join(said)


def _tiles(document: SimulateDocument, run: Run, several: bool) -> list[Tile]:
    saved, final = _saved(document, run), run["final"]
    of = f"{run['policy']}: " if several else ""
    tiles = [Tile(size(saved), f"{of}saved at the end", f"reached after {_ms(final['reached_ms'])}", saved > 0),
             Tile(seconds(final["cpu"]["seconds"]), f"{of}CPU time", f"{percent(final['cpu']['percent'])} of a core")]  # fmt: skip
    if not several:
        tiles += [Tile(size(final["metadata_bytes"]), "metadata at the end"),
                  Tile(f"{final['merges']['count']:,}", "pages merged")]  # fmt: skip
    return tiles


def _in_seconds(document: SimulateDocument) -> bool:
    return max((run["final"]["ms"] for run in document["runs"]), default=0) >= LONG_MS


def _over_time(
    document: SimulateDocument, column: str, title: str, what: str, values: lines.Read, factor: int = 1
) -> Figure:
    in_seconds = _in_seconds(document)
    unit = 1000 if in_seconds else 1
    times = lines.Read(f"virtual time, {'s' if in_seconds else 'ms'}", lambda time: f"{time:,.6g}")
    series = []
    for run in document["runs"]:
        columns = run["series"]["columns"]
        if column in columns:
            place, ms = columns.index(column), columns.index("ms")
            rows = run["series"]["rows"]
            series.append(
                lines.Line(run["policy"], [row[ms] / unit for row in rows], [row[place] * factor for row in rows])
            )
    marks = [lines.Mark(reading["ms"] / unit, reading["label"]) for reading in document["runs"][0]["readings"]]
    labels = list(dict.fromkeys(mark.label for mark in marks[: lines.MARKS]))
    about = f"{title}: {', '.join(line.name for line in series)}."
    of = f" of {document['runs'][0]['policy']}" if len(document["runs"]) > 1 else ""
    about += f" Vertical lines: readings{of} ({', '.join(labels)})." if labels else ""
    keys = [Key(line.name, place, place) for place, line in enumerate(series)]
    picture = lines.lines(series, times, values, about, marks)
    return Figure(title, picture, about, _samples(series, times.name, what, values.form), keys)


def _samples(series: Sequence[lines.Line], times: str, what: str, form: Callable[[float], str]) -> Table:
    """The points at which the first of the lines changes, with all lines beside it."""
    rows: list[Sequence[Cell | str]] = []
    same = series and all(line.times == series[0].times for line in series)
    for line in series[:1] if same else series:
        changed = (
            [0, *(i for i, (a, b) in enumerate(itertools.pairwise(line.values), 1) if a != b)] if line.times else []
        )
        for i in changed[:100]:
            cells = [number(one.values[i], form(one.values[i])) for one in (series if same else [line])]
            rows.append([number(line.times[i], f"{line.times[i]:,.6g}"), *([] if same else [line.name]), *cells])
    heads = [times, *([line.name for line in series] if same else ["policy", what])]
    return Table(f"{what}, where it changes", heads, rows)


def _counter(document: SimulateDocument, name: str, title: str) -> list[Part]:
    if not any(name in run["series"]["columns"] for run in document["runs"]):
        return []
    return [_over_time(document, name, title, name, lines.Read(name, svg.count))]


def _at_end(document: SimulateDocument) -> Table:
    runs = document["runs"]
    unmerged = document["unmerged"][-1]["frames_used"] if document["unmerged"] else None
    names = list(dict.fromkeys(name for run in runs for name in run["final"]["counters"]))
    rows: list[Sequence[Cell | str]] = [
        ["saved", *(number(_saved(document, run), size(_saved(document, run))) for run in runs)]
    ]
    if unmerged is not None:
        rows.append(["frames in use if nobody merges", *(number(unmerged) for _ in runs)])
    rows += [
        ["saved, net of metadata", *(number(net, size(net) if net >= 0 else f"-{size(-net)}") for net in (
            _saved(document, run) - run["final"]["metadata_bytes"] for run in runs))],
        ["reached after", *(number(run["final"]["reached_ms"], _ms(run["final"]["reached_ms"])) for run in runs)],
        ["metadata, at most", *(number(run["final"]["metadata_bytes_peak"], size(run["final"]["metadata_bytes_peak"])) for run in runs)],
        ["wake-ups", *(number(run["final"]["wakes"]) for run in runs)],
    ]  # fmt: skip
    rows += [
        [
            "CPU time",
            *(number(run["final"]["cpu"]["seconds"], seconds(run["final"]["cpu"]["seconds"])) for run in runs),
        ],
        [
            "% of a core",
            *(number(run["final"]["cpu"]["percent"], percent(run["final"]["cpu"]["percent"])) for run in runs),
        ],
        [
            "CPU time for a MiB saved",
            *(number(cpu, seconds(cpu)) for cpu in (run["final"]["cpu"]["seconds_per_mib"] for run in runs)),
        ],
    ]
    replays = [run["final"]["replay"] for run in runs if "replay" in run["final"]]
    if replays:
        soon = within_a_minute(replays[0]["seconds"])
        for name, key in REPLAYED.items():
            rows.append([name.format(soon=soon), *(_replayed(run, key) for run in runs)])
    work = dict.fromkeys(name for run in runs for name in run["final"]["cost"])
    for name in work:
        rows.append([name.replace("_", " "), *(_number_of(run["final"]["cost"].get(name)) for run in runs)])
    rows += [[name, *(_number_of(run["final"]["counters"].get(name)) for run in runs)] for name in names]
    return Table("At the end", ["", *(run["policy"] for run in runs)], rows)


def _replayed(run: Run, key: str) -> Cell:
    replay = run["final"].get("replay")
    value = None if replay is None else cast(Mapping[str, object], replay).get(key)
    if isinstance(value, int | float):
        return number(value, size(value) if key.endswith("bytes") else None)
    return Cell("-")


def _number_of(value: object) -> Cell:
    return number(value) if isinstance(value, int | float) else Cell("-" if value is None else str(value))


def _waits(document: SimulateDocument) -> list[Part]:
    """How long pages waited to be merged, since there were two of them."""
    rows: list[Sequence[Cell | str]] = []
    for run in document["runs"]:
        waits = run["final"]["merges"]["wait_ms"]
        if waits:
            rows.append([run["policy"], number(run["final"]["merges"]["count"]),
                         *(number(waits[name], _ms(waits[name])) if name in waits else "-" for name in PERCENTILES)])  # fmt: skip
    heads = ["policy", "pages merged", "half within", "90 % within", "99 % within", "all within"]
    return [Table("From two equal pages to one", heads, rows)] if rows else []


def _readings(document: SimulateDocument) -> list[Part]:
    rows: list[Sequence[Cell | str]] = []
    for run in document["runs"]:
        for reading in run["readings"]:
            counters = reading["counters"]
            saved = counters.get("frames_saved", 0) * document["page_size"]
            rows.append([run["policy"], reading["label"], number(reading["ms"], _ms(reading["ms"])),
                         number(reading["reached_ms"], _ms(reading["reached_ms"])), number(saved, size(saved)),
                         *(_number_of(counters.get(name)) for name in ("frames_used", "pages_shared", "pages_sharing"))])  # fmt: skip
    heads = ["policy", "reading", "at", "reached", "saved", "frames used", "pages_shared", "pages_sharing"]
    return [Table("Readings", heads, rows)] if rows else []


def _settings(document: SimulateDocument) -> Table:
    runs = document["runs"]
    names = list(dict.fromkeys(name for run in runs for name in run["tunables"]))
    rows: list[Sequence[Cell | str]] = [
        [name, *(_number_of(run["tunables"].get(name)) for run in runs)] for name in names
    ]
    return Table("Settings", ["", *(run["policy"] for run in runs)], rows)


def _ms(ms: int) -> str:
    return f"{ms:,} ms" if ms < LONG_MS else f"{ms / 1000:,.1f} s"
