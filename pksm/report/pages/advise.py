"""The page of advice: the verdict, its price, the settings and their reasons, and what may come back."""

from collections.abc import Sequence
from typing import Any

from pksm.documents.advise import AdviseDocument, ParetoRow
from pksm.plain import plain
from pksm.report.advise import PARTS, TENANTS
from pksm.report.pages.charts import bars, lines, points, svg
from pksm.report.pages.parts import Cell, Copyable, Figure, Key, Page, Part, Table, Tile, number
from pksm.report.text import many, percent, seconds, size, volatile, within_a_minute

ADVISED, BEST, BEATEN = 4, 0, 5  # colours


def page(document: AdviseDocument) -> Page:
    """Return the page of pksm.advise/1."""
    verdict = document["verdict"]
    sources = document["sources"]
    what = sources[0] if len(sources) == 1 else many(len(sources), "source")
    made = Page(f"Is merging worth it in {what}?", verdict["sentence"], warnings=list(document["warnings"]))
    if document["interrupted"]:
        made.warnings.insert(0, "it was interrupted: this is what was found until then")
    made.tiles = _tiles(document)
    made.parts = [" ".join(verdict["because"])] if verdict["because"] else []
    if verdict["names"]:
        made.parts.append(Copyable("What shall opt in", "\n".join(map(plain, verdict["names"]))))
    made.parts += [*_now(document), *_kinds(document), *_pareto(document), *_settings(document)]
    made.parts += [*_why_not_more(document), _risk(document), *_compressing(document)]
    return made


def _tiles(document: AdviseDocument) -> list[Tile]:
    verdict = document["verdict"]
    starred = next((row for row in document["pareto"] if row["starred"]), None)
    tiles = [
        Tile(verdict["kind"], "verdict", is_good=verdict["kind"] != "not worth it"),
        Tile(size(verdict["net_bytes"]), "saved, net", f"{verdict['percent']:.1f} % of {size(verdict['of_bytes'])}"),
    ]
    if starred:
        reached = "-" if starred["seconds_to_90"] is None else seconds(starred["seconds_to_90"])
        tiles += [Tile(percent(starred["cpu_percent"]), "of a core" if "recorded" in document else "of a core, while it works", starred["label"]),
                  Tile(reached, "until 90 % is saved")]  # fmt: skip
    return tiles


def _now(document: AdviseDocument) -> list[Part]:
    now = document["now"]
    if now is None:
        return []
    runs = "KSM runs now" if now["runs"] else "KSM does not run now"
    cpu = "" if now["cpu_seconds"] is None else f" for {seconds(now['cpu_seconds'])} of CPU"
    left = "" if now["left_bytes"] is None else f" Its settings would leave {size(now['left_bytes'])} unmerged here."
    return [f"{runs}: it saves {size(now['saved_bytes'])} after {many(now['full_scans'], 'full scan')}{cpu}.{left}"]


def _kinds(document: AdviseDocument) -> list[Part]:
    if not document["kinds"]:
        return []
    page_size = document["page_size"]
    rows = [
        bars.Row(kind["kind"], [kind["pages"] * page_size], f"{kind['percent']:.0f} %") for kind in document["kinds"]
    ]
    about = "What KSM saves, by kind, and each kind's part of all of it."
    table = Table("Kinds of saving", ["kind", "saves", "% of all"],
                  [[kind["kind"], number(kind["pages"] * page_size, size(kind["pages"] * page_size)), number(kind["percent"], f"{kind['percent']:.1f}")]
                   for kind in document["kinds"]])  # fmt: skip
    return [Figure("What kind of saving", bars.stacked(rows, ("saved",), svg.amount, about), about, table)]


