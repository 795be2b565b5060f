"""Writes the figures of a stored result into README.md, between the two bench markers, and nothing else there.

python benchmarks/readme_table.py benchmarks/results/FILE.json [--readme README.md] [--check]
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
LIMITS = {
    "read": "reading the bytes once, in order",
    "memcpy": "copying them",
    "memcmp": "comparing equal pages",
    "call": "an empty call of the C core",
}


def table(document):
    """Return the text for the README: how it was made, the engine by load, the limits of the machine."""
    machine, rows = document["machine"], document["rows"]
    cells = {(row["load"], row["engine"], row["order"]): row for row in rows}
    engines = [row for row in rows if row["engine"] == "pksmd"]
    several = len({row["order"] for row in engines}) > 1
    lines = [
        f"Made by `{document['command']}` on {machine['cpu']} ({machine['cores']} cores, one used), "
        f"Linux {machine['kernel']}, Python {machine['python']}, numpy {machine['numpy']}; "
        f"CPU time, medians of {document['repeats']}, pages of {document['page_size']} bytes, touched before; "
        "every answer checked.",
        "",
        "| load | pages | checksum, ns a page | to rest, ns a page | M pages a CPU second | merges a CPU second |",
        "|---|---|---|---|---|---|",
    ]
    for row in engines:
        name = f"{row['load']} ({row['order']})" if several else row["load"]
        checksum = cells[row["load"], f"checksum {document['checksum']}", None]
        lines.append(
            f"| {name} | {row['pages']} | {checksum['ns_per_page']:.0f} | {row['ns_per_page']:.0f} "
            f"| {row['pages_per_cpu_s'] / 1e6:.2f} | {row['merges_per_cpu_s']:.0f} |"
        )
    lines += ["", "| the machine's limits | ns |", "|---|---|"]
    for row in rows:
        if row["engine"] in LIMITS:
            a_page = "" if row["engine"] == "call" else ", a page"
            lines.append(f"| {LIMITS[row['engine']]}{a_page} | {row['ns_per_page']:.0f} |")
    return "\n".join(lines)


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
