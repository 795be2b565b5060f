"""How a simulation looks to people and to spreadsheets: pure functions of the document `pksm.simulate/1`."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pksm.documents import Equals, Final, Reading, Replay, Run, SimulateDocument
from pksm.documents.common import PriceList, Setting
from pksm.plain import plain
from pksm.report.text import (
    columns,
    csv_text,
    cut,
    cut_names,
    many,
    page,
    painting,
    paragraph,
    percent,
    seconds,
    size,
    volatile,
    within_a_minute,
)

ROWS = 12  # of the series, in a table
LABEL_WIDTH = 30
TITLES = {  # of columns; any other counter is its own title
    "pages_shared": "shared",
    "pages_sharing": "sharing",
    "pages_zero_sharing": "zero",
    "pages_unshared": "unshared",
    "pages_to_scan": "to scan",
    "stable_nodes": "stable nodes",
    "rmap_items": "items",
    "new_len": "new",
    "rescan_len": "rescan",
    "del_len": "del",
    "frames_used": "frames",
    "frames_saved": "saved",
}
PACE = ("pages_to_scan", "sleep_millisecs")
ALWAYS = ("pages_shared", "pages_sharing", "pages_unshared", "frames_used", "frames_saved")
SETTING_WIDTH = 20


def csv(document: SimulateDocument) -> str:
    """Return the samples and readings of all runs as CSV, by time; samples have no label."""
    names = list(dict.fromkeys(name for run in document["runs"] for name in run["series"]["columns"]))
    blank = {"policy": "", "label": "", "reached_ms": "", **dict.fromkeys(names, "")}
    return csv_text([blank | {"policy": run["policy"], **row} for run in document["runs"] for row in _csv_rows(run)])


def _csv_rows(run: Run) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        dict(zip(run["series"]["columns"], row, strict=True)) for row in run["series"]["rows"]
    ]
    for reading in run["readings"]:
        times = {"label": reading["label"], "ms": reading["ms"], "reached_ms": reading["reached_ms"]}
        rows.append({**times, **reading["counters"]})
    return sorted(rows, key=lambda row: row["ms"])


def table(document: SimulateDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: one policy over time, or several side by side."""
    paint = painting(colour)
    alone = len(document["runs"]) == 1
    parts = _alone(document, width, paint) if alone else _side_by_side(document, width, paint)
    return page(parts)


def _alone(document: SimulateDocument, width: int, paint: Callable[..., str]) -> list[list[str]]:
    """One policy: its counters at the readings and over time, and what came of it."""
    [run] = document["runs"]
    final = run["final"]
    parts = [paragraph(_headline(document, run), width)]
    shown = [*run["shown"], "frames_used", "frames_saved"]
    if run["readings"]:
        rows = [(reading["label"], reading["reached_ms"], reading["counters"]) for reading in run["readings"]]
        parts.append(_counters(("Readings", "reached ms"), rows, shown, width, paint))
    names, series = run["series"]["columns"], run["series"]["rows"]
    if len(series) > 1:
        samples = [("", row[0], dict(zip(names[1:], row[1:], strict=True))) for row in _spread(series)]
        parts.append(_counters(("Over time", "ms"), samples, shown, width, paint))
    elif not run["readings"]:
        rows = [("", final["reached_ms"], final["counters"])]
        parts.append(_counters(("In the end", "reached ms"), rows, shown, width, paint))
    if final["hung"]:
        parts.append(paragraph(f"{final['hung']}; nothing is merged any more.", width))
    parts.append(paragraph(_savings(final, document["page_size"]), width))
    if "replay" in final:
        parts.append(paragraph(_replay(final["replay"]), width))
    parts.append(paragraph(_effort(final), width))
    parts.append(paragraph(_cpu(final, document["prices"]) + _took_time(document), width))
    return parts


def _side_by_side(document: SimulateDocument, width: int, paint: Callable[..., str]) -> list[list[str]]:
    """Several policies over the same memory: their settings, the frames that each leaves in use, and what that takes."""
    runs, page_size, unmerged = document["runs"], document["page_size"], document["unmerged"]
    names = [run["policy"] for run in runs]
    title = f"{cut_names(plain(document['workload']), LABEL_WIDTH * 2)} under {' and '.join(names)}"
    parts = [paragraph(title + (", interrupted" if document["interrupted"] else ""), width)]
    parts.append(_lines([("Settings", *names), *_settings(runs)], paint))
    if unmerged:
        rows = [("Frames in use, reached at", "nobody", *names)]
        for place, then in enumerate(unmerged[:-1]):
            readings = [run["readings"][place] if place < len(run["readings"]) else None for run in runs]
            rows.append(
                (cut(plain(then["label"] or ""), LABEL_WIDTH), f"{then['frames_used']:,}", *map(_used_at, readings))
            )
        rows.append(("at the end", f"{unmerged[-1]['frames_used']:,}", *(_used_at(run["final"]) for run in runs)))
        parts.append(_lines(rows, paint))
    replays = [run["final"]["replay"] for run in runs if "replay" in run["final"]]
    if replays:
        cells: list[tuple[str, ...]] = [("While it was played", *names)]
        cells.append(("saved on average", *(size(replay["mean_saved_bytes"]) for replay in replays)))
        cells.append(("merges undone by writes", *(f"{replay['undone']:,}" for replay in replays)))
        cells.append((within_a_minute(replays[0]["seconds"]), *(f"{replay['undone_soon']:,}" for replay in replays)))
        cells.append(("equal and not merged, on average", *(size(replay["limbo_mean_bytes"]) for replay in replays)))
        parts.append(_lines(cells, paint))
        parts.append(paragraph(_nature(replays[0]), width))
    at_end = [("At the end", *names), *_cells(_GAUGES, runs)]
    if unmerged:
        last = unmerged[-1]["frames_used"]
        at_end.append(("saved, less metadata", *(_net(last, run["final"], page_size) for run in runs)))
    parts.append(_lines(at_end, paint))
    parts.append(_lines([("In all", *names), *_cells(_TOTALS, runs)], paint))
    priced = _priced(document["prices"], any(not name.startswith("ksmd") for name in names))
    parts.append(paragraph(priced + _took_time(document), width))
    return parts


