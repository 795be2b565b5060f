"""Writes the figures of stored results into the pages that show them, between markers, and nothing else there.

python ci/make_tables.py [--check] [NAME...]

A table NAME stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->` of its page; TABLES says which results it is
made of, and `make bench` measures those anew.
"""

import argparse
import importlib.util
import json
import re
import sys
import textwrap
from functools import partial
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SPEED, README = ROOT / "docs" / "reference" / "speed.md", ROOT / "README.md"
FIDELITY = ROOT / "docs" / "explanation" / "fidelity"
HOWTO = ROOT / "docs" / "howto"
TUTORIALS = ROOT / "docs" / "tutorials"
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
    if "command" in document:
        return document["command"].removesuffix(" --json")
    rows = document["rows"]
    loads = ",".join(dict.fromkeys(row["load"] for row in rows))
    return f"pksm bench --against kernel --load {loads} --pages {rows[0]['pages']} --repeats {document['repeats']}"


def _cores_used(rows):
    threads = max(row["threads"] for row in rows)
    return "one used" if threads == 1 else f"{threads} threads"


def curve(document):
    """How the time per page grows: a line per load and engine, a column per size."""
    machine, rows = document["machine"], [row for row in document["rows"] if row["engine"] in ("hash table", "pksmd")]
    sizes = list(dict.fromkeys(row["pages"] for row in rows))
    about = (
        f"Made by `{document['command']}` on {machine['cpu']} ({machine['cpu_level']}): pages of {document['page_size']} "
        f"bytes, so that nearly all of the time is that of trees, tables and lists; CPU nanoseconds per page, medians of "
        f"{document['repeats']}."
    )
    lines = [*wrapped(about), "", f"| load | | {' | '.join(f'{size:,}' for size in sizes)} | growth |"]
    lines.append("|---" * (len(sizes) + 3) + "|")
    for load, engine_name in dict.fromkeys((row["load"], row["engine"]) for row in rows):
        ns = [row["ns_per_page"] for row in rows if (row["load"], row["engine"]) == (load, engine_name)]
        lines.append(f"| {load} | {engine_name} | {' | '.join(f'{one:.0f}' for one in ns)} | {ns[-1] / ns[0]:.2f} × |")
    return "\n".join(lines)


def choices(document):
    """The notes' own proposals."""
    return "\n".join(_script("proposals").table(document))


def predictions(document):
    """Predictions beside what the kernel's ksmd did."""
    script = _script("predictions")
    return "\n".join([*script.table(document), "", *wrapped(script.about(document))])


def _of_script(name, document):
    """The table of a script of benchmarks/, below what the script says of it."""
    script = _script(name)
    return "\n".join([*wrapped(script.about(document)), "", *script.table(document)])


def _made_by(name, document):
    """Return the table of a script of benchmarks/, and how it was made."""
    machine = document["machine"]
    about = (
        f"Made by `{document['command']}` on {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python "
        f"{machine['python']}."
    )
    return "\n".join([*_script(name).table(document), "", *wrapped(about)])


