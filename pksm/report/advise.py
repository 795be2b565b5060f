"""How advice looks to people and to spreadsheets: pure functions of the document `pksm.advise/1`."""

from collections.abc import Callable

from pksm.documents import AdviseDocument
from pksm.documents.advise import AdviceNow, ParetoRow, Recorded, Volatile
from pksm.plain import plain
from pksm.report.text import (
    BOLD,
    GREEN,
    INDENT,
    columns,
    csv_text,
    cut,
    hanging,
    many,
    page,
    painting,
    paragraph,
    size,
    volatile,
    within_a_minute,
)

NAMES = 12  # sources that are listed
TITLE = ("", "ksmd with", "CPU", "90 % after", "at rest", "saves", "records", "average")
RECORDED_TITLE = ("", "ksmd with", "CPU", "90 % after", "undone", "at most", "records", "average")
PARTS = {"process": "process", "user": "user", "cgroup": "control group", "vm": "guest"}
TENANTS = {"user": "users", "cgroup": "control groups", "vm": "guests", "process": "processes"}


def table(document: AdviseDocument, width: int = 80, colour: bool = False) -> str:
    """Return advice for people, the verdict first but for what KSM does already."""
    paint = painting(colour)
    return page([
        _now(document["now"], document, width),
        _verdict(document, width, paint),
        _kinds(document, paint),
        _why_not_more(document, width, paint),
        _settings(document, width, paint),
        _pareto(document, width, paint),
        _risk(document, width, paint),
        _else(document, width),
    ])  # fmt: skip


def csv(document: AdviseDocument) -> str:
    """Return the simulated settings as CSV, a line each; a line of the verdict alone if nothing was simulated."""
    verdict = document["verdict"]
    common = {"verdict": verdict["kind"], "net_bytes": verdict["net_bytes"]}
    rows = [
        {
            **common,
            "settings": row["label"],
            "cpu_percent": row["cpu_percent"],
            "cpu_seconds": row["cpu_seconds"],
            "seconds_to_90": "" if row["seconds_to_90"] is None else row["seconds_to_90"],
            "rest_seconds": "" if row["rest_seconds"] is None else row["rest_seconds"],
            "saved_bytes": row["saved_bytes"],
            "mean_saved_bytes": row["mean_saved_bytes"],
            "starred": int(row["starred"]),
            "present": int(row["present"]),
            "metadata_bytes": row["metadata_bytes"],
            "undone": row.get("undone", ""),
        }
        for row in document["pareto"]
    ]
    return csv_text(rows or [common])


def _now(now: AdviceNow | None, document: AdviseDocument, width: int) -> list[str]:
    """What is so now, if KSM runs."""
    if_all = document["if_all"]
    if now is None or if_all is None or not now["runs"]:
        return []
    cpu = "" if now["cpu_seconds"] is None else f"; ksmd has taken {now['cpu_seconds']:,.0f} s of CPU"
    most = if_all["frames_saved"] * document["page_size"]
    said = (
        f"KSM runs on this machine: it saves {size(now['saved_bytes'])} now, everywhere, after "
        f"{many(now['full_scans'], 'full scan')}{cpu}. In what was looked at, it could save {size(most)} at most."
    )
    return paragraph(said + _present(document, now["left_bytes"]), width)


def _present(document: AdviseDocument, left_bytes: int | None) -> str:
    """Return what the present settings would come to, if they were simulated."""
    here = next((row for row in document["pareto"] if row["present"]), None)
    if here is None or left_bytes is None:
        return ""
    left = f"{size(left_bytes)} unmerged" if left_bytes else "nothing unmerged"
    seconds = here["seconds_to_90"]
    then = "" if seconds is None else f", with 90 % of what they save after {_time(seconds)}"
    return (
        f" Its present settings ({here['label']}) would leave {left}{then}, for {here['cpu_percent']:.1f} % of a core."
    )


def _verdict(document: AdviseDocument, width: int, paint: Callable[..., str]) -> list[str]:
    verdict = document["verdict"]
    code = BOLD if verdict["kind"] == "not worth it" else GREEN
    lines = [paint(line, code) for line in paragraph(verdict["sentence"], width)]
    for reason in verdict["because"]:
        lines += paragraph(reason, width)
    if verdict["kind"] == "only some":
        names = verdict["names"]
        lines += [f"{INDENT}{cut(plain(name), width - 2)}" for name in names[:NAMES]]
        if len(names) > NAMES:
            lines.append(f"{INDENT}... and {len(names) - NAMES:,} more (JSON has all)")
    return lines


def _kinds(document: AdviseDocument, paint: Callable[..., str]) -> list[str]:
    rows = [
        (f"{INDENT}{kind['kind']}", size(kind["pages"] * document["page_size"]), f"{kind['percent']:.0f} %")
        for kind in document["kinds"]
        if kind["pages"]
    ]
    if not rows:
        return []
    lines = columns([("What would be saved", "size", "share"), *rows], right=(1, 2))
    return [paint(lines[0]), *lines[1:]]


def _why_not_more(document: AdviseDocument, width: int, paint: Callable[..., str]) -> list[str]:
    if not document["why_not_more"]:
        return []
    lines = [paint("Why not more: memory that KSM does not merge as it is")]
    for row in document["why_not_more"]:
        lines += hanging(f"{size(row['bytes'])} {row['cause']}: {row['meaning']}. Remedy: {row['remedy']}.", width)
    return lines


