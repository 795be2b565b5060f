"""Writes the figures of stored results into a page, between two markers, and nothing else there.

python ci/make_tables.py benchmarks/results/FILE.json [BESIDE.json] [--page PAGE] [--check]

The markers are `bench` for a result of benchmarks/run.py, `against` for one of `pksm bench --against kernel --json`,
and `speed` for a summary of one of each; the page is docs/reference/speed.md, or README.md for the summary.
"""

import argparse
import json
import re
import sys
import textwrap
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
SPEED, README = ROOT / "docs" / "reference" / "speed.md", ROOT / "README.md"
BEGIN, END = "<!-- {}:begin -->", "<!-- {}:end -->"
LIMITS = {
    "read": "reading the bytes once, in order",
    "memcpy": "copying them",
    "memcmp": "comparing equal pages",
}
COLUMNS = ("load", "read", "checksum", "hash table", "KSM's twin", "pksmd", "over the read", "M pages per CPU second",
           "merges per CPU second")  # fmt: skip
RIVALS = {
    "kernel's ksmd: first scan": "the kernel's ksmd, first scan",
    "kernel's ksmd: merging scan": "the kernel's ksmd, merging scan",
    "kernel's ksmd": "both",
    "ksm twin": "KSM's trees in C, one search at a time",
    "ksmd": "our ksmd",
    "ksmd, machine": "our ksmd, simulated machine",
    "pksmd": "pksmd",
    "pksmd, machine": "pksmd, simulated machine",
}


WIDTH = 120
LOAD = "f"  # of the summary: the realistic mix


def kind(document, beside=None):
    """Return what is to be written, by the name of its markers."""
    return "speed" if beside else "against" if "against" in document else "bench"


def table(document, beside=None):
    """Return the text for the page."""
    if beside:
        return summary(document, beside)
    return (against if kind(document) == "against" else engine)(document)


def summary(document, beside):
    """What a page takes in five rows, and what each means: an engine's result, and one beside the kernel."""
    machine = document["machine"]
    ours, theirs = (
        {row["engine"]: row for row in result["rows"] if row["load"] == LOAD} for result in (document, beside)
    )
    ns = {engine: row["ns_per_page"] for engine, row in ours.items()}
    kernel, pksmd = theirs["kernel's ksmd"]["ns_per_page"], theirs["pksmd"]["ns_per_page"]
    rows = [
        ("reading it once, in order", ns["read"], "the limit: nothing that looks at a page takes less"),
        ("its checksum alone", ns["checksum"], "one pass over its bytes, by the widest instructions there are"),
        ("pksmd, from birth to rest", ns["pksmd"], f"{_over(ns, 'pksmd')} × the limit: checksum, search and merge"),
        ("KSM's trees in C", ns["ksm twin"], f"{_over(ns, 'ksm twin')} × the limit: one search at a time"),
        (
            "the running kernel's ksmd",
            kernel,
            f"{kernel / pksmd:.0f} × pksmd on the same {theirs['pksmd']['pages']:,} pages",
        ),
    ]
    lines = [f"| a page of the realistic mix (load {LOAD}) | CPU ns | what that means |", "|---|---|---|"]
    lines += [f"| {what} | {time:,.0f} | {meaning} |" for what, time, meaning in rows]
    made = f"`{document['command']}`" if "command" in document else "`pksm bench`"
    about = (
        f"{machine['cpu']} ({machine['cpu_level']}), one core, {ours['pksmd']['pages']:,} pages of "
        f"{document['page_size']} bytes, medians of {document['repeats']}; made by {made}, the last row by "
        f"`{_against_command(beside)}`."
    )
    lines += ["", *wrapped(about)]
    return "\n".join(lines)


def wrapped(text):
    """Return prose as lines, broken in no code."""
    joined = re.sub("`[^`]*`", lambda code: code[0].replace(" ", "\0"), text)
    return [
        line.replace("\0", " ") for line in textwrap.wrap(joined, WIDTH, break_long_words=False, break_on_hyphens=False)
    ]


def _over(ns, engine):
    return f"{ns[engine] / ns['read']:.1f}"


