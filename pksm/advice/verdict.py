"""The verdict: whether merging is worth it, for whom, and why."""

from collections.abc import Sequence

from pksm.advice.facts import Facts
from pksm.advice.settings import Settings
from pksm.documents.advise import Kind, Risk, Verdict, VerdictKind

MOSTLY_ZERO = 0.9  # of what is saved: then it is about zero pages
TOO_FEW = 0.005  # of what is saved: below that, zero pages are 0 % of it
TENANTS = {"user": "users", "cgroup": "control groups", "vm": "guests"}


def verdict_of(facts: Facts, names: Sequence[str], of_bytes: int, settings: Settings) -> Verdict:
    """Return the verdict.

    Args:
        facts: what was read.
        names: of the sources, in order.
        of_bytes: the memory that savings are held against.
        settings: what counts as worth it.
    """
    net, page_size = facts.if_all["net_bytes"], facts.memory.page_size
    least = settings.least(of_bytes)
    few, few_net = facts.few
    kind: VerdictKind = "turn it on"
    chosen, because = list(names), []
    zero_share = facts.zero_frames / max(1, facts.if_all["frames_saved"])
    apart = next(row for row in facts.within if row["within"] == facts.tenants)
    parts = f"{apart['parts']} {TENANTS[facts.tenants]}"
    if net < least:
        kind, chosen = "not worth it", []
        because.append(too_little(net, of_bytes, settings))
        if facts.zero_frames:
            because.append(f"{size(facts.zero_frames * page_size)} of what could be merged are zero pages.")
        if facts.merged_unseen:
            because.append(
                f"But {size(facts.merged_unseen * page_size)} of it are merged by KSM now and not counted, for their "
                "frames are hidden from this user: run as root before you turn KSM off."
            )
    elif apart["parts"] > 1 and apart["ksm_net_bytes"] < least:
        kind = "only if tenants may share"
        because.append(
            f"Within each of the {parts} alone KSM would save {size(apart['ksm_net_bytes'])}; the rest is equal pages "
            "of different ones. Who may write to his own memory can find out, by timing, whether another has a page."
        )
    elif zero_share >= MOSTLY_ZERO:
        kind = "zero pages only"
        because.append(f"Zero pages alone are {100 * zero_share:.0f} % of all that KSM would free.")
    elif len(few) < len(names) and len(names) > 1:
        kind, net, chosen = "only some", few_net, [names[place] for place in few]
        share = few_net / max(1, facts.if_all["net_bytes"])
        because.append(f"They alone reach {100 * share:.0f} % of what all {len(names)} would save together.")
    because += _also(facts, zero_share, kind)
    percent = 100 * net / max(1, of_bytes)
    return {
        "kind": kind,
        "sentence": _sentence(kind, net, percent, chosen, len(names)),
        "because": because,
        "net_bytes": net,
        "percent": round(percent, 2),
        "of_bytes": of_bytes,
        "names": chosen,
    }


def _sentence(kind: VerdictKind, net: int, percent: float, chosen: Sequence[str], n_sources: int) -> str:
    percent = round(percent, 1) + 0.0  # never -0.0
    gain = f"it saves {size(net)}, {percent:.1f} % of memory, after what KSM takes for its own records"
    if kind == "not worth it" and net < 0:
        return f"Not worth it: KSM's own records would take {size(-net)} more than merging saves."
    if kind == "not worth it":
        return f"Not worth it: KSM would save {size(net)} net, {percent:.1f} % of memory."
    if kind == "only if tenants may share":
        return f"Turn it on only if tenants may share memory with each other: {gain}."
    if kind == "zero pages only":
        return f"Turn it on for zero pages (use_zero_pages=1): {gain}."
    if kind == "only some":
        return f"Turn it on for {len(chosen)} of {n_sources}: {gain}."
    return f"Turn it on for all {n_sources}: {gain}." if n_sources > 1 else f"Turn it on: {gain}."


def too_little(net: int, of_bytes: int, settings: Settings) -> str:
    """Return which floor a saving does not reach."""
    floor = of_bytes * settings.least_percent / 100
    if net < floor:
        return f"That is below {settings.least_percent:g} % of {size(of_bytes)}."
    return f"That is below {size(settings.least_bytes)}."


def _also(facts: Facts, zero_share: float, kind: VerdictKind) -> list[str]:
    """Return what else is worth knowing."""
    lines = []
    if kind not in ("zero pages only", "not worth it") and zero_share >= TOO_FEW:
        lines.append(f"Merging zero pages only would get {100 * zero_share:.0f} % of it.")
    if facts.opted_in["rmap_items"] == 0 and kind != "not worth it":
        lines.append("Nothing of it has opted in yet: KSM merges no memory that was not opened to it.")
    return lines


def kinds_of(facts: Facts) -> list[Kind]:
    """Return what is saved, by kind: zero pages, and equal ones by how far apart they are."""
    rows = {row["within"]: row["ksm_frames_saved"] for row in facts.within}
    total = facts.if_all["frames_saved"]
    steps = [
        ("zero pages", facts.zero_frames),
        ("equal pages within one process", rows["process"] - facts.zero_frames),
        (f"across processes of one {_one(facts.tenants)}", rows[facts.tenants] - rows["process"]),
        (f"across {TENANTS[facts.tenants]}", rows["all"] - rows[facts.tenants]),
    ]
    return [
        {"kind": name, "pages": max(0, pages), "percent": round(100 * max(0, pages) / max(1, total), 1)}
        for name, pages in steps
    ]


def _one(tenants: str) -> str:
    return {"user": "user", "cgroup": "control group", "vm": "guest"}[tenants]


def risk_of(facts: Facts) -> Risk:
    """Return what comes back if merged pages are written, and how many contents tenants have in common."""
    saved = facts.if_all["frames_saved"] * facts.memory.page_size
    return {
        "back_bytes": {f"{percent}": saved * percent // 100 for percent in (10, 50, 100)},
        "groups_across_tenants": facts.groups_across_tenants,
    }


def size(n_bytes: float) -> str:
    """Return bytes for a sentence, as KiB, MiB or GiB."""
    if 0 < abs(n_bytes) < 1 << 20:
        return f"{n_bytes / 1024:.1f} KiB"
    mib = round(n_bytes / (1 << 20), 1) + 0.0  # never -0.0
    return f"{mib / 1024:.2f} GiB" if abs(mib) >= 1024 else f"{mib:.1f} MiB"