def _pareto(document: AdviseDocument) -> list[Part]:
    rows = document["pareto"]
    if not rows:
        return []
    data = [
        points.Point(row["label"], row["cpu_percent"], row["mean_saved_bytes"], _colour(row),
                     f"{percent(row['cpu_percent'])} of a core, {size(row['mean_saved_bytes'])} on average")
        for row in sorted(rows, key=lambda row: (not row["starred"], not row["best"]))
    ]  # fmt: skip
    front = sorted((row["cpu_percent"], float(row["mean_saved_bytes"])) for row in rows if row["best"])
    period = seconds(document["period_ms"] / 1000)
    part = PARTS.get(document["simulated_within"])
    apart = f" Nothing was merged but within each {part} alone, which KSM of Linux cannot do." if part else ""
    is_recorded = "recorded" in document
    until = "to the end of the recording" if is_recorded else "until it is at rest"
    about = (
        f"Each row simulated {until}: CPU time against what is saved on average over {period}. Best is top left.{apart}"
    )
    axes = (
        points.Axis("% of a core", is_log=min(row["cpu_percent"] for row in rows) > 0),
        points.Axis("saved on average", svg.amount, base=2.0),
    )
    keys = [Key("advised", ADVISED), Key("no other row beats it", BEST), Key("beaten", BEATEN)]
    heads = ["settings", "% of a core", "CPU, s", "90 % after", "undone" if is_recorded else "at rest after",
             "saved at most" if is_recorded else "saved", "records", "on average", ""]  # fmt: skip
    cells: list[Sequence[Cell | str]] = [
        [row["label"], number(row["cpu_percent"], percent(row["cpu_percent"])), number(row["cpu_seconds"], f"{row['cpu_seconds']:.2f}"),
         number(row["seconds_to_90"], None if row["seconds_to_90"] is None else seconds(row["seconds_to_90"])),
         _undone_or_rest(row), number(row["saved_bytes"], size(row["saved_bytes"])),
         number(row["metadata_bytes"], size(row["metadata_bytes"])),
         number(row["mean_saved_bytes"], size(row["mean_saved_bytes"])), _remark(row)]
        for row in rows
    ]  # fmt: skip
    series = [
        lines.Line(row["label"], [at / 1000 for at, _ in row["points"]], [saved for _, saved in row["points"]])
        for row in rows
    ]
    over = "Saved over virtual time, each row from when KSM is turned on."
    times, values = lines.Read("virtual time, s", lambda time: f"{time:,.6g}"), lines.SIZE._replace(name="saved")
    return [
        Figure("Price and gain", points.points(data, *axes, about, front), about, keys=keys),
        Figure("Saved over time", lines.lines(lines.held(series), times, values, over), over, keys=[Key(line.name, i, i) for i, line in enumerate(series)]),
        Table("What settings cost and save", heads, cells),
    ]  # fmt: skip


def _undone_or_rest(row: ParetoRow) -> Cell:
    rest = row["rest_seconds"]
    return number(row["undone"], f"{row['undone']:,}") if rest is None else number(rest, seconds(rest))


def _colour(row: ParetoRow) -> int:
    return ADVISED if row["starred"] else BEST if row["best"] else BEATEN


def _remark(row: ParetoRow) -> str:
    remarks = ["advised"] if row["starred"] else []
    remarks += ["the kernel's defaults"] if row["default"] else []
    return ", ".join(remarks + (["as KSM runs now"] if row["present"] else []))


def _settings(document: AdviseDocument) -> list[Part]:
    rows: list[Sequence[Cell | str]] = [
        [one["name"], _value(one["value"]), _value(one["default"]), one["reason"]] for one in document["settings"]
    ]
    return [Table("Settings, and why", ["setting", "advised", "default", "why"], rows)] if rows else []


def _value(value: Any) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _why_not_more(document: AdviseDocument) -> list[Part]:
    rows: list[Sequence[Cell | str]] = [
        [one["cause"], number(one["bytes"], size(one["bytes"])), one["meaning"], one["remedy"]]
        for one in document["why_not_more"]
    ]
    return [Table("Why not more", ["cause", "size", "why", "remedy"], rows)] if rows else []


def _risk(document: AdviseDocument) -> Part:
    risk = document["risk"]
    back = [
        f"{size(n_bytes)} if {share} % of the merged pages are written" for share, n_bytes in risk["back_bytes"].items()
    ]
    said = [f"What may come back: {'; '.join(back)}."]
    said.append(
        f"{many(risk['groups_across_tenants'], 'content')} belong to two {TENANTS[document['tenants']]} or more, who can learn of each other's memory by the time that writes take."
    )
    starred = next((row for row in document["pareto"] if row["starred"]), None)
    if "recorded" in document:
        soon = within_a_minute(document["recorded"]["seconds"])
        said.append(volatile(document["recorded"]["volatile_share"], document["recorded"]["seconds"]))
        if starred:
            said.append(
                f"Of {many(starred['merges'], 'merge')}, writes undid {starred['undone']:,}, {starred['undone_soon']:,} of "
                f"them {soon}."
            )
    elif "volatile" in risk:
        seen = risk["volatile"]
        said.append(
            f"Within {seconds(seen['seconds'])}, {seen['changed']:,} of {seen['pages']:,} pages changed, and "
            f"{seen['merging_changed']:,} of the {seen['merging']:,} that would merge."
        )  # fmt: skip
    else:
        said.append("How often pages are written is not known: nothing was looked at twice.")
    return " ".join(said)


def _compressing(document: AdviseDocument) -> list[Part]:
    shown = document["compressing"]
    if shown["percent"] is None:
        return []
    return [
        f"Compressing instead (zram, zswap): zlib saves {shown['percent']:.0f} % of a sample of {shown['sampled']:,} pages."
    ]
