"""The page of a scan: what merging would save, of what, where it is, and what is out of reach."""

from collections import Counter
from collections.abc import Callable, Sequence

from pksm.documents import Group, Place, ScanDocument, SourceRow
from pksm.report.out_of_reach import REASONS, REMEDIES, by_reason
from pksm.report.pages.charts import bars, heat, points
from pksm.report.pages.parts import Cell, Figure, Key, Page, Part, Table, Tile, number
from pksm.report.scan_ksm import CHARGED
from pksm.report.text import many, size

BARS = 16  # sources with a bar of their own
KINDS = ("zero", "duplicates", "left as it is")


def page(document: ScanDocument) -> Page:
    """Return the page of pksm.scan/1."""
    in_mappings = document["view"] == "mappings"
    made = Page(title=_title(document), verdict=_verdict(document), warnings=list(document["warnings"]))
    if document["interrupted"]:
        made.warnings.insert(0, "the scan was interrupted: this is what was read until then")
    if document["totals"]["pages"]:
        made.tiles = _mapping_tiles(document) if in_mappings else _tiles(document)
        made.parts = [*([] if in_mappings else [_waterfall(document)]), _sources(document), *_matrix(document)]
        made.parts += [*_under_ksm(document), *_within(document)]
    if document["groups"]:
        made.parts += [_group_sizes(document), _groups(document)]
    made.parts += _families(document)
    made.parts += _out_of_reach(document)
    return made


def _title(document: ScanDocument) -> str:
    sources = document["sources"]
    what = sources[0]["name"] if len(sources) == 1 else many(len(sources), "source")
    return f"What merging saves in {what}"


def _verdict(document: ScanDocument) -> str:
    totals, saving = document["totals"], document["saving"]
    whole = totals["pages"] * document["page_size"]
    if not whole:
        return "There are no resident pages to merge."
    if document["view"] == "mappings":
        return (
            f"{saving['pages']:,} of {totals['pages']:,} mappings would be merged. These are not bytes saved: mappings "
            "that share a frame already count, too."
        )
    net = saving["net_bytes"] or 0
    if net <= 0:
        return f"Merging saves nothing here: what it finds, {size(saving['bytes'] or 0)}, is less than its own bookkeeping."
    zero = 100 * saving["zero_pages"] // max(1, saving["pages"])
    return (
        f"Merging saves {size(net)} of {size(whole)} ({100 * net / whole:.1f} %), its own bookkeeping deducted. "
        f"Zero pages are {zero} % of what it saves."
    )


def _tiles(document: ScanDocument) -> list[Tile]:
    totals, saving, page_size = document["totals"], document["saving"], document["page_size"]
    whole, net = totals["pages"] * page_size, saving["net_bytes"] or 0

    def share(amount: int) -> str:
        return f"{100 * amount / whole:.1f} % of what is resident"

    zero, others = saving["zero_pages"] * page_size, saving["nonzero_pages"] * page_size
    return [
        Tile(size(net), "saved, net", share(net), net > 0),
        Tile(size(whole), "resident", many(totals["pages"], "page")),
        Tile(size(zero), "saved by zero pages", share(zero)),
        Tile(size(others), "saved by duplicates", share(others)),
        Tile(size(saving["metadata_bytes"]), "metadata", f"{saving['metadata_bytes'] // totals['pages']} B per page"),
    ]


def _mapping_tiles(document: ScanDocument) -> list[Tile]:
    totals, saving = document["totals"], document["saving"]
    return [
        Tile(f"{saving['pages']:,}", "mappings merged", f"{100 * saving['pages'] / totals['pages']:.1f} %"),
        Tile(f"{totals['pages']:,}", "mappings"),
        Tile(f"{saving['zero_pages']:,}", "of zero pages"),
        Tile(f"{saving['nonzero_pages']:,}", "of duplicates"),
    ]


def _waterfall(document: ScanDocument) -> Figure:
    totals, saving, page_size = document["totals"], document["saving"], document["page_size"]
    whole = totals["pages"] * page_size
    zero, others, metadata = (
        saving["zero_pages"] * page_size,
        saving["nonzero_pages"] * page_size,
        saving["metadata_bytes"],
    )
    after = whole - zero - others
    steps = [
        bars.Step("resident", 0, whole, size(whole), 5),
        bars.Step("zero pages", whole - zero, whole, _less(zero), 0),
        bars.Step("duplicates", after, whole - zero, _less(others), 1),
        bars.Step("metadata", after, after + metadata, f"+{size(metadata)}", 4),
        bars.Step("left in use", 0, after + metadata, size(after + metadata), 2),
    ]
    about = f"From {size(whole)} resident to {size(after + metadata)} in use once equal pages are merged."
    table = Table("From resident to left in use", ["step", "bytes"],
                  [[step.name, number(round(abs(step.end - step.start)))] for step in steps])  # fmt: skip
    return Figure("From what is resident to what is left in use", bars.waterfall(steps, about), about, table)


