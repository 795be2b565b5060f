"""Writes the figures of a stored result into README.md, between two markers, and nothing else there.

python ci/make_tables.py benchmarks/results/FILE.json [--readme README.md] [--check]

The markers are `bench` for a result of benchmarks/run.py, `against` for one of `pksm bench --against kernel --json`.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- {}:begin -->", "<!-- {}:end -->"
LIMITS = {
    "read": "reading the bytes once, in order",
    "memcpy": "copying them",
    "memcmp": "comparing equal pages",
}
COLUMNS = ("load", "read", "checksum", "hash table", "KSM's twin", "pksmd", "over the read", "M pages a CPU second",
           "merges a CPU second")  # fmt: skip
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


def kind(document):
    """Return which of the two results a document is, by the name of its markers."""
    return "against" if "against" in document else "bench"


def table(document):
    """Return the text for the README."""
    return (against if kind(document) == "against" else engine)(document)


def engine(document):
    """How it was made, the engine by load beside its limits and rivals."""
    machine, rows = document["machine"], document["rows"]
    ns = {(row["load"], row["engine"], row["order"]): row["ns_per_page"] for row in rows}
    engines = [row for row in rows if row["engine"] == "pksmd"]
    several = len({row["order"] for row in engines}) > 1
    lines = [
        f"Made by `{document['command']}` on {machine['cpu']} ({machine['cpu_level']}, {machine['cores']} cores, "
        f"{_cores_used(rows)}), Linux {machine['kernel']}, Python {machine['python']}, numpy {machine['numpy']}: "
        f"{engines[0]['pages']:,} pages of {document['page_size']} bytes, touched before; "
        f"{engines[0]['batch']:,} pages a wake-up; CPU nanoseconds a page, medians of {document['repeats']}; "
        "every answer checked.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
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
    lines += ["", f"The machine's limits, ns a page: {', '.join(limits)}."]
    return "\n".join(lines)


def against(document):
    """How it was made, and CPU time of the kernel's ksmd and its rivals by load."""
    machine, rows = document["machine"], document["rows"]
    loads = list(dict.fromkeys(row["load"] for row in rows))
    ns = {(row["engine"], row["load"]): row["ns_per_page"] for row in rows}
    command = " ".join(["pksm bench --against kernel", *(f"--load {load}" for load in loads)])
    lines = [
        f"Beside the running kernel's own ksmd, made by `{command} --pages {rows[0]['pages']} "
        f"--repeats {document['repeats']}` (root) on {machine['cpu']} ({machine['cpu_level']}), "
        f"Linux {machine['kernel']}, the same bytes in one run:",
        "",
        f"| CPU ns a page (times the kernel's speed) | {' | '.join(loads)} |",
        "|---" * (len(loads) + 1) + "|",
    ]
    for rival, meaning in RIVALS.items():
        cells = [f"{ns[rival, load]:,.0f}" for load in loads]
        if not rival.startswith("kernel's"):
            times = (ns["kernel's ksmd", load] / ns[rival, load] for load in loads)
            cells = [f"{cell} ({ratio:.1f} ×)" for cell, ratio in zip(cells, times, strict=True)]
        lines.append(f"| {meaning} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cores_used(rows):
    threads = max(row["threads"] for row in rows)
    return "one used" if threads == 1 else f"{threads} threads"


def with_table(text, document):
    """Return the README's text with the table in its place; ValueError without exactly one place."""
    begin, end = (mark.format(kind(document)) for mark in (BEGIN, END))
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"no place for the table: write {begin} and {end} on lines of their own, once each")
    head, tail = text.partition(begin)[0], text.partition(end)[2]
    return f"{head}{begin}\n{table(document)}\n{end}{tail}"


def main(argv):
    parser = argparse.ArgumentParser(prog="python ci/make_tables.py", description=__doc__.partition("\n")[0])
    parser.add_argument("result", type=Path, help="a file of benchmarks/results")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="the file to write into (%(default)s)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the figures there are others")
    options = parser.parse_args(argv)
    try:
        document = json.loads(options.result.read_text(encoding="utf-8"))
        if document.get("schema") != "pksm.bench/1":
            raise ValueError(f"{options.result} is no result of benchmarks/run.py or pksm bench")
        text = options.readme.read_text(encoding="utf-8")
        wanted = with_table(text, document)
    except (OSError, ValueError) as error:
        print(f"ci/make_tables.py: {error}", file=sys.stderr)
        return 1
    if options.check:
        if text != wanted:
            print(f"{options.readme} has other figures than {options.result}: run this without --check")
        return int(text != wanted)
    options.readme.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
