"""Writes the figures of a stored result into README.md, between the two bench markers, and nothing else there.

python benchmarks/readme_table.py benchmarks/results/FILE.json [--readme README.md] [--check]
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
LIMITS = {
    "read": "reading the bytes once, in order",
    "memcpy": "copying them",
    "memcmp": "comparing equal pages",
}
COLUMNS = ("load", "read", "checksum", "hash table", "KSM's twin", "pksmd", "over the read", "M pages a CPU second",
           "merges a CPU second")  # fmt: skip


def table(document):
    """Return the text for the README: how it was made, the engine by load beside its limits and rivals."""
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
        figures = " | ".join(f"{ns[load, engine, order]:.0f}" for engine, order in rivals)
        lines.append(
            f"| {name} | {figures} | {row['ns_per_page']:.0f} "
            f"| {row['ns_per_page'] / ns[load, 'read', None]:.2f} | {row['pages_per_cpu_s'] / 1e6:.2f} "
            f"| {row['merges_per_cpu_s']:.0f} |"
        )
    limits = [
        f"{meaning} {median(row['ns_per_page'] for row in rows if row['engine'] == engine):.0f}"
        for engine, meaning in LIMITS.items()
    ]
    lines += ["", f"The machine's limits, ns a page: {', '.join(limits)}."]
    return "\n".join(lines)


def _cores_used(rows):
    threads = max(row["threads"] for row in rows)
    return "one used" if threads == 1 else f"{threads} threads"


def with_table(text, document):
    """Return the README's text with the table in its place; ValueError without exactly one place."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"no place for the table: write {BEGIN} and {END} on lines of their own, once each")
    head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
    return f"{head}{BEGIN}\n{table(document)}\n{END}{tail}"


def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/readme_table.py", description=__doc__.partition("\n")[0])
    parser.add_argument("result", type=Path, help="a file that benchmarks/run.py stored")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", help="the file to write into (%(default)s)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the figures there are others")
    options = parser.parse_args(argv)
    try:
        document = json.loads(options.result.read_text(encoding="utf-8"))
        if document.get("schema") != "pksm.bench/1":
            raise ValueError(f"{options.result} is no result of benchmarks/run.py")
        text = options.readme.read_text(encoding="utf-8")
        wanted = with_table(text, document)
    except (OSError, ValueError) as error:
        print(f"benchmarks/readme_table.py: {error}", file=sys.stderr)
        return 1
    if options.check:
        if text != wanted:
            print(f"{options.readme} has other figures than {options.result}: run this without --check")
        return int(text != wanted)
    options.readme.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
