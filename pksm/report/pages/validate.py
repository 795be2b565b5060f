"""The page of a comparison with the running kernel."""

from collections.abc import Sequence

from pksm.documents import ValidateDocument
from pksm.report.pages.parts import Cell, Page, Table, Tile, number


def page(document: ValidateDocument) -> Page:
    """Return the page of pksm.validate/1: the counters that differ come first."""
    workloads = document["workloads"]
    equal = sum(one["equal"] for one in workloads)
    made = Page(f"The simulated ksmd beside that of Linux {document['kernel']}", warnings=list(document["warnings"]))
    made.verdict = (
        "All counters of all workloads that must agree do." if document["equal"] else "Counters that must agree differ."
    )
    made.tiles = [
        Tile(f"{equal} of {len(workloads)}", "workloads equal", is_good=document["equal"]),
        Tile(f"{sum(one['scans'] for one in workloads):,}", "scans compared"),
    ]
    rows: list[Sequence[Cell | str]] = [
        [
            one["workload"],
            one["text"],
            number(one["scans"]),
            number(one["scans_that_differ"]),
            "yes" if one["equal"] else "no",
        ]
        for one in workloads
    ]
    counters: list[Sequence[Cell | str]] = [
        [
            row["workload"],
            row["counter"],
            number(row["kernel"]),
            number(row["ours"]),
            number(row["ours"] - row["kernel"]),
        ]
        for row in sorted(document["rows"], key=lambda row: row["kernel"] == row["ours"])
    ]
    made.parts = [
        Table("Workloads", ["workload", "what happens", "scans", "scans that differ", "equal"], rows),
        Table(
            "Counters at the end, those that differ first",
            ["workload", "counter", "kernel", "ours", "difference"],
            counters,
        ),
    ]
    if document["skipped"]:
        skipped = [[one["workload"], one["reason"]] for one in document["skipped"]]
        made.parts.append(Table("Not to be had here", ["workload", "why"], skipped))
    return made
