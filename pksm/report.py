"""How results look to people and to spreadsheets: pure functions of results, no page bytes in them."""

import csv
import io
import textwrap
from collections import Counter

BOLD, DIM, GREEN = "1", "2", "32"
NAME_WIDTH = 44  # characters of a source's name in a table, at most
SHORTEST_S = 0.05  # of less a speed means nothing


def size(n_bytes):
    """Return bytes as people read them: "640 B", "12.0 KiB", "1.50 GiB"."""
    amount, units = float(n_bytes), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while abs(amount) >= 1023.95 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    digits = 0 if units[0] == "B" else 1 if units[0] in ("KiB", "MiB") else 2
    return f"{amount:.{digits}f} {units[0]}"


def rate(per_second):
    """Return a number a second as people read it: "850", "12.3 k", "1.42 M"."""
    if per_second < 1000:
        return f"{per_second:.0f}"
    return f"{per_second / 1e3:.1f} k" if per_second < 999_950 else f"{per_second / 1e6:.2f} M"


def plain(text):
    """Return text on one line and without what would steer a terminal: such characters as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
                   for char in text)  # fmt: skip


def cut(text, width):
    """Return text in at most `width` characters, its middle left out if need be."""
    if len(text) <= width:
        return text
    kept = max(0, width - 3)
    return text[: kept - kept // 2] + "..."[:width] + text[len(text) - kept // 2 :]


def columns(rows, right=()):
    """Return rows of cells as lines with aligned columns; those numbered in `right` are flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def scan_table(result, width=80, colour=False, top=10):
    """Return the result of a scan for people, in lines of at most `width` characters where names allow it.

    top: rows about groups of equal pages, at most; rows about groups that look and live alike are one.
    """
    paint = _paint if colour else _keep
    parts = [_headline(result, width)]
    if result["totals"]["pages"]:
        parts.append(_savings(result, paint))
        parts.append(_sources(result, width, paint))
    if result["groups"] and top:
        parts.append(_groups(result, width, paint, top))
    parts.append([paint(line, DIM) for line in textwrap.wrap(_effort(result), width)])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def scan_csv(result):
    """Return the result of a scan as CSV: a row for each source, looked at alone, then one for all together."""
    page_size, totals, saving = result["page_size"], result["totals"], result["saving"]
    rows = []
    for source in result["sources"]:
        pages = source["pages"]
        resident = pages["data"] + pages["zero"]
        nonzero = _nonzero_duplicates(source)
        saved = nonzero + pages["zero"]
        rows.append({
            "name": source["name"], "kind": source["kind"], "page_size": page_size, "pages": resident, **pages,
            "mappings": source["mappings"], "lost": source["lost"], "distinct": resident - source["duplicates"],
            "duplicates": source["duplicates"], "saving_pages": saved, "saving_zero_pages": pages["zero"],
            "saving_nonzero_pages": nonzero, "saving_bytes": saved * page_size,
            "net_bytes": saved * page_size - resident * saving["metadata_bytes"]["pksm"] // max(1, totals["pages"]),
        })  # fmt: skip
    together = {key: sum(row[key] for row in rows) for key in ("hole", "excluded", "mappings", "lost")}
    rows.append({
        "name": "total", "kind": "total", "page_size": page_size, "pages": totals["pages"],
        "data": totals["pages"] - totals["zero"], "zero": totals["zero"], **together,
        "distinct": totals["distinct"], "duplicates": totals["duplicates"], "saving_pages": saving["pages"],
        "saving_zero_pages": saving["zero_pages"], "saving_nonzero_pages": saving["nonzero_pages"],
        "saving_bytes": saving["bytes"], "net_bytes": saving["net_bytes"],
    })  # fmt: skip
    return csv_text(rows)


def _nonzero_duplicates(source):
    """Pages a source alone would save besides its zero pages."""
    return source["duplicates"] - max(0, source["pages"]["zero"] - 1)


