"""The tables of a scan's report, one a function: lists of lines.

result: of pksm.scan.scan(); width: characters a line has, where names allow it; paint(text, code): puts colour on.
"""

import textwrap
from collections import Counter

from pksm.report.text import BOLD, columns, cut, many, plain, size

NAME_WIDTH = 44  # characters of a source's name in a table, at most
SHOWN = 16  # bytes of a page, where they may be shown
ROWS = 12  # commands or users
MAPPINGS = 5
AMOUNTS = ("resident", "saves", "of all")
REASONS = {
    "not_resident": "not resident", "swapped": "swapped out", "file": "of files", "shared": "shared memory",
    "huge": "huge pages of hugetlbfs", "userfault": "under userfaultfd", "device": "of devices",
    "racy": "dropped as written since they were read", "unreadable": "not readable",
    "left_out": "left out of the image", "untold": "mapped more than once, frames not told",
}  # fmt: skip


def nonzero_duplicates(source):
    """Pages a source alone would save besides its zero pages."""
    return source["duplicates"] - max(0, source["pages"]["zero"] - 1)


def sources(result, width, paint):
    """A row for each source, looked at alone."""
    page_size = result["page_size"]
    amounts = {
        "resident": lambda source: source["pages"]["data"] + source["pages"]["zero"],
        "zero": lambda source: source["pages"]["zero"],
        "duplicates": nonzero_duplicates,
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
    rows = [told] + [[size(amounts[name](source) * page_size) for name in told] for source in result["sources"]]
    while len(told) > 3 and len(title) + sum(2 + max(map(len, column)) for column in zip(*rows, strict=True)) > width:
        told, *rows = ([*row[:-1]] for row in (told, *rows))
    taken = sum(2 + max(map(len, column)) for column in zip(*rows, strict=True))
    room = max(len(title), min(NAME_WIDTH, width - taken))
    names = [title, *(cut(plain(source["name"]), room) for source in result["sources"])]
    lines = columns([(name, *row) for name, row in zip(names, rows, strict=True)], right=range(1, len(told) + 1))
    return [paint(lines[0], BOLD), *lines[1:]]


def groups(result, width, paint, n_rows):
    """The largest groups, those alike in one row; the rows that save most first."""
    alike = Counter(
        (group["pages"], group["looks"], _where(group, result), _bytes(group)) for group in result["groups"]
    )
    saving = {key: count * (key[0] - 1) for key, count in alike.items()}
    shown = sorted(alike, key=saving.get, reverse=True)[:n_rows]
    rows = [
        (f"{alike[key]:,} of {key[0]:,} pages", size(saving[key] * result["page_size"]), key[1], key[2])
        for key in shown
    ]
    head, *told = columns([("groups", "save", "look like", "live in"), *rows], right=(1,))
    lines = [head]
    for line, (*_, first) in zip(told, shown, strict=True):
        lines += [line, f"  {first}"] if first else [line]  # bytes on a line of their own cut nothing off
    return [paint(_groups_title(result), BOLD), *("  " + line[: width - 2].rstrip() for line in lines)]


def _bytes(group):
    """The first bytes of a group where they may be shown: text as it is, all else in hexadecimal."""
    if "bytes" not in group:
        return ""
    first = bytes.fromhex(group["bytes"]["hex"])[:SHOWN]
    text = first.decode("latin-1")
    return f"first bytes: {repr(text) if text.isascii() and text.isprintable() else first.hex()}"


def _groups_title(result):
    n_groups = result["groups_found"]
    if n_groups > len(result["groups"]):
        return f"The {len(result['groups']):,} largest of {n_groups:,} groups of equal pages"
    return f"The {n_groups:,} groups of equal pages" if n_groups > 1 else "The one group of equal pages"


def _where(group, result):
    """Tell where a group lives: mapping by mapping, with the sources by name if they are few."""
    sources = {}
    for place in group["where"]:
        sources.setdefault(place["mapping"], []).append(place["source"])
    if len(result["sources"]) == 1:
        return plain(", ".join(sources))
    return plain(", ".join(_place(mapping, names) for mapping, names in sources.items()))


def _place(mapping, names):
    if len(names) > 1:
        return f"{mapping} of {len(names)} sources"
    is_file = mapping == names[0].rpartition("/")[2]
    return names[0] if is_file else f"{mapping} of {names[0]}"


def commands(result, width, paint):
    """A row for each command and user, together."""
    rows = [
        (cut(plain(f"{row['command']} of {row['user']}"), NAME_WIDTH), f"{row['processes']:,}", *_amounts(row, result))
        for row in result["by_command"]
    ]
    return _with_title(("Command and user, by themselves", "processes", *AMOUNTS), rows, paint)


def users(result, width, paint):
    """A row for each user, together."""
    rows = [
        (cut(plain(row["user"]), NAME_WIDTH), f"{row['processes']:,}", *_amounts(row, result))
        for row in result["by_user"]
    ]
    return _with_title(("User, by themselves", "processes", *AMOUNTS), rows, paint)


def _amounts(row, result):
    page_size = result["page_size"]
    return size(row["pages"] * page_size), size(row["saving_pages"] * page_size), size(row["share_bytes"])


def mappings(result, width, paint):
    """The mappings that have the largest shares of the saving."""
    page_size = result["page_size"]
    rows = [
        (cut(plain(row["mapping"]), NAME_WIDTH), size(row["pages"] * page_size), size(row["share_bytes"]))
        for row in result["by_mapping"]
        if row["share_bytes"]
    ]
    return _with_title(("Mapping", "resident", "of what is saved"), rows, paint, MAPPINGS) if rows else []


def _with_title(title, rows, paint, most=ROWS):
    """Lines of the first rows, and one that tells how many more there are."""
    lines = columns([title, *rows[:most]], right=range(1, len(title)))
    rest = [f"... and {len(rows) - most:,} more (--json has all)"] if len(rows) > most else []
    return [paint(lines[0], BOLD), *lines[1:], *rest]


def matrix(result, width, paint):
    """Contents that every two sources both have, zero pages apart; a source beside itself: all it has."""
    names = [cut(plain(source["name"]), NAME_WIDTH // 2) for source in result["sources"]]
    numbers = [str(number) for number in range(1, len(names) + 1)]
    rows = [
        (number, name, *(f"{contents:,}" for contents in row))
        for number, name, row in zip(numbers, names, result["matrix"], strict=True)
    ]
    lines = columns([("", "Contents in common", *numbers), *rows], right=(0, *range(2, len(names) + 2)))
    return [paint(lines[0], BOLD), *lines[1:]]


def out_of_reach(result, width, paint):
    """What was not looked at, and what was written meanwhile."""
    told = Counter()
    for source in result["sources"]:
        told.update(source["out_of_reach"])
    parts = [
        f"{size(pages * result['page_size'])} {REASONS.get(reason, plain(reason))}"
        for reason, pages in told.most_common()
        if pages
    ]
    racy = sum(source.get("racy") or 0 for source in result["sources"])
    lines = [f"Out of reach: {', '.join(parts)}."] if parts else []
    if racy > told["racy"]:
        lines.append(f"Written since they were read, and kept: {many(racy - told['racy'], 'page')}.")
    merged = sum(source.get("ksm_merged") or 0 for source in result["sources"])
    if merged:
        lines.append(f"Merged by the kernel's KSM already: {many(merged, 'mapping')}.")
    return textwrap.wrap(" ".join(lines), width)