def _settings(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    """Rows of the settings that set the pace, and of the others that all have and that differ."""
    known = [run["tunables"] for run in runs]
    common = [name for name in known[0] if all(name in tunables for tunables in known)]
    differing = [name for name in common if any(tunables[name] != known[0][name] for tunables in known)]
    for name in dict.fromkeys((*PACE, *differing)):
        cells = [_setting(tunables[name]) if name in tunables else "-" for tunables in known]
        if set(cells) != {"-"}:
            yield name, *cells


def _setting(value: Setting) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"{len(value)} of them" if value else "none"
    return f"{value:,}" if isinstance(value, int) else cut(plain(str(value)), SETTING_WIDTH)


def _cells(figures: Mapping[str, Callable[[Final], str]], runs: Sequence[Run]) -> list[tuple[str, ...]]:
    return [(name, *(cell(run["final"]) for run in runs)) for name, cell in figures.items()]


def _lines(rows: Sequence[tuple[str, ...]], paint: Callable[..., str]) -> list[str]:
    lines = columns(rows, right=range(1, len(rows[0])))
    return [paint(lines[0]), *lines[1:]]


def _used_at(state: Reading | Final | None) -> str:
    return f"{state['counters']['frames_used']:,} at {_time(state['reached_ms'])}" if state else "-"


def _net(unmerged: int, final: Final, page_size: int) -> str:
    left = (unmerged - final["counters"]["frames_used"]) * page_size - final["metadata_bytes"]
    return size(left) if left >= 0 else f"-{size(-left)}"


def _sharing(counters: dict[str, int]) -> str:
    """Mappings that have no frame of their own, if they are counted: KSM counts those of the zero page apart."""
    if "pages_sharing" not in counters:
        return "-"
    return f"{counters['pages_sharing'] + counters.get('ksm_zero_pages', 0):,}"


_GAUGES: dict[str, Callable[[Final], str]] = {
    "mappings sharing": lambda final: _sharing(final["counters"]),
    "metadata": lambda final: size(final["metadata_bytes"]),
}
_TOTALS: dict[str, Callable[[Final], str]] = {
    "virtual time": lambda final: _time(final["ms"]),
    "pages visited": lambda final: f"{final['cost']['pages_visited']:,}",
    "CPU time": lambda final: seconds(final["cpu"]["seconds"]),
    "of one core": lambda final: percent(final["cpu"]["percent"]),
    "for a MiB saved": lambda final: seconds(final["cpu"]["seconds_per_mib"]),
    "pages merged": lambda final: f"{final['merges']['count']:,}",
    "fake merges": lambda final: f"{final['fake_merges']:,}",
    "metadata, at most": lambda final: size(final["metadata_bytes_peak"]),
}


def _headline(document: SimulateDocument, run: Run) -> str:
    ended = ", interrupted" if document["interrupted"] else ""
    workload = cut_names(plain(document["workload"]), LABEL_WIDTH * 2)
    return (
        f"{workload} under {run['policy']}{_pace(run['tunables'])}: {_time(run['final']['ms'])} of virtual time{ended}"
    )


def _pace(tunables: Mapping[str, Setting]) -> str:
    if not all(name in tunables for name in PACE):
        return ""
    at_first = "at first " if tunables.get("advisor_mode", "none") != "none" else ""
    return f", {at_first}{tunables['pages_to_scan']:,} pages every {tunables['sleep_millisecs']} ms"


def _time(ms: int) -> str:
    return f"{ms:,} ms" if ms < 10_000 else f"{ms / 1000:,.1f} s"


def _spread(rows: list[list[int]]) -> list[list[int]]:
    """Return rows in which a counter has changed, and the last: ROWS at most, evenly spread."""
    changed = [row for before, row in itertools.pairwise(rows) if row[1:] != before[1:]]
    rows = [rows[0], *changed] + ([rows[-1]] if rows[-1][1:] == rows[-2][1:] else [])
    if len(rows) <= ROWS:
        return rows
    return [rows[i * (len(rows) - 1) // (ROWS - 1)] for i in range(ROWS)]


def _counters(
    heads: tuple[str, str],
    rows: Sequence[tuple[str, int, Mapping[str, int]]],
    shown: Sequence[str],
    width: int,
    paint: Callable[..., str],
) -> list[str]:
    """Lines of counters. heads: of label and time; rows: (label, ms, counters); shown: names of counters, in order.

    Columns that are 0 everywhere, or for which there is no room, and a pages_to_scan that nobody moves, are left out.
    """
    names = [name for name in shown if name in ALWAYS or any(counters[name] for _, _, counters in rows)]
    if "pages_to_scan" in names and len({counters["pages_to_scan"] for _, _, counters in rows}) == 1:
        names.remove("pages_to_scan")
    while True:
        head = (*heads, *(TITLES.get(name, name.replace("_", " ")) for name in names))
        cells = [head] + [
            (cut(plain(label), LABEL_WIDTH), f"{ms:,}", *(f"{counters[name]:,}" for name in names))
            for label, ms, counters in rows
        ]
        lines = columns(cells, right=range(1, len(head)))
        optional = [name for name in names if name not in ALWAYS]
        if max(map(len, lines)) <= width or not optional:
            return [paint(lines[0]), *lines[1:]]
        names.remove(optional[-1])


def _savings(final: Final, page_size: int) -> str:
    saved = final["counters"]["frames_saved"] * page_size
    metadata = final["metadata_bytes"]
    text = (
        f"Merging saves {size(saved)} at the end and takes {size(metadata)} for itself: {size(saved - metadata)} left."
    )
    waits = final["merges"]["wait_ms"]
    if not waits:
        return text + " Nothing was merged."
    waited = (
        f"half of them within {waits['p50']:,} ms, nine of ten within {waits['p90']:,}, all within {waits['p100']:,}"
    )
    merged = "page was" if final["merges"]["count"] == 1 else "pages were"
    return f"{text} {final['merges']['count']:,} {merged} merged, counted from when there were two: {waited}."


def _cpu(final: Final, prices: PriceList) -> str:
    cpu = final["cpu"]
    per_mib = "" if cpu["seconds_per_mib"] is None else f", {seconds(cpu['seconds_per_mib'])} for a MiB saved"
    copies = f" Programs took {seconds(cpu['copies_seconds'])} to copy merged pages." if cpu["copies"] else ""
    share = "" if cpu["percent"] is None else f", {percent(cpu['percent'])} of a core"
    return f"CPU time: {seconds(cpu['seconds'])}{share}{per_mib}.{copies} {_priced(prices, False)}"


def _priced(prices: PriceList, of_others: bool) -> str:
    whose = ", which are KSM's for every policy" if of_others else ""
    return f"CPU time is by a price list, {plain(prices['source'])}{whose}."


def _took_time(document: SimulateDocument) -> str:
    """What virtual time has in it at the kernel's pace; nothing at the ideal one."""
    if document["pace"] != "kernel":
        return ""
    return " Wake-ups took that time, and sleeps ended with a tick of the timer."


def _replay(replay: Replay) -> str:
    merges = "merge was" if replay["undone"] == 1 else "merges were"
    soon = within_a_minute(replay["seconds"])
    return (
        f"On average over this time {size(replay['mean_saved_bytes'])} were saved, {size(replay['most_saved_bytes'])} at "
        f"most. {replay['undone']:,} {merges} undone by writes, {replay['undone_soon']:,} of them {soon}, and "
        f"{replay['freed']:,} ended as their memory was freed. {size(replay['limbo_mean_bytes'])} "
        f"had equals and were not merged, on average. {_nature(replay)}"
    )


def _nature(replay: Replay) -> str:
    """What the memory itself is like, whoever merges."""
    equals = replay["equals"]
    return (
        f"{100 * replay['write_rate']:.2f} % of all pages are rewritten per second. "
        f"{volatile(replay['volatile_share'], replay['seconds'])} {of_equals(equals)}"
    )


def of_equals(equals: Equals) -> str:
    """Say how long equal pages stay equal."""
    ended, lasting = equals["ended_s"], equals["lasting_s"]
    text = f"Merging all equal pages at once would have saved {size(equals['mean_bytes'])} on average."
    if ended:
        text += (
            f" {many(equals['ended'], 'page')} had an equal when {'it was' if equals['ended'] == 1 else 'they were'} written "
            f"or freed, half of them for no more than {seconds(ended['p50'])}, nine of ten for {seconds(ended['p90'])}."
        )
    if lasting:
        text += f" {many(equals['lasting'], 'page')} had an equal at the end, half of them for {seconds(lasting['p50'])} so far."
    return text


def _effort(final: Final) -> str:
    cost = final["cost"]
    hashed, compared = size(cost["bytes_hashed"]), size(cost["bytes_compared"])
    visits = many(cost["pages_visited"], "visit")
    return f"{many(final['wakes'], 'wake-up')}, {visits}; hashed {hashed}, compared {compared}"
