"""The document `pksm.scan/1`: what was found, as it goes to JSON; README.md has the fields."""

import time
from collections.abc import Sequence
from typing import Final, cast

from pksm.documents import MappingRow, ScanCost, ScanDocument, ScanSaving, ScanTotals, SourceRow, Unread
from pksm.documents.scan import View
from pksm.engine.cost import Cost
from pksm.linux.proc.access import UnreadError
from pksm.policies.ksmd.counters import ITEM_BYTES
from pksm.scan import remarks
from pksm.scan.attribution import Share, Shares, in_document, largest_first
from pksm.scan.counting import Count
from pksm.scan.findings import Findings
from pksm.scan.gather import Gathered, Taken
from pksm.scan.merge import Merged
from pksm.scan.settings import Settings

SCHEMA: Final = "pksm.scan/1"


def now() -> tuple[float, float]:
    """Return wall and CPU time in seconds."""
    return time.perf_counter(), time.process_time()


def compose(
    settings: Settings,
    gathered: Gathered,
    merged: Merged,
    findings: Findings,
    stand_ins: bool,
    interrupted: bool,
    began: tuple[float, float],
    cost: Cost,
) -> ScanDocument:
    """Make the document of what was read, merged and found. began: now() at the start."""
    page_size, shares = settings.page_bytes, findings.shares
    result: ScanDocument = {
        "schema": SCHEMA,
        "page_size": page_size,
        "view": cast(View, settings.view),
        "settings": settings.as_dict(),
        "sources": [
            _source(taken, count, in_document(share, settings))
            for taken, count, share in zip(gathered.taken, findings.of_sources, shares.of_source, strict=True)
        ],
        "unread": _unread(gathered.failed),
        "totals": _totals(findings.total, merged, gathered),
        "saving": _saving(findings, merged, gathered, settings),
        "by_command": findings.by_command,
        "by_user": findings.by_user,
        "by_mapping": _mappings(shares, settings),
        "matrix": shares.matrix(),
        "fingerprints": stand_ins,
        "groups": findings.groups,
        "groups_found": findings.groups_found,
        "cost": _cost(findings.total.pages, began, cost, merged),
        "partial": gathered.partial,
        "interrupted": interrupted,
        "warnings": [],
    }
    if findings.under_ksm:
        result["under_ksm"] = findings.under_ksm
    if settings.within:
        result["within"] = findings.within
    result["warnings"] = remarks.of_result(result, settings, gathered, merged.at_rest)
    return result


def _unread(errors: Sequence[Exception]) -> list[Unread]:
    """Processes that could not be read."""
    return [
        {"pid": error.pid, "command": error.command, "cause": error.cause}
        for error in errors
        if isinstance(error, UnreadError)
    ]


def _mappings(shares: Shares, settings: Settings) -> list[MappingRow]:
    """Rows for the names of mappings, those that have the largest shares first."""
    rows: list[MappingRow] = [
        {"mapping": mapping, "pages": pages, "zero": zero, "merging": merging, **in_document(share, settings)}
        for mapping, (pages, zero, merging, share) in shares.by_mapping.items()
    ]
    return sorted(rows, key=largest_first)


def _source(taken: Taken, count: Count, share: Share) -> SourceRow:
    """The row of one source, alone."""
    row: SourceRow = {
        "name": taken.name,
        "kind": taken.kind,
        "pages": {
            "data": count.pages - count.zero,
            "zero": count.zero,
            "hole": taken.hole,
            "excluded": taken.excluded,
        },
        "mappings": count.mapped,
        "duplicates": count.duplicates,
        "lost": taken.lost,
        "saving_pages": count.saving,
        "share_bytes": share["share_bytes"],
        "out_of_reach": taken.out_of_reach,
    }
    own = {**row, **share}
    return cast(SourceRow, {**own, **{name: fact for name, fact in taken.facts.items() if name not in own}})


def _known_zero(gathered: Gathered) -> int:
    """Zero pages that never had bytes here, and so were not given to the policy."""
    return sum(taken.zero for taken in gathered.taken)


def _totals(total: Count, merged: Merged, gathered: Gathered) -> ScanTotals:
    """Counts of all sources together, and the kernel's counters."""
    known_zero = _known_zero(gathered)
    return {
        "pages": total.pages,
        "zero": total.zero,
        "distinct": total.distinct,
        "duplicates": total.duplicates,
        "pages_shared": merged.shared,
        "pages_sharing": merged.nonzero_pages + merged.zero_pages + known_zero,
        "pages_zero_sharing": merged.zero_sharing + known_zero,
        "pages_unshared": merged.unshared,
    }


def _saving(findings: Findings, merged: Merged, gathered: Gathered, settings: Settings) -> ScanSaving:
    """What merging saves, and what it needs for that; in the view of mappings, how many are merged."""
    zero_pages = merged.zero_pages + _known_zero(gathered)
    pages = zero_pages + merged.nonzero_pages
    mappings = sum(count.mapped for count in findings.of_sources)
    # mappings that share a frame, as after a fork, save nothing though they count
    size_bytes = pages * (settings.page_size or 0) if settings.view == "frames" else None
    return {
        "pages": pages,
        "zero_pages": zero_pages,
        "nonzero_pages": merged.nonzero_pages,
        "bytes": size_bytes,
        "metadata_bytes": merged.metadata_bytes,
        "engine_bytes": merged.engine_bytes,
        "ksm_metadata_bytes": ITEM_BYTES * mappings,
        "net_bytes": None if size_bytes is None else size_bytes - merged.metadata_bytes,
    }


def _cost(pages: int, began: tuple[float, float], cost: Cost, merged: Merged) -> ScanCost:
    """What the work took."""
    wall_s, cpu_s = (end - start for start, end in zip(began, now(), strict=True))
    steps = {
        name: {"wall_s": wall, "cpu_s": part.cpu_s[name]}
        for part in (cost, merged.cost)
        for name, wall in part.wall_s.items()
    }
    speed = pages / steps["merge"]["wall_s"]
    times = {"wall_s": wall_s, "cpu_s": cpu_s, "pages_per_s": speed, "steps": steps}
    return cast(ScanCost, {**times, **merged.cost.as_dict()})
