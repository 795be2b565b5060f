"""How replays beside the kernel look to people and to spreadsheets: pure functions of `pksm.replayed/1`."""

from pksm.documents.replayed import ReplayedDocument, ReplayedMiss, ReplayedRow, ReplayedSide
from pksm.plain import plain
from pksm.report.text import columns, csv_text, left_out, many, page, painting, paragraph


def csv(document: ReplayedDocument) -> str:
    """Return a line for each side of each run: kernel, ours, followed."""
    rows = [
        {"workload": row["workload"], "run": number + 1, "side": name, "pages": run["pages"], **side}
        for row in document["rows"]
        for number, run in enumerate(row["every_run"])
        for name, side in (("kernel", run["kernel"]), ("ours", run["ours"]), ("followed", run["followed"]))
    ]
    return csv_text(rows or [{"workload": ""}])


def table(document: ReplayedDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: by how much replays miss the kernel, medians first, then every run."""
    paint = painting(colour)
    title = (
        f"Recordings of {document['seconds']:g} s (a sample per {document['every_ms']:,} ms, by {document['track']}) "
        f"played beside what ksmd of Linux {plain(document['kernel'])} did meanwhile, medians of "
        f"{many(document['runs'], 'run')}"
    )
    head = ("", "", "counted saved", "frames saved", "merges undone")
    lines = columns([head, *(cells for row in document["rows"] for cells in _medians(row))], right=range(2, 5))
    every = ("Every run", "", "counted saved", "frames saved", "merges undone", "pages scanned", "full scans")
    runs = columns([every, *(cells for row in document["rows"] for cells in _runs(row))], right=range(2, 7))
    parts = [paragraph(title, width)]
    if document["rows"]:
        parts += [[paint(lines[0]), *lines[1:]], [paint(runs[0]), *runs[1:]]]
        parts.append(
            paragraph(
                "Saved: pages on average over the run, as ksmd's counters have it, and as page tables have it. "
                "Settings: ksmd in virtual time, with the same settings. Followed: that ksmd is awake whenever the "
                "kernel's was, which had to wait for a CPU at times.",
                width,
            )
        )
    return page([*parts, *left_out(document["skipped"], width)])


def _medians(row: ReplayedRow) -> list[tuple[str, ...]]:
    return [
        (row["workload"], "settings", *_percents(row["ours"])),
        ("", "followed", *_percents(row["followed"])),
    ]


def _percents(miss: ReplayedMiss) -> tuple[str, ...]:
    parts = (miss["counted"], miss["saved"], miss["undone"])
    return tuple("-" if part is None else f"{part:+.1%}" for part in parts)


def _runs(row: ReplayedRow) -> list[tuple[str, ...]]:
    return [
        cells
        for run in row["every_run"]
        for cells in (
            (row["workload"], "kernel", *_figures(run["kernel"])),
            ("", "settings", *_figures(run["ours"])),
            ("", "followed", *_figures(run["followed"])),
        )
    ]


def _figures(side: ReplayedSide) -> tuple[str, ...]:
    counts = (side["counted"], side["saved"], side["undone"], side["pages_scanned"], side["full_scans"])
    return tuple(f"{count:,.0f}" for count in counts)
