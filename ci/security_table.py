"""Writes what was tried and held into SECURITY.md, between two markers, from the stored results of the harnesses.

python ci/security_table.py [--check]
"""

import json
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "SECURITY.md"
FUZZ, FAULTS = ROOT / "fuzz" / "results", ROOT / "tests" / "faults" / "results"
WIDTH = 120
WHOLE_WORDS = {"break_long_words": False, "break_on_hyphens": False}
BEGIN, END = "<!-- tried:begin -->", "<!-- tried:end -->"
FAULT_KINDS = {
    "ENOMEM": "no memory",
    "EIO": "a read or write fails",
    "EINTR": "a call is interrupted",
    "ENOSPC": "the disk is full",
    "EMFILE": "no descriptors",
    "EACCES": "a file may not be opened",
    "EAGAIN": "no thread, no process",
    "short": "reads or writes that stop short",
    "end": "a file ends early",
    "SIG": "SIGINT, SIGTERM, SIGHUP, SIGQUIT",
}


def main(argv: list[str]) -> int:
    """Write, or with --check only look whether the page is as it would be; return the exit code."""
    old = PAGE.read_text(encoding="utf-8")
    head, _, rest = old.partition(BEGIN)
    tail = rest.partition(END)[2]
    new = f"{head}{BEGIN}\n{text()}{END}{tail}"
    if "--check" in argv:
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


def text() -> str:
    """Return all tables."""
    return "\n".join([*fuzzed(), "", *faults(), "", *bombs(), ""])


def load(path: Path) -> dict:
    """Return a stored result."""
    return json.loads(path.read_text(encoding="utf-8"))


def origin(document: dict) -> str:
    """Return an entry of a list, in lines that fit: where and when a result was made."""
    machine = document["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}"
    text = f"`{document['command']}` at {document['revision']}, {document['at'][:10]}; {where}."
    # A line may end within a command, too: Markdown makes a space of it.
    return textwrap.fill(text, WIDTH, initial_indent="* ", subsequent_indent="  ", **WHOLE_WORDS)


def fuzzed() -> list[str]:
    """Return the table of guided fuzzing: executions of all runs together."""
    documents = [load(path) for path in sorted(FUZZ.glob("*.json"))]
    executions: dict[str, int] = {}
    found: dict[str, int] = {}
    for document in documents:
        for name, row in document["targets"].items():
            executions[name] = executions.get(name, 0) + row["executions"]
            found[name] = found.get(name, 0) + len(row["found"])
    lines = [f"**Guided fuzzing**: {sum(executions.values()):,} executions.", ""]
    lines += ["| target | executions | found in these runs |", "|---|---:|---:|"]
    lines += [f"| {name} | {count:,} | {found[name] or 'nothing'} |" for name, count in executions.items()]
    return [*lines, "", *map(origin, documents)]


def faults() -> list[str]:
    """Return the table of faults injected, by kind; of each fault the last result."""
    documents = sorted(map(load, FAULTS.glob("faults*.json")), key=lambda document: document["at"])
    last = {name: row for document in documents for name, row in document["faults"].items()}
    rows: dict[str, dict[str, int]] = {}
    for name, row in last.items():
        kind = next(text for prefix, text in FAULT_KINDS.items() if name.startswith(prefix))
        so_far = rows.setdefault(kind, {"runs": 0, "wrong": 0, "lived": 0, "died": 0})
        so_far["runs"] += row["runs"]
        so_far["wrong"] += row["wrong"]
        so_far["lived"] += sum(count for code, count in row["exit_codes"].items() if code in ("0", "3"))
        so_far["died"] += sum(count for code, count in row["exit_codes"].items() if code.startswith("-"))
    lines = [f"**Faults at the n-th call of whole commands**: {sum(row['runs'] for row in last.values()):,} runs.", ""]
    lines += ["| what goes wrong | runs | with a result | with one line | library died | wrong |",
              "|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for kind, row in rows.items():
        told = row["runs"] - row["lived"] - row["died"]
        lines.append(f"| {kind} | {row['runs']:,} | {row['lived']:,} | {told:,} | {row['died']} | {row['wrong']} |")
    return [*lines, "", *map(origin, documents)]


def bombs() -> list[str]:
    """Return the table of files whose headers promise more than they hold."""
    document = load(FAULTS / "bombs.json")
    lines = ["**Files that promise more than they hold**: what a scan of each took.", ""]
    lines += ["| file | bytes on disk | exit code | CPU | memory |", "|---|---:|---:|---:|---:|"]
    for name, row in document["bombs"].items():
        cost = f"{row['cpu_seconds']} s | {row['memory_mib']} MiB"
        lines.append(f"| {name} | {row['file_bytes']:,} | {row['exit_code']} | {cost} |")
    return [*lines, "", origin(document)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