def engine(document):
    """How it was made, the engine by load beside its limits and rivals."""
    machine, rows = document["machine"], document["rows"]
    ns = {(row["load"], row["engine"], row["order"]): row["ns_per_page"] for row in rows}
    engines = [row for row in rows if row["engine"] == "pksmd"]
    several = len({row["order"] for row in engines}) > 1
    about = (
        f"Made by `{document['command']}` on {machine['cpu']} ({machine['cpu_level']}, {machine['cores']} cores, "
        f"{_cores_used(rows)}), Linux {machine['kernel']}, Python {machine['python']}, numpy {machine['numpy']}: "
        f"{engines[0]['pages']:,} pages of {document['page_size']} bytes, touched before; "
        f"{engines[0]['batch']:,} pages per wake-up; CPU nanoseconds per page, medians of {document['repeats']}; "
        "every answer checked."
    )
    lines = [*wrapped(about), "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for row in engines:
        load, name = row["load"], f"{row['load']} ({row['order']})" if several else row["load"]
        rivals = [("read", None), ("checksum", None), ("hash table", None), ("ksm twin", "content")]
        figures = " | ".join(f"{ns[load, rival, order]:.0f}" for rival, order in rivals)
        lines.append(
            f"| {name} | {figures} | {row['ns_per_page']:.0f} "
            f"| {row['ns_per_page'] / ns[load, 'read', None]:.2f} | {row['pages_per_cpu_s'] / 1e6:.2f} "
            f"| {row['merges_per_cpu_s']:.0f} |"
        )
    limits = [
        f"{meaning} {median(row['ns_per_page'] for row in rows if row['engine'] == limit):.0f}"
        for limit, meaning in LIMITS.items()
    ]
    lines += ["", *wrapped(f"The machine's limits, ns per page: {', '.join(limits)}.")]
    return "\n".join(lines)


def against(document):
    """How it was made, and CPU time of the kernel's ksmd and its rivals by load."""
    machine, rows = document["machine"], document["rows"]
    loads = list(dict.fromkeys(row["load"] for row in rows))
    ns = {(row["engine"], row["load"]): row["ns_per_page"] for row in rows}
    about = (
        f"Beside the running kernel's own ksmd, made by `{_against_command(document)}` (root) on {machine['cpu']} ({machine['cpu_level']}), "
        f"Linux {machine['kernel']}, the same bytes in one run:"
    )
    lines = [
        *wrapped(about),
        "",
        f"| CPU ns per page (times the kernel's speed) | {' | '.join(loads)} |",
        "|---" * (len(loads) + 1) + "|",
    ]
    for rival, meaning in RIVALS.items():
        cells = [f"{ns[rival, load]:,.0f}" for load in loads]
        if not rival.startswith("kernel's"):
            times = (ns["kernel's ksmd", load] / ns[rival, load] for load in loads)
            cells = [f"{cell} ({ratio:.1f} ×)" for cell, ratio in zip(cells, times, strict=True)]
        lines.append(f"| {meaning} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _against_command(document):
    rows = document["rows"]
    loads = ",".join(dict.fromkeys(row["load"] for row in rows))
    return f"pksm bench --against kernel --load {loads} --pages {rows[0]['pages']} --repeats {document['repeats']}"


def _cores_used(rows):
    threads = max(row["threads"] for row in rows)
    return "one used" if threads == 1 else f"{threads} threads"


def with_table(text, document, beside=None):
    """Return the page's text with the table in its place; ValueError without exactly one place."""
    begin, end = (mark.format(kind(document, beside)) for mark in (BEGIN, END))
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"no place for the table: write {begin} and {end} on lines of their own, once each")
    head, tail = text.partition(begin)[0], text.partition(end)[2]
    return f"{head}{begin}\n{table(document, beside)}\n{end}{tail}"


def read(path):
    """Return a stored result."""
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.get("schema") != "pksm.bench/1":
        raise ValueError(f"{path} is no result of benchmarks/run.py or pksm bench")
    return document


def main(argv):
    parser = argparse.ArgumentParser(prog="python ci/make_tables.py", description=__doc__.partition("\n")[0])
    parser.add_argument("result", type=Path, help="a file of benchmarks/results")
    parser.add_argument("beside", type=Path, nargs="?", help="for the summary: a result beside the kernel")
    parser.add_argument("--page", type=Path, help=f"the file to write into ({SPEED.name}, the summary: {README.name})")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the figures there are others")
    options = parser.parse_args(argv)
    page = options.page or (README if options.beside else SPEED)
    try:
        document = read(options.result)
        beside = read(options.beside) if options.beside else None
        text = page.read_text(encoding="utf-8")
        wanted = with_table(text, document, beside)
    except (OSError, ValueError) as error:
        print(f"ci/make_tables.py: {error}", file=sys.stderr)
        return 1
    if options.check:
        if text != wanted:
            print(f"{page} has other figures than {options.result}: run this without --check")
        return int(text != wanted)
    page.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
