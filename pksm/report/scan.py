"""How a scan looks to people and to spreadsheets: pure functions of the document `pksm.scan/1`.

The tables are a function each: lists of lines of at most `width` characters, where names allow it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pksm.documents import Family, Group, MappingRow, ScanDocument, SourceRow
from pksm.plain import plain
from pksm.report import scan_ksm
from pksm.report.out_of_reach import out_of_reach
from pksm.report.text import (
    BOLD,
    DIM,
    GREEN,
    columns,
    csv_text,
    cut,
    many,
    page,
    painting,
    paragraph,
    rate,
    size,
    with_title,
)

SOURCES_SHOWN = 12  # of more processes only commands and users are listed; files always
SHORTEST_S = 0.05  # of less a speed means nothing
NAME_WIDTH = 44  # characters of a source's name in a table, at most
SHOWN = 16  # bytes of a page, where they may be shown
MAPPINGS = 5
AMOUNTS = ("resident", "saves", "of all")
MERGED = ("mappings", "merged", "of all")  # in the view of mappings


def table(result: ScanDocument, width: int = 80, colour: bool = False, top: int = 10, matrix: bool = False) -> str:
    """Return the result of a scan for people, in lines of at most `width` characters where names allow it.

    top: rows about groups of equal pages, at most; rows about groups that look and live alike are one. matrix: show
    what every two sources have in common.
    """
    paint = painting(colour)
    parts = [_headline(result, width)]
    if result["totals"]["pages"]:
        parts.append(_savings(result, paint))
        crowd = sum("command" in source for source in result["sources"]) > SOURCES_SHOWN
        alone = [source for source in result["sources"] if not (crowd and "command" in source)]
        if alone:
            parts.append(_sources({**result, "sources": alone}, width, paint))
        if crowd:
            parts.append(_commands(result, paint))
        if crowd and len(result["by_user"]) > 1:
            parts.append(_users(result, paint))
        if len(result["by_mapping"]) > 1:
            parts.append(_mappings(result, paint))
        if matrix and result["matrix"]:
            parts.append(_matrix(result, paint))
        if "under_ksm" in result:
            parts += scan_ksm.under_ksm(result, paint)
        if "within" in result:
            parts.append(scan_ksm.within(result, width, paint))
    if result["groups"] and top:
        parts.append(_groups(result, width, paint, top))
    parts.append(out_of_reach(result, width, paint))
    parts.append([paint(line, DIM) for line in paragraph(_effort(result), width)])
    return page(parts)


def csv(result: ScanDocument) -> str:
    """Return the result of a scan as CSV: a row for each source, looked at alone, then one for all together."""
    page_size, totals, saving = result["page_size"], result["totals"], result["saving"]
    rows: list[dict[str, Any]] = []
    for source in result["sources"]:
        pages = source["pages"]
        resident = pages["data"] + pages["zero"]
        nonzero = source["duplicates"]
        saved = nonzero + pages["zero"]
        rows.append({
            "name": source["name"], "kind": source["kind"], "command": source.get("command", ""),
            "user": source.get("user", ""), "page_size": page_size, "pages": resident, **pages,
            "mappings": source["mappings"], "lost": source["lost"], "racy": source.get("racy") or 0,
            "distinct": resident - nonzero - max(0, pages["zero"] - 1),
            "duplicates": source["duplicates"], "saving_pages": saved, "saving_zero_pages": pages["zero"],
            "saving_nonzero_pages": nonzero, "saving_bytes": saved * page_size,
            "net_bytes": saved * page_size - resident * saving["metadata_bytes"] // max(1, totals["pages"]),
            "share_bytes": source["share_bytes"],
        })  # fmt: skip
    together = {key: sum(row[key] for row in rows) for key in ("hole", "excluded", "mappings", "lost", "racy")}
    rows.append({
        "name": "total", "kind": "total", "command": "", "user": "", "page_size": page_size, "pages": totals["pages"],
        "data": totals["pages"] - totals["zero"], "zero": totals["zero"], **together,
        "distinct": totals["distinct"], "duplicates": totals["duplicates"], "saving_pages": saving["pages"],
        "saving_zero_pages": saving["zero_pages"], "saving_nonzero_pages": saving["nonzero_pages"],
        "saving_bytes": saving["bytes"], "net_bytes": saving["net_bytes"],
        "share_bytes": sum(row["share_bytes"] or 0 for row in rows),
    })  # fmt: skip
    if result["view"] == "mappings":
        rows = [row | {"saving_bytes": "", "net_bytes": "", "share_bytes": ""} for row in rows]
    return csv_text(rows)


def _headline(result: ScanDocument, width: int) -> list[str]:
    pages, mappings = result["totals"]["pages"], sum(source["mappings"] for source in result["sources"])
    n_sources, page_size = len(result["sources"]), size(result["page_size"]).replace(".0", "")
    what = plain(result["sources"][0]["name"]) if n_sources == 1 else f"{n_sources} sources"
    if not pages:
        return [f"{cut(what, width - 30)}: no resident pages to count"]
    resident = f"{many(pages, 'resident page')} of {page_size}, {size(pages * result['page_size'])}"
    if result["view"] == "mappings":
        how = "every mapping of a page counted"
    elif mappings > pages:
        how = f"each counted once, though they are mapped {mappings:,} times"
    else:
        how = ""
    line = f"{what}: {resident}"
    if len(line) > width:
        return [cut(what, width - 1) + ":", resident] + ([how] if how else [])
    return [line] + ([how] if how else [])


def _savings(result: ScanDocument, paint: Callable[..., str]) -> list[str]:
    totals, saving, page_size = result["totals"], result["saving"], result["page_size"]
    if result["view"] == "mappings":
        return _mappings_merged(result, paint)
    whole = totals["pages"] * page_size

    def row(name: str, pages: int | None, n_bytes: int, remark: str = "") -> tuple[str, str, str, str, str]:
        return name, "" if pages is None else f"{pages:,}", size(n_bytes), f"{100 * n_bytes / whole:.1f} %", remark

    zero, others = saving["zero_pages"], saving["nonzero_pages"]
    metadata, net = saving["metadata_bytes"], saving["net_bytes"] or 0
    rows = [
        ("Merging saves", "pages", "size", "share", ""),
        row("  zero pages", zero, zero * page_size, _of(zero, totals["zero"])),
        row("  duplicates", others, others * page_size, _of(others, totals["duplicates"])),
        row("  together", saving["pages"], saving["pages"] * page_size),
        row("  metadata", None, -metadata, f"{metadata // totals['pages']} B per page"),
        row("  left over", None, net),
    ]
    lines = columns(rows, right=(1, 2, 3))
    lines[0], lines[-1] = paint(lines[0], BOLD), paint(lines[-1], GREEN if net > 0 else BOLD)
    return lines


def _of(merged: int, there_are: int) -> str:
    """Say how many there are, where a policy does not merge them all."""
    return "" if merged == there_are else f"of {there_are:,}"


def _mappings_merged(result: ScanDocument, paint: Callable[..., str]) -> list[str]:
    """In the view of mappings: no sizes, for mappings that share a frame already, as after a fork, save nothing."""
    totals, saving = result["totals"], result["saving"]
    whole = totals["pages"]

    def row(name: str, mappings: int, remark: str = "") -> tuple[str, str, str, str]:
        return name, f"{mappings:,}", f"{100 * mappings / whole:.1f} %", remark

    rows = [
        ("Mappings merged", "mappings", "share", ""),
        row("  zero pages", saving["zero_pages"], _of(saving["zero_pages"], totals["zero"])),
        row("  duplicates", saving["nonzero_pages"], _of(saving["nonzero_pages"], totals["duplicates"])),
        row("  together", saving["pages"]),
    ]
    lines = columns(rows, right=(1, 2))
    return [paint(lines[0], BOLD), *lines[1:], "Not bytes saved: mappings that share a frame already count, too."]


def _titles(result: ScanDocument) -> tuple[str, str, str]:
    return MERGED if result["view"] == "mappings" else AMOUNTS


def _share(row: Family | MappingRow) -> str:
    return f"{row['share_mappings']:,.0f}" if row["share_bytes"] is None else size(row["share_bytes"])


def _effort(result: ScanDocument) -> str:
    cost = result["cost"]
    done = f"hashed {size(cost['bytes_hashed'])}, compared {size(cost['bytes_compared'])}"
    if result["totals"]["pages"] and cost["steps"]["merge"]["wall_s"] >= SHORTEST_S:
        done = f"merging {rate(cost['pages_per_s'])} pages/s, {done}"
    threads = result["settings"].get("threads", 1)
    together = f"{threads} threads, " if threads != 1 else ""
    return f"{together}{cost['wall_s']:.2f} s; {done}"


def _amount(pages: int, result: ScanDocument) -> str:
    """So many pages, as a size; in the view of mappings, which are not bytes, their number."""
    return f"{pages:,}" if result["view"] == "mappings" else size(pages * result["page_size"])


def _sources(result: ScanDocument, width: int, paint: Callable[..., str]) -> list[str]:
    """A row for each source, looked at alone."""
    amounts: dict[str, Callable[[SourceRow], int]] = {
        "resident": lambda source: source["pages"]["data"] + source["pages"]["zero"],
        "zero": lambda source: source["pages"]["zero"],
        "duplicates": lambda source: source["duplicates"],
        "not resident": lambda source: source["pages"]["hole"],
        "excluded": lambda source: source["pages"]["excluded"],
        "lost": lambda source: source["lost"],
    }
    told = [
        name
        for name, amount in amounts.items()
        if name in ("resident", "zero", "duplicates") or any(map(amount, result["sources"]))
    ]
    title = "Source, by itself"
    rows = [told] + [[_amount(amounts[name](source), result) for name in told] for source in result["sources"]]
    while len(told) > 3 and len(title) + sum(2 + max(map(len, column)) for column in zip(*rows, strict=True)) > width:
        told, *rows = ([*row[:-1]] for row in (told, *rows))
    taken = sum(2 + max(map(len, column)) for column in zip(*rows, strict=True))
    room = max(len(title), min(NAME_WIDTH, width - taken))
    names = [title, *(cut(plain(source["name"]), room) for source in result["sources"])]
    lines = columns([(name, *row) for name, row in zip(names, rows, strict=True)], right=range(1, len(told) + 1))
    return [paint(lines[0], BOLD), *lines[1:]]


def _groups(result: ScanDocument, width: int, paint: Callable[..., str], n_rows: int) -> list[str]:
    """The largest groups, those alike in one row; the rows that save most first."""
    alike = Counter(
        (group["pages"], group["looks"], _where(group, result), _bytes(group)) for group in result["groups"]
    )
    saving = {key: count * (key[0] - 1) for key, count in alike.items()}
    shown = sorted(alike, key=saving.__getitem__, reverse=True)[:n_rows]
    rows = [(f"{alike[key]:,} of {key[0]:,} pages", _amount(saving[key], result), key[1], key[2]) for key in shown]
    head, *told = columns(
        [("groups", "merge" if result["view"] == "mappings" else "save", "look like", "live in"), *rows], right=(1,)
    )
    lines = [head]
    for line, (*_, first) in zip(told, shown, strict=True):
        lines += [line, f"  {first}"] if first else [line]  # bytes on a line of their own cut nothing off
    return [paint(_groups_title(result), BOLD), *("  " + line[: width - 2].rstrip() for line in lines)]


def _bytes(group: Group) -> str:
    """The first bytes of a group where they may be shown: text as it is, all else in hexadecimal."""
    if "bytes" not in group:
        return ""
    first = bytes.fromhex(group["bytes"]["hex"])[:SHOWN]
    text = first.decode("latin-1")
    return f"first bytes: {repr(text) if text.isascii() and text.isprintable() else first.hex()}"


def _groups_title(result: ScanDocument) -> str:
    n_groups = result["groups_found"]
    if n_groups > len(result["groups"]):
        return f"The {len(result['groups']):,} largest of {n_groups:,} groups of equal pages"
    return f"The {n_groups:,} groups of equal pages" if n_groups > 1 else "The one group of equal pages"


def _where(group: Group, result: ScanDocument) -> str:
    """Tell where a group lives: mapping by mapping, with the sources by name if they are few."""
    sources: dict[str, list[str]] = {}
    for place in group["where"]:
        sources.setdefault(place["mapping"], []).append(place["source"])
    if len(result["sources"]) == 1:
        return plain(", ".join(sources))
    return plain(", ".join(_place(mapping, names) for mapping, names in sources.items()))


def _place(mapping: str, names: Sequence[str]) -> str:
    if len(names) > 1:
        return f"{mapping} of {len(names)} sources"
    is_file = mapping == names[0].rpartition("/")[2]
    return names[0] if is_file else f"{mapping} of {names[0]}"


def _commands(result: ScanDocument, paint: Callable[..., str]) -> list[str]:
    """A row for each command and user, together."""
    rows = [
        (cut(plain(f"{row['command']} of {row['user']}"), NAME_WIDTH), f"{row['processes']:,}", *_amounts(row, result))
        for row in result["by_command"]
    ]
    return with_title(("Command and user, by themselves", "processes", *_titles(result)), rows, paint)


def _users(result: ScanDocument, paint: Callable[..., str]) -> list[str]:
    """A row for each user, together."""
    rows = [
        (cut(plain(row["user"]), NAME_WIDTH), f"{row['processes']:,}", *_amounts(row, result))
        for row in result["by_user"]
    ]
    return with_title(("User, by themselves", "processes", *_titles(result)), rows, paint)


def _amounts(row: Family, result: ScanDocument) -> tuple[str, str, str]:
    pages, saving = _amount(row["pages"], result), _amount(row["saving_pages"], result)
    return pages, saving, _share(row)


def _mappings(result: ScanDocument, paint: Callable[..., str]) -> list[str]:
    """The mappings that have the largest shares of the saving."""
    rows = [
        (cut(plain(row["mapping"]), NAME_WIDTH), _amount(row["pages"], result), _share(row))
        for row in result["by_mapping"]
        if row["share_bytes"] or row.get("share_mappings")
    ]
    return (
        with_title(
            ("Mapping", "resident", "of all merged" if result["view"] == "mappings" else "of what is saved"),
            rows,
            paint,
            MAPPINGS,
        )
        if rows
        else []
    )


def _matrix(result: ScanDocument, paint: Callable[..., str]) -> list[str]:
    """Contents that every two sources both have, zero pages apart; a source beside itself: all it has."""
    names = [cut(plain(source["name"]), NAME_WIDTH // 2) for source in result["sources"]]
    numbers = [str(number) for number in range(1, len(names) + 1)]
    rows = [
        (number, name, *(f"{contents:,}" for contents in row))
        for number, name, row in zip(numbers, names, result["matrix"] or [], strict=True)
    ]
    lines = columns([("", "Contents in common", *numbers), *rows], right=(0, *range(2, len(names) + 2)))
    return [paint(lines[0], BOLD), *lines[1:]]
