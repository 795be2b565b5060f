"""What a scan found, part by part, as its result has it; README.md tells the fields."""

import time

from pksm.linux.proc.access import UnreadError, tell_unread
from pksm.policies.pksmd.quirks import QUIRKS

PKSM_BYTES_A_PAGE = 116  # what the kernel's PKSM keeps for each page it tracks
KSM_BYTES_A_MAPPING = 64  # and KSM for each mapping of one


def unread(errors):
    """Processes that could not be read."""
    return [
        {"pid": error.pid, "command": error.command, "cause": error.cause}
        for error in errors
        if isinstance(error, UnreadError)
    ]


def families(tally, taken, shares, fields, page_size):
    """Count live processes that are alike in these of their facts, those that have the largest share first."""
    families = {}
    for one, share in zip(taken, shares.of_source, strict=True):
        if "command" in one.facts:
            families.setdefault(tuple(one.facts[field] for field in fields), []).append((one, share))
    rows = []
    for values, members in families.items():
        count = tally.of_sources([one for one, _ in members])
        rows.append({
            **dict(zip(fields, values, strict=True)), "processes": len(members), "pages": count.pages,
            "zero": count.zero, "duplicates": count.duplicates, "saving_pages": count.saving,
            "share_bytes": round(sum(share for _, share in members) * page_size),
        })  # fmt: skip
    return sorted(rows, key=lambda row: -row["share_bytes"])


def mappings(shares, page_size):
    """Rows for the names of mappings, those that have the largest shares first."""
    names = ("pages", "zero", "merging", "share_bytes")
    rows = [
        {"mapping": mapping, **dict(zip(names, [*counts, round(share * page_size)], strict=True))}
        for mapping, (*counts, share) in shares.by_mapping.items()
    ]
    return sorted(rows, key=lambda row: -row["share_bytes"])


def source(taken, count, share_bytes):
    """What there is to tell of one source: a gather.Taken, its tally.Count and its share."""
    return {
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
        "share_bytes": share_bytes,
        "out_of_reach": taken.out_of_reach,
        **taken.facts,
    }


def _known_zero(gathered):
    """Zero pages that never had bytes here, and so were not given to pksmd."""
    return sum(taken.zero for taken in gathered.taken)


def totals(total, merged, gathered):
    """Counts of all sources together, and the kernel's counters."""
    counters, known_zero = merged.counters, _known_zero(gathered)
    return {
        "pages": total.pages,
        "zero": total.zero,
        "distinct": total.distinct,
        "duplicates": total.duplicates,
        "pages_shared": counters["pages_shared"],
        "pages_sharing": counters["pages_sharing"] + known_zero,
        "pages_zero_sharing": counters["pages_zero_sharing"] + known_zero,
        "pages_unshared": counters["pages_unshared"],
    }


def saving(total, mappings, merged, gathered, page_size):
    """What merging saves, and what it needs for that. mappings: of all pages."""
    zero_pages = merged.zero_pages + _known_zero(gathered)
    pages = zero_pages + merged.nonzero_pages
    size_bytes, pksm_bytes = pages * page_size, PKSM_BYTES_A_PAGE * total.pages
    return {
        "pages": pages,
        "zero_pages": zero_pages,
        "nonzero_pages": merged.nonzero_pages,
        "bytes": size_bytes,
        "metadata_bytes": {
            "ours": merged.metadata_bytes,
            "pksm": pksm_bytes,
            "ksm": KSM_BYTES_A_MAPPING * mappings,
        },
        "net_bytes": size_bytes - pksm_bytes,
    }


def cost(pages, began, cost, merged):
    """What the work took. began: wall and CPU time at its start."""
    wall_s, cpu_s = time.perf_counter() - began[0], time.process_time() - began[1]
    steps = {
        name: {"wall_s": wall, "cpu_s": part.cpu_s[name]}
        for part in (cost, merged.cost)
        for name, wall in part.wall_s.items()
    }
    speed = pages / steps["merge"]["wall_s"]
    return {"wall_s": wall_s, "cpu_s": cpu_s, "pages_per_s": speed, **merged.cost.as_dict(), "steps": steps}


def of_reading(gathered, errors, reading_warnings, interrupted, n_sources):
    """Lines about what was not read or not as wanted, without those of the sources."""
    lines = tell_unread(errors) + reading_warnings + _untold(gathered)
    if interrupted:
        lines.append(f"interrupted: {len(gathered.taken)} of {n_sources} sources were read, the last maybe in part")
    return lines


def _untold(gathered):
    if not gathered.untold:
        return []
    if gathered.frames_told:
        reason, remedy = "they moved to other frames while they were read", "scan again"
    else:
        reason = "they are mapped more than once, and frames can't be told apart without root (CAP_SYS_ADMIN)"
        remedy = "scan as root"
    return [f"{gathered.untold} pages are left out: {reason}; {remedy}, or count mappings with --view mappings"]


def warnings(result, settings, gathered, errors, n_sources):
    """Lines about all that a reader of the result should know."""
    warnings = tell_unread(errors) + gathered.warnings + _untold(gathered)
    idle = sorted(quirk for quirk in settings.tunables.quirks if not QUIRKS[quirk][0])
    if idle:
        warnings.append(
            f"{len(idle)} quirks of these settings need page tables and have no effect on memory that is only read: "
            f"preset {settings.preset} sets values and the other quirks here"
        )
    totals, saving = result["totals"], result["saving"]
    possible = totals["duplicates"] + (totals["zero"] > 0)
    if saving["pages"] < possible:
        warnings.append(
            f"these settings save {saving['pages']} pages of the {possible} that could be saved: "
            "equal pages that the checksum or the quirks hide stay apart"
        )
    if result["interrupted"]:
        warnings.append(
            f"interrupted: this is about the {totals['pages']} pages that were reached, "
            f"of {len(gathered.taken)} of {n_sources} sources"
        )
    return warnings
