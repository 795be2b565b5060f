"""How results look to people and to spreadsheets: pure functions of results, no page bytes in them."""

import csv
import io
import textwrap

from pksm.report import scan_tables as tables
from pksm.report.text import BOLD, columns, cut, many, plain, rate, size

DIM, GREEN = "2", "32"
SOURCES_SHOWN = 12  # of more processes only commands and users are listed; files always
SHORTEST_S = 0.05  # of less a speed means nothing


def scan_table(result, width=80, colour=False, top=10, matrix=False):
    """Return the result of a scan for people, in lines of at most `width` characters where names allow it.

    top: rows about groups of equal pages, at most; rows about groups that look and live alike are one. matrix: tell
    what every two sources have in common.
    """
    paint = _paint if colour else _keep
    parts = [_headline(result, width)]
    if result["totals"]["pages"]:
        parts.append(_savings(result, paint))
        crowd = sum("command" in source for source in result["sources"]) > SOURCES_SHOWN
        alone = [source for source in result["sources"] if not (crowd and "command" in source)]
        if alone:
            parts.append(tables.sources({**result, "sources": alone}, width, paint))
        if crowd:
            parts.append(tables.commands(result, width, paint))
        if crowd and len(result["by_user"]) > 1:
            parts.append(tables.users(result, width, paint))
        if len(result["by_mapping"]) > 1:
            parts.append(tables.mappings(result, width, paint))
        if matrix and result["matrix"]:
            parts.append(tables.matrix(result, width, paint))
    if result["groups"] and top:
        parts.append(tables.groups(result, width, paint, top))
    parts.append(tables.out_of_reach(result, width, paint))
    parts.append([paint(line, DIM) for line in textwrap.wrap(_effort(result), width)])
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def scan_csv(result):
    """Return the result of a scan as CSV: a row for each source, looked at alone, then one for all together."""
    page_size, totals, saving = result["page_size"], result["totals"], result["saving"]
    rows = []
    for source in result["sources"]:
        pages = source["pages"]
        resident = pages["data"] + pages["zero"]
        nonzero = tables.nonzero_duplicates(source)
        saved = nonzero + pages["zero"]
        rows.append({
            "name": source["name"], "kind": source["kind"], "command": source.get("command", ""),
            "user": source.get("user", ""), "page_size": page_size, "pages": resident, **pages,
            "mappings": source["mappings"], "lost": source["lost"], "racy": source.get("racy") or 0,
            "distinct": resident - source["duplicates"],
            "duplicates": source["duplicates"], "saving_pages": saved, "saving_zero_pages": pages["zero"],
            "saving_nonzero_pages": nonzero, "saving_bytes": saved * page_size,
            "net_bytes": saved * page_size - resident * saving["metadata_bytes"]["pksm"] // max(1, totals["pages"]),
            "share_bytes": source["share_bytes"],
        })  # fmt: skip
    together = {key: sum(row[key] for row in rows) for key in ("hole", "excluded", "mappings", "lost", "racy")}
    rows.append({
        "name": "total", "kind": "total", "command": "", "user": "", "page_size": page_size, "pages": totals["pages"],
        "data": totals["pages"] - totals["zero"], "zero": totals["zero"], **together,
        "distinct": totals["distinct"], "duplicates": totals["duplicates"], "saving_pages": saving["pages"],
        "saving_zero_pages": saving["zero_pages"], "saving_nonzero_pages": saving["nonzero_pages"],
        "saving_bytes": saving["bytes"], "net_bytes": saving["net_bytes"],
        "share_bytes": sum(row["share_bytes"] for row in rows),
    })  # fmt: skip
    return csv_text(rows)


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


def _effort(result):
    cost = result["cost"]
    done = f"hashed {size(cost['bytes_hashed'])}, compared {size(cost['bytes_compared'])}"
    if result["totals"]["pages"] and cost["steps"]["merge"]["wall_s"] >= SHORTEST_S:
        done = f"merging {rate(cost['pages_per_s'])} pages/s, {done}"
    return f"{cost['wall_s']:.2f} s; {done}"
