"""The verdict on a recording: what was saved on average, held against what writes undid."""

from pksm.advice.moments import Moments
from pksm.advice.settings import Settings
from pksm.advice.verdict import MOSTLY_ZERO, TOO_FEW, size, too_little
from pksm.documents.advise import Kind, ParetoRow, Recorded, Risk, Verdict, VerdictKind


def verdict_of(
    recorded: Recorded, starred: ParetoRow | None, seen: Moments, of_bytes: int, settings: Settings
) -> Verdict:
    """Return the verdict.

    Args:
        recorded: what the memory is like, whoever merges.
        starred: the trial that is advised; None: too few equal pages to try any.
        seen: what kind of equal pages there were.
        of_bytes: the memory that savings are held against: the most that was resident.
        settings: what counts as worth it.
    """
    equal = recorded["equals"]["mean_bytes"]
    net = starred["mean_saved_bytes"] - starred["metadata_bytes"] if starred else equal
    least = settings.least(of_bytes)
    zero_share = seen.zero_pages / max(1.0, seen.saved_pages)
    kind: VerdictKind = "turn it on"
    if starred is None or net < least:
        kind = "not worth it"
    elif zero_share >= MOSTLY_ZERO:
        kind = "zero pages only"
    percent = round(100 * net / max(1, of_bytes), 2) + 0.0  # never -0.0
    return {
        "kind": kind,
        "sentence": _sentence(kind, net, percent, starred, recorded["seconds"]),
        "because": [
            *([too_little(net, of_bytes, settings)] if kind == "not worth it" else []),
            *_because(recorded, starred, zero_share, kind),
        ],
        "net_bytes": net,
        "percent": percent,
        "of_bytes": of_bytes,
        "names": [] if kind == "not worth it" else seen.names,
    }


def _sentence(kind: VerdictKind, net: int, percent: float, starred: ParetoRow | None, seconds: float) -> str:
    over = f"on average over the {span(seconds)} of the recording"
    if starred is None:
        return f"Not worth it: merging all equal pages at once would have saved {size(net)}, {percent:.1f} % of memory, {over}."
    if kind == "not worth it" and net < 0:
        return f"Not worth it: KSM's own records would have taken {size(-net)} more than merging saved, {over}."
    if kind == "not worth it":
        return f"Not worth it: KSM would have saved {size(net)} net, {percent:.1f} % of memory, {over}."
    what = "Turn it on for zero pages (use_zero_pages=1)" if kind == "zero pages only" else "Turn it on"
    return f"{what}: it would have saved {size(net)}, {percent:.1f} % of memory, {over}, after its own records."


def _because(recorded: Recorded, starred: ParetoRow | None, zero_share: float, kind: VerdictKind) -> list[str]:
    lines, equals = [], recorded["equals"]
    if starred:
        lines.append(
            f"Merging all equal pages at once would have saved {size(equals['mean_bytes'])} on average; with "
            f"{starred['label']}, {size(starred['missed_mean_bytes'])} of that were equal and not merged."
        )
    if equals["ended_s"]:
        half = equals["ended_s"]["p50"]
        lines.append(f"Half of the pages whose equal was written or went had had one for {span(half)} at most.")
    if kind == "turn it on" and zero_share >= TOO_FEW:
        lines.append(f"Zero pages are {100 * zero_share:.0f} % of what is equal.")
    return lines


def kinds_of(seen: Moments) -> list[Kind]:
    """Return what is equal, by kind, on average over the recording."""
    steps = [
        ("zero pages", seen.zero_pages),
        ("equal pages within one process", seen.within_pages),
        ("across processes", seen.across_pages),
    ]
    return [
        {"kind": name, "pages": round(pages), "percent": round(100 * pages / max(1.0, seen.saved_pages), 1)}
        for name, pages in steps
    ]


def risk_of(starred: ParetoRow | None, seen: Moments) -> Risk:
    """Return what comes back if merged pages are written, and how many contents processes have in common."""
    most = starred["saved_bytes"] if starred else 0
    return {
        "back_bytes": {f"{percent}": most * percent // 100 for percent in (10, 50, 100)},
        "groups_across_tenants": seen.shared_contents,
    }


def span(seconds: float) -> str:
    """Return a length of time for a sentence."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} minutes" if seconds < 7200 else f"{seconds / 3600:.3g} hours"