def _script(name):
    """Return a file of benchmarks/ as a module; it may import others of them."""
    if str(ROOT / "benchmarks") not in sys.path:
        sys.path.append(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured(document):
    """What the faults of PKSM's sample cost, beside our default checksum."""
    rows = {row["name"]: row for row in document["strategies"]}
    both = sample, ours = rows["sampled"], rows["xxh3-64"]
    lines = ["| quirk | measured | PKSM's sample | calculated | our default |", "|---|---|---|---|---|"]

    def per_cent(share):
        return f"{100 * share:.1f} %"

    def add(quirk, what, first, calculated, second):
        lines.append(f"| {quirk} | {what} | {first} | {calculated} | {second} |")

    for what, kind in (("one word", "1_word"), ("eight words", "8_words"), ("a cache line", "line")):
        missed = sample["missed"][kind]
        about = f"{per_cent(missed['measured'])} ({100 * missed['low']:.1f} to {100 * missed['high']:.1f})"
        calculated, default = per_cent(missed["analytic"]), per_cent(ours["missed"][kind]["measured"])
        add("blind-sample", f"changes of {what} missed", about, calculated, default)
    never, changes = [row["missed_after_change"] for row in both], f" of {sample['changes']:,}"
    what = "pages that one word's change made equal to another, never merged"
    add("blind-sample", what, f"{never[0]:,}{changes}", "", f"{never[1]:,}{changes}")
    for quirk, what, key, calculated in (
        ("sparse-zero-lost", "pages that look zero to the checksum and are not", "false_zero", ""),
        (
            "one-content-per-hash",
            "pairs of contents with one checksum",
            "colliding_pairs",
            f"{sample['expected_pairs']:.0f}",
        ),
        ("collision-is-success", "pages in limbo, with the quirks of v0.2", "limbo_pages", ""),
    ):
        add(quirk, what, f"{sample[key]:,}", calculated, f"{ours[key]:,}")
    return "\n".join(lines)


def replayed(document):
    """By how much a recording that is played misses what the kernel did: medians, and what the kernel did."""
    lines = [
        "| program | pages | kernel: saved, undone | ksmd's pace | counted | frames | undone |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        kernel = [run["kernel"] for run in row["every_run"]]
        saved, undone = (median(side[name] for side in kernel) for name in ("saved", "undone"))
        for pace, misses in (("settings", row["ours"]), ("followed", row["followed"])):
            first = (
                [row["text"], f"{row['pages']:,}", f"{saved:,.0f}, {undone:,.0f}"] if pace == "settings" else [""] * 3
            )
            parts = [misses[name] for name in ("counted", "saved", "undone")]
            parts = ["-" if part is None else f"{100 * part:+.1f} %" for part in parts]
            lines.append(f"| {' | '.join([*first, pace, *parts])} |")
    runs = f"{document['runs']} runs" if document["runs"] > 1 else "one run"
    about = (
        f"{document['seconds']:g} s on Linux {document['kernel'].partition('-')[0]}, a sample per "
        f"{document['every_ms']} ms by {document['track']}, medians of {runs}; kernel: pages saved on average, and merges "
        f"undone. `{document['command']}` measured it; `benchmarks/results` has every run."
    )
    return "\n".join([*lines, "", *wrapped(about)])


def uksm_truth(document):
    """What a recorded kernel with UKSM counted, and what we count."""
    return "\n".join(_script("uksm_truth").table(document))


def claims(document, timed):
    """What the papers claim, and the same ratios here: of a comparison, and of what was timed on one load."""
    script = _script("compared")
    about = (
        f"Theirs are the figures of the papers' abstracts, on other hardware, other kernels and other memory. Ours are "
        f"simulated: ratios at {document['at_cpu'].rstrip('%')} % of a core, from `{document['command']}`, the last row from "
        f"`{timed['command']}`."
    )
    return "\n".join([*script.claims(document, timed), "", *wrapped(about)])


# name: (page, what makes it, results)
TABLES = {
    "bench": (SPEED, engine, ("1048576",)),
    "against": (SPEED, against, ("against-kernel",)),
    "curve": (SPEED, curve, ("curve",)),
    "targets": (SPEED, partial(_of_script, "targets"), ("targets",)),
    "checksums": (SPEED, partial(_of_script, "checksums"), ("checksums",)),
    "speed": (README, summary, ("1048576", "against-kernel")),
    "choices": (FIDELITY / "proposals.md", choices, ("choices",)),
    "replayed": (FIDELITY / "recordings.md", replayed, ("replayed",)),
    "hashed": (FIDELITY / "recordings.md", replayed, ("replayed-hashes",)),
    "measured": (FIDELITY / "measured.md", measured, ("checksum-profile",)),
    "policies": (SPEED, partial(_of_script, "policies"), ("policies",)),
    "compared": (HOWTO / "compare.md", partial(_made_by, "compared"), ("compared",)),
    "claims": (TUTORIALS / "four-policies.md", claims, ("compared", "policies")),
    "uksm-truth": (FIDELITY / "uksm.md", uksm_truth, ("uksm-truth",)),
    "pair-rule": (FIDELITY / "uksm.md", partial(_of_script, "pair_rule"), ("pair-rule",)),
    "predictions": (HOWTO / "sweep.md", predictions, ("predict",)),
    "sweep-workers": (HOWTO / "sweep.md", partial(_made_by, "sweep_workers"), ("sweep-workers",)),
    "advice": (HOWTO / "advise.md", partial(_made_by, "advise_image"), ("advise-image",)),
    "tracking": (HOWTO / "record.md", partial(_made_by, "recording"), ("recording",)),
    "recordings": (HOWTO / "record.md", partial(_made_by, "replay"), ("replay",)),
}


def table(name, results=RESULTS):
    """Return the text of a table."""
    _, make, names = TABLES[name]
    paths = [results / f"{one}.json" for one in names]
    if not all(path.exists() for path in paths):
        return "Not measured yet: `make bench`."
    return make(*(json.loads(path.read_text(encoding="utf-8")) for path in paths))


def with_table(text, name, shown):
    """Return the page's text with the table in its place; ValueError without exactly one place."""
    begin, end = (mark.format(name) for mark in (BEGIN, END))
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"no place for the table: write {begin} and {end} on lines of their own, once each")
    head, tail = text.partition(begin)[0], text.partition(end)[2]
    return f"{head}{begin}\n{shown}\n{end}{tail}"


def main(argv):
    parser = argparse.ArgumentParser(prog="python ci/make_tables.py", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"tables: {', '.join(TABLES)} (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the figures there are others")
    options = parser.parse_args(argv)
    stale = []
    for name in options.names or TABLES:
        if name not in TABLES:
            print(f"ci/make_tables.py: no table {name!r}: choose from {', '.join(TABLES)}", file=sys.stderr)
            return 2
        page = TABLES[name][0]
        try:
            text = page.read_text(encoding="utf-8")
            wanted = with_table(text, name, table(name))
        except (OSError, ValueError, LookupError) as error:
            print(f"ci/make_tables.py: {name} of {page}: {error}", file=sys.stderr)
            return 1
        if text != wanted and options.check:
            stale.append(name)
        elif text != wanted:
            page.write_text(wanted, encoding="utf-8")
    if stale:
        print(f"stale: {', '.join(stale)}; write them anew: python ci/make_tables.py", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
