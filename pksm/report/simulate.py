"""How a simulation looks to people and to spreadsheets: pure functions of the document `pksm.simulate/1`."""

from pksm.documents import Run, SimulateDocument
from pksm.report.text import columns, csv_text, cut, many, page, painting, paragraph, plain, size

ROWS = 12  # of the series, in a table
LABEL_WIDTH = 30
SHOWN = {
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
ALWAYS = ("pages_shared", "pages_sharing", "pages_unshared", "frames_used", "frames_saved")


def csv(document: SimulateDocument) -> str:
    """Return samples and readings as CSV, by policy and time; samples have no label."""
    names = list(dict.fromkeys(name for run in document["runs"] for name in run["series"]["columns"]))
    blank = {"policy": "", "label": "", **dict.fromkeys(names, "")}
    return csv_text([blank | {"policy": run["policy"], **row} for run in document["runs"] for row in _csv_rows(run)])


def _csv_rows(run: Run) -> list[dict]:
    rows = [{"label": "", **dict(zip(run["series"]["columns"], row, strict=True))} for row in run["series"]["rows"]]
    rows += [{"label": reading["label"], "ms": reading["ms"], **reading["counters"]} for reading in run["readings"]]
    return sorted(rows, key=lambda row: row["ms"])


def table(document: SimulateDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: one policy over time, or several side by side."""
    paint = painting(colour)
    if len(document["runs"]) > 1:
        return _side_by_side(document, width, paint)
    [run] = document["runs"]
    final = run["final"]
    parts = [paragraph(_headline(document, run), width)]
    if run["readings"]:
        rows = [(reading["label"], reading["ms"], reading["counters"]) for reading in run["readings"]]
        parts.append(_counters("Readings", rows, width, paint))
    columns_, rows = run["series"]["columns"], run["series"]["rows"]
    if len(rows) > 1:
        samples = [("", row[0], dict(zip(columns_[1:], row[1:], strict=True))) for row in _spread(rows)]
        parts.append(_counters("Over time", samples, width, paint))
    elif not run["readings"]:
        parts.append(_counters("In the end", [("", final["ms"], final["counters"])], width, paint))
    if final["hung"]:
        parts.append(paragraph(f"{final['hung']}; nothing is merged any more.", width))
    parts.append(paragraph(_savings(final, document["page_size"]), width))
    parts.append(paragraph(_effort(final), width))
    return page(parts)


def _side_by_side(document, width, paint):
    """Several policies over the same memory: what each leaves in use at the readings, and what that takes."""
    runs, page_size = document["runs"], document["page_size"]
    names = [run["policy"] for run in runs]
    title = f"{cut(plain(document['workload']), LABEL_WIDTH * 2)} under {' and '.join(names)}"
    parts = [paragraph(title + (", interrupted" if document["interrupted"] else ""), width)]
    unmerged = document["unmerged"]
    if unmerged:
        rows = [("Frames in use", "nobody", *names)]
        for place, (label, used) in enumerate(unmerged[:-1]):
            readings = [run["readings"][place] if place < len(run["readings"]) else None for run in runs]
            rows.append((cut(plain(label), LABEL_WIDTH), f"{used:,}", *map(_used_at, readings)))
        last = (f"{run['final']['counters']['frames_used']:,}" for run in runs)
        parts.append(_lines([*rows, ("at the end", f"{unmerged[-1][1]:,}", *last)], paint))
    rows = [("To the end", *names)]
    for name, cell in _FINALS.items():
        rows.append((name, *(cell(run["final"]) for run in runs)))
    if unmerged:
        rows.append(("saved, less metadata", *(_net(unmerged[-1][1], run["final"], page_size) for run in runs)))
    parts.append(_lines(rows, paint))
    return page(parts)


def _lines(rows, paint):
    lines = columns(rows, right=range(1, len(rows[0])))
    return [paint(lines[0]), *lines[1:]]


def _used_at(reading):
    return f"{reading['counters']['frames_used']:,} at {_time(reading['ms'])}" if reading else "-"


def _net(unmerged, final, page_size):
    left = (unmerged - final["counters"]["frames_used"]) * page_size - final["metadata_bytes"]
    return size(left) if left >= 0 else f"-{size(-left)}"


_FINALS = {
    "virtual time": lambda final: _time(final["ms"]),
    "pages visited": lambda final: f"{final['cost']['pages_visited']:,}",
    "mappings merged": lambda final: f"{_merged(final['counters']):,}",
    "fake merges": lambda final: f"{final['fake_merges']:,}",
    "metadata": lambda final: size(final["metadata_bytes"]),
}


def _merged(counters):
    """Mappings that have no frame of their own any more: KSM counts those of the zero page apart."""
    return counters["pages_sharing"] + counters.get("ksm_zero_pages", 0)


def _headline(document, run):
    tunables = run["tunables"]
    pace = f"{tunables['pages_to_scan']:,} pages every {tunables['sleep_millisecs']} ms"
    pace = f"at first {pace}" if tunables.get("advisor_mode", "none") != "none" else pace
    ended = ", interrupted" if document["interrupted"] else ""
    workload = cut(plain(document["workload"]), LABEL_WIDTH * 2)
    return f"{workload} under {run['policy']}, {pace}: {_time(run['final']['ms'])} of virtual time{ended}"


def _time(ms):
    return f"{ms:,} ms" if ms < 10_000 else f"{ms / 1000:,.1f} s"


def _spread(rows):
    """Return rows in which a counter has changed, and the last: ROWS at most, evenly spread."""
    changed = [row for before, row in zip(rows, rows[1:], strict=False) if row[1:] != before[1:]]
    rows = [rows[0], *changed] + ([rows[-1]] if rows[-1][1:] == rows[-2][1:] else [])
    if len(rows) <= ROWS:
        return rows
    return [rows[i * (len(rows) - 1) // (ROWS - 1)] for i in range(ROWS)]


def _counters(title, rows, width, paint):
    """Lines of counters: rows of (label, ms, counters). Columns that are 0 everywhere, or for which there is no room,
    and a pages_to_scan that nobody moves, are left out."""
    names = [name for name in SHOWN if name in rows[0][2]]
    names = [name for name in names if name in ALWAYS or any(counters[name] for _, _, counters in rows)]
    if "pages_to_scan" in names and len({counters["pages_to_scan"] for _, _, counters in rows}) == 1:
        names.remove("pages_to_scan")
    while True:
        head = (title, "ms", *(SHOWN[name] for name in names))
        cells = [head] + [
            (cut(plain(label), LABEL_WIDTH), f"{ms:,}", *(f"{counters[name]:,}" for name in names))
            for label, ms, counters in rows
        ]
        lines = columns(cells, right=range(1, len(head)))
        optional = [name for name in names if name not in ALWAYS]
        if max(map(len, lines)) <= width or not optional:
            return [paint(lines[0]), *lines[1:]]
        names.remove(optional[-1])


def _savings(final, page_size):
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


def _effort(final):
    cost = final["cost"]
    hashed, compared = size(cost["bytes_hashed"]), size(cost["bytes_compared"])
    visits = many(cost["pages_visited"], "visit")
    return f"{many(final['wakes'], 'wake-up')}, {visits}; hashed {hashed}, compared {compared}"