def _less(amount: int) -> str:
    return f"-{size(amount)}" if amount else size(0)


def _resident(source: SourceRow) -> int:
    return source["pages"]["data"] + source["pages"]["zero"]


def _amount(document: ScanDocument) -> Callable[[float], str]:
    """How pages are read: as bytes, in the view of mappings as their number."""
    if document["view"] == "mappings":
        return lambda pages: f"{pages:,.0f}"
    return lambda pages: size(pages * document["page_size"])


def _sources(document: ScanDocument) -> Figure:
    form, ranked = _amount(document), sorted(document["sources"], key=lambda source: -_resident(source))
    rows = [bars.Row(source["name"], _parts(source), form(_resident(source))) for source in ranked[:BARS]]
    rest = ranked[BARS:]
    if rest:
        sums = [sum(column) for column in zip(*map(_parts, rest), strict=True)]
        rows.append(bars.Row(f"{len(rest):,} others", sums, form(sum(sums))))
    about = f"Each source by itself, by what it has: {', '.join(KINDS)}."
    table = Table(
        "Sources",
        ["source", "kind", "resident", "zero", "duplicates", "saves by itself", "not resident", "excluded"],
        [
            [source["name"], source["kind"], *(number(pages, form(pages)) for pages in (
                _resident(source), source["pages"]["zero"], source["duplicates"], source["saving_pages"],
                source["pages"]["hole"], source["pages"]["excluded"]))]
            for source in ranked
        ],
    )  # fmt: skip
    keys = [Key(kind, colour) for colour, kind in enumerate(KINDS)]
    return Figure("Sources, each by itself", bars.stacked(rows, KINDS, form, about), about, table, keys)


def _parts(source: SourceRow) -> list[int]:
    zero, duplicates = source["pages"]["zero"], source["duplicates"]
    return [zero, duplicates, max(0, _resident(source) - zero - duplicates)]


def _matrix(document: ScanDocument) -> list[Part]:
    """What every two sources have in common, as a share of what the smaller one has."""
    matrix, names = document["matrix"], [source["name"] for source in document["sources"]]
    if not matrix or any(len(row) != len(names) for row in matrix) or len(matrix) != len(names):
        return []
    own = [max(1, row[place]) for place, row in enumerate(matrix)]
    shares = [[both / min(own[a], own[b]) for b, both in enumerate(row)] for a, row in enumerate(matrix)]
    texts = [
        [f"{both:,} contents, {100 * shares[a][b]:.0f} % of the smaller one" for b, both in enumerate(row)]
        for a, row in enumerate(matrix)
    ]
    about = (
        "Contents that every two sources have in common, zero pages apart: the darker, the more of the smaller one. "
        "Those most alike stand side by side."
    )
    heads = ["", "source", *(str(place) for place in range(1, len(names) + 1))]
    table = Table("Contents in common", heads,
                  [[number(place), names[place - 1], *map(number, row)] for place, row in enumerate(matrix, 1)])  # fmt: skip
    return [Figure("Contents in common", heat.heat(names, shares, texts, about), about, table)]


def _under_ksm(document: ScanDocument) -> list[Part]:
    """What KSM's files would show at rest, and each process's profit."""
    if "under_ksm" not in document:
        return []
    now, everything = document["under_ksm"]["opted_in"], document["under_ksm"]["if_all"]
    rows: list[Sequence[Cell | str]] = [
        ["rmap_items", number(now["rmap_items"]), number(everything["rmap_items"])],
        ["pages_shared", number(now["pages_shared"]), number(everything["pages_shared"])],
        ["pages_sharing", number(now["pages_sharing"]), number(everything["pages_sharing"])],
        ["ksm_zero_pages", number(now["ksm_zero_pages"]), number(everything["ksm_zero_pages"])],
        ["frames saved", number(now["frames_saved"]), number(everything["frames_saved"])],
        ["general_profit", _bytes(now["general_profit"]), _bytes(everything["general_profit"])],
        ["saved, less KSM's records", _bytes(now["net_bytes"]), _bytes(everything["net_bytes"])],
    ]
    ranked = sorted(everything["processes"], key=lambda row: -row["ksm_process_profit"])
    profits: list[Sequence[Cell | str]] = [
        [
            row["name"],
            number(row["ksm_merging_pages"]),
            number(row["ksm_zero_pages"]),
            _bytes(row["ksm_process_profit"]),
        ]
        for row in ranked
    ]
    parts: list[Part] = [Table("KSM at rest would show", ["", "as opted in", "if all did"], rows)]
    if profits:
        heads = ["process, if all opted in", "ksm_merging_pages", "ksm_zero_pages", "ksm_process_profit"]
        parts.append(Table("KSM's profit by process", heads, profits))
    return parts