def _settings(document: AdviseDocument, width: int, paint: Callable[..., str]) -> list[str]:
    if not document["settings"]:
        return []
    lines = [paint("Settings (files of /sys/kernel/mm/ksm)")]
    for one in document["settings"]:
        default = "the default" if one["value"] == one["default"] else f"default {one['default']}"
        lines += hanging(f"{one['name']} = {one['value']} ({default}). {one['reason']}", width)
    return lines


def _pareto(document: AdviseDocument, width: int, paint: Callable[..., str]) -> list[str]:
    if not document["pareto"]:
        return []
    minutes = document["period_ms"] / 60000
    marks = (
        "* takes the least CPU of those that are good enough; + are not beaten by any other. Records are the kernel's own, "
        "to be taken off."
    )
    if "recorded" in document:
        rows = [_recorded_row(row) for row in document["pareto"]]
        title = RECORDED_TITLE
        lasted = f"{minutes:,.4g} min" if minutes >= 1 else _time(document["period_ms"] / 1000)
        notes = (
            f"The recording was played to its end with each of them ({lasted}): memory changed as it did then. CPU is of one "
            f"core, and the average is over all of that time. {marks}"
        )
    else:
        rows = [_row(row) for row in document["pareto"]]
        title = TITLE
        notes = (
            "Simulated on this memory until nothing was left to merge. CPU is of one core while KSM works; the average is "
            f"over {minutes:,.4g} minutes from the start. {marks} The memory did not change meanwhile."
        )
    lines = columns([title, *rows], right=range(2, len(title)))
    prices = document["prices"]
    source = f" Prices of CPU: {plain(prices['source'])}." if prices else ""
    part = PARTS.get(document["simulated_within"])
    apart = f" Nothing was merged but within each {part} alone, which KSM of Linux cannot do." if part else ""
    return [paint(lines[0]), *lines[1:], *paragraph(notes + apart + source, width)]


def _row(row: ParetoRow) -> tuple[str, ...]:
    mark = "*" if row["starred"] else "+" if row["best"] else ""
    remarks = [word for word, is_so in (("default", row["default"]), ("present", row["present"])) if is_so]
    label = row["label"] + (f" ({', '.join(remarks)})" if remarks else "")
    saved, records, mean = (size(row[name]) for name in ("saved_bytes", "metadata_bytes", "mean_saved_bytes"))
    times = _time(row["seconds_to_90"]), _time(row["rest_seconds"])
    return mark, label, f"{row['cpu_percent']:.1f} %", *times, saved, records, mean


def _recorded_row(row: ParetoRow) -> tuple[str, ...]:
    mark, label, cpu, at_90, _, saved, records, mean = _row(row)
    return mark, label, cpu, at_90, f"{row['undone']:,}", saved, records, mean


def _written(seen: Volatile) -> str:
    share = 100 * seen["merging_changed"] / max(1, seen["merging"])
    return (
        f"Within {seen['seconds']:g} s {many(seen['changed'], 'page')} of {seen['pages']:,} changed; of those that would "
        f"merge, {share:.1f} %."
    )


def _undone(document: AdviseDocument, recorded: Recorded) -> str:
    """Return what writes did to merges while a recording was played with the settings that are advised."""
    row = next(row for row in document["pareto"] if row["starred"])
    share = 100 * row["undone"] / max(1, row["merges"])
    soon = within_a_minute(recorded["seconds"])
    return (
        f"{volatile(recorded['volatile_share'], recorded['seconds'])} Of "
        f"{many(row['merges'], 'merge')}, {share:.1f} % were undone by writes, {row['undone_soon']:,} of them {soon}."
    )


def _risk(document: AdviseDocument, width: int, paint: Callable[..., str]) -> list[str]:
    risk = document["risk"]
    seen = risk.get("volatile")
    if document["verdict"]["kind"] == "not worth it":
        return [] if seen is None else paragraph(_written(seen), width)
    back = risk["back_bytes"]
    lines = [paint("Risk")]
    if "recorded" in document:
        lines += hanging(_undone(document, document["recorded"]), width)
    lines += hanging(
        f"A merged page that is written becomes a page of its own again: {size(back['10'])} come back if 10 % of them are "
        f"written, {size(back['50'])} if half are, {size(back['100'])} if all are. Have that much memory in reserve.",
        width,
    )
    if seen is None and "recorded" not in document:
        lines += hanging("How much is written is not known: one look shows what there is, not what changes.", width)
    elif seen is not None:
        lines += hanging(_written(seen), width)
    if risk["groups_across_tenants"]:
        who = TENANTS[document["tenants"]]
        lines += hanging(
            f"{many(risk['groups_across_tenants'], 'content')} would be shared across {who}: by timing its writes, one can "
            "find out whether another has a page.",
            width,
        )
    return lines


def _else(document: AdviseDocument, width: int) -> list[str]:
    """What compressing would give, who is charged, and what static memory cannot say."""
    compressing = document["compressing"]
    lines = []
    if compressing["percent"] is not None:
        lines += paragraph(
            f"Compression instead (zram or zswap): zlib makes a sample of {many(compressing['sampled'], 'page')} "
            f"{compressing['percent']:.0f} % smaller, but only of memory that is swapped out.",
            width,
        )
    lines += paragraph(
        "In control groups a page that is kept for several stays charged to one of them: the memory.max of the others need "
        "not fall.",
        width,
    )
    if document["interrupted"]:
        lines += ["Interrupted: nothing, or not all, was simulated."]
    return lines


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