def features(facts):
    """Return the facts of pksm features for people."""
    machine = facts["machine"]
    rows = [
        ("checksums", ", ".join(_checksum(facts, name, bits) for name, bits in facts["checksums"].items())),
        ("orders", ", ".join(facts["orders"])),
        ("presets", ", ".join(facts["presets"])),
        ("sources", ", ".join(facts["sources"])),
        ("processor", f"{machine['cpus']} CPUs; instruction sets in use up to {facts['cpu_levels'][-1]}"),
        ("frame numbers", _choice(machine["frame_numbers"], "told", "not told to this user: that takes root")),
        ("PAGEMAP_SCAN", _choice(machine["pagemap_scan"], "there", "not there (Linux 6.7): slower on sparse memory")),
        ("process_vm_readv", _choice(machine["process_vm_readv"], "there", "not there: /proc/PID/mem is used, slower")),
        ("whose memory", _PTRACE_SCOPES.get(machine["ptrace_scope"], _PTRACE_SCOPES[3])),
        ("huge pages", machine["huge_pages"] or "not there"),
        ("kernel's own KSM", _choice(machine["kernel_ksm"], "there", "not there")),
    ]
    return "\n".join([f"pksm {facts['version']}", *columns(rows)]) + "\n"


_PTRACE_SCOPES = {
    None: "processes of the same user; all as root",
    0: "processes of the same user; all as root",
    1: "children, such as pksm scan -- COMMAND; all as root",
    2: "all as root, none otherwise",
    3: "none: kernel.yama.ptrace_scope forbids it",
}


def _checksum(facts, name, bits):
    return f"{name} ({bits} bits{', default' if name == facts['default_checksum'] else ''})"


def _choice(is_so, yes, no):
    return yes if is_so else no


def csv_text(rows):
    """Return dicts with the same keys as CSV with a header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _keep(text, _):
    return text


def _paint(text, code):
    return f"\033[{code}m{text}\033[0m"


def _headline(result, width):
    pages, mappings = result["totals"]["pages"], sum(source["mappings"] for source in result["sources"])
    n_sources, page_size = len(result["sources"]), size(result["page_size"]).replace(".0", "")
    what = plain(result["sources"][0]["name"]) if n_sources == 1 else f"{n_sources} sources"
    if not pages:
        return [f"{cut(what, width - 30)}: no resident pages to count"]
    resident = f"{_many(pages, 'resident page')} of {page_size}, {size(pages * result['page_size'])}"
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


def _many(number, noun):
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _savings(result, paint):
    totals, saving, page_size = result["totals"], result["saving"], result["page_size"]
    whole = totals["pages"] * page_size

    def row(name, pages, n_bytes, remark=""):
        return name, "" if pages is None else f"{pages:,}", size(n_bytes), f"{100 * n_bytes / whole:.1f} %", remark

    metadata = saving["metadata_bytes"]["pksm"]
    rows = [
        ("Merging saves", "pages", "size", "share", ""),
        row("  zero pages", saving["zero_pages"], saving["zero_pages"] * page_size),
        row("  duplicates", saving["nonzero_pages"], saving["nonzero_pages"] * page_size),
        row("  together", saving["pages"], saving["bytes"]),
        row("  PKSM's own needs", None, -metadata, f"{metadata // totals['pages']} B a page"),
        row("  left over", None, saving["net_bytes"]),
    ]
    lines = columns(rows, right=(1, 2, 3))
    lines[0], lines[-1] = paint(lines[0], BOLD), paint(lines[-1], GREEN if saving["net_bytes"] > 0 else BOLD)
    return lines


def _sources(result, width, paint):
    page_size = result["page_size"]
    amounts = {
        "resident": lambda source: source["pages"]["data"] + source["pages"]["zero"],
        "zero": lambda source: source["pages"]["zero"],
        "duplicates": _nonzero_duplicates,
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


def _groups(result, width, paint, n_rows):
    """The largest groups, those alike in one row; the rows that save most first."""
    alike = Counter((group["pages"], group["looks"], _where(group, result)) for group in result["groups"])
    saving = {key: count * (key[0] - 1) for key, count in alike.items()}
    rows = [
        (f"{alike[key]:,} of {key[0]:,} pages", size(saving[key] * result["page_size"]), key[1], key[2])
        for key in sorted(alike, key=saving.get, reverse=True)[:n_rows]
    ]
    lines = columns([("groups", "save", "look like", "live in"), *rows], right=(1,))
    return [paint(_groups_title(result), BOLD), *("  " + line[: width - 2].rstrip() for line in lines)]


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


def _effort(result):
    cost = result["cost"]
    done = f"hashed {size(cost['bytes_hashed'])}, compared {size(cost['bytes_compared'])}"
    if result["totals"]["pages"] and cost["steps"]["merge"]["wall_s"] >= SHORTEST_S:
        done = f"merging {rate(cost['pages_per_s'])} pages/s, {done}"
    return f"{cost['wall_s']:.2f} s; {done}"