def _within(document: ScanDocument) -> list[Part]:
    """What isolation costs, and who is charged."""
    if "within" not in document:
        return []
    rows: list[Sequence[Cell | str]] = [
        [row["within"], number(row["parts"]), _bytes(row["saving_pages"] * document["page_size"]),
         _bytes(row["ksm_frames_saved"] * document["page_size"]), _bytes(row["ksm_net_bytes"])]
        for row in document["within"]
    ]  # fmt: skip
    heads = ["merged only within", "parts", "all equal pages", "by KSM", "less its records"]
    return [Table("What isolation costs", heads, rows), CHARGED]


def _bytes(amount: int) -> Cell:
    return number(amount, size(amount))


def _group_sizes(document: ScanDocument) -> Figure:
    sizes = Counter(group["pages"] for group in document["groups"])
    data = [
        points.Point("", pages, groups, 0, f"{many(groups, 'group')} of {many(pages, 'page')}", is_named=False)
        for pages, groups in sorted(sizes.items())
    ]
    shown, found = len(document["groups"]), document["groups_found"]
    which = f"the {shown:,} largest of {found:,} groups alone" if found > shown else f"all {found:,} groups"
    about = f"How many groups have how many equal pages, both logarithmic: {which}."
    picture = points.points(
        data, points.Axis("equal pages in a group", is_log=True), points.Axis("groups", is_log=True), about
    )
    table = Table("Sizes of groups", ["equal pages", "groups"],
                  [[number(pages), number(groups)] for pages, groups in sorted(sizes.items(), reverse=True)])  # fmt: skip
    return Figure("Sizes of groups", picture, about, table)


def _groups(document: ScanDocument) -> Table:
    """The largest groups, those that look and live alike in one row."""
    form = _amount(document)
    alike = Counter((group["pages"], group["looks"], _where(group)) for group in document["groups"])
    ranked = sorted(alike.items(), key=lambda entry: -entry[1] * (entry[0][0] - 1))
    rows: list[Sequence[Cell | str]] = [
        [number(groups), number(pages), number(groups * (pages - 1), form(groups * (pages - 1))), looks, where]
        for (pages, looks, where), groups in ranked
    ]
    return Table("Groups of equal pages", ["groups", "pages in each", "saves", "looks like", "lives in"], rows)


def _where(group: Group) -> str:
    places = group["where"]
    shown = ", ".join(_place(place) for place in places[:3])
    return shown + (f" and {len(places) - 3:,} more" if len(places) > 3 else "")


def _place(place: Place) -> str:
    """Where pages are; a file is a mapping of its own name."""
    is_file = place["mapping"] == place["source"].rpartition("/")[2]
    return place["source"] if is_file else f"{place['mapping']} of {place['source']}"


def _families(document: ScanDocument) -> list[Part]:
    form = _amount(document)
    heads = ["processes", "resident", "zero", "save by themselves"]
    parts: list[Part] = []
    for rows, heading in ((document["by_command"], "Commands"), (document["by_user"], "Users")):
        if len(rows) > 1:
            names = ["command", "user"] if heading == "Commands" else ["user"]
            cells: list[Sequence[Cell | str]] = [
                [*([row.get("command", "")] if len(names) > 1 else []), row["user"], number(row["processes"]),
                 *(number(pages, form(pages)) for pages in (row["pages"], row["zero"], row["saving_pages"]))]
                for row in rows
            ]  # fmt: skip
            parts.append(Table(f"{heading}, each by itself", [*names, *heads], cells))
    if len(document["by_mapping"]) > 1:
        cells = [
            [row["mapping"], *(number(pages, form(pages)) for pages in (row["pages"], row["zero"], row["merging"]))]
            for row in document["by_mapping"]
        ]
        parts.append(Table("Mappings by name", ["mapping", "resident", "zero", "zero or with an equal"], cells))
    return parts


def _out_of_reach(document: ScanDocument) -> list[Part]:
    rows: list[Sequence[Cell | str]] = [
        [REASONS.get(reason, reason), number(pages, size(pages * document["page_size"])), REMEDIES.get(reason, "")]
        for reason, pages in by_reason(document)
    ]
    unread: list[Sequence[Cell | str]] = [
        [number(one["pid"], str(one["pid"])), one["command"] or "", one["cause"]] for one in document["unread"]
    ]
    parts: list[Part] = []
    if rows:
        parts.append(Table("Out of reach, and what to do about it", ["why", "size", "remedy"], rows))
    if unread:
        parts.append(Table("Processes that could not be read", ["pid", "command", "why"], unread))
    return parts
