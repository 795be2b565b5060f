"""Report which lines of the C core ran: `python ci/c_coverage.py DIRECTORY`, where objects and counts of gcc are.

Fails when fewer than FLOOR percent of the lines ran. Kernels that this processor lacks are left out, by their names.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOOR = 95
# Functions that only run on processors with all of these flags (of /proc/cpuinfo).
NEEDS = {
    r"sse42|clmul|aes_ni": {"sse4_2", "pclmulqdq", "aes"},
    r"avx2": {"avx2"},
    r"avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq"},
    r"_wide": {"vaes", "vpclmulqdq"},
}


def flags():
    """Return what the processor can do, as the kernel names it."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return set((re.search(r"^flags\s*: (.*)$", text, re.M) or ["", ""])[1].split())


def lacking(has):
    """Return a pattern of the functions that can't run with these flags."""
    names = [name for name, needs in NEEDS.items() if not needs <= has]
    return re.compile("|".join(names) or r"(?!)")


def counted(directory):
    """Yield (file, function, line, count) of every line of csrc/ that gcc made code of."""
    data = sorted(map(str, directory.rglob("*.gcda")))
    if not data:
        raise SystemExit(f"{directory}: no counts of gcc here (*.gcda): run `make coverage`")
    command = ["gcov", "--json-format", "--stdout", *data]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for document in map(json.loads, output.splitlines()):
        for file in document["files"]:
            path = Path(document["current_working_directory"], file["file"]).resolve()
            if path.is_relative_to(ROOT / "csrc"):
                for line in file["lines"]:
                    yield path, line.get("function_name", ""), line["line_number"], line["count"]


def spans(numbers):
    """Return ascending line numbers as text: 3-5, 9."""
    runs = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)


def main(directory):
    left_out = lacking(flags())
    ran = {}
    for path, function, number, count in counted(directory):
        if not left_out.search(function):
            lines = ran.setdefault(path, {})
            lines[number] = lines.get(number, 0) + count
    n_lines = n_ran = 0
    for path, lines in sorted(ran.items()):
        missed = sorted(number for number, count in lines.items() if not count)
        n_lines += len(lines)
        n_ran += len(lines) - len(missed)
        if missed:
            percent = 100 * (1 - len(missed) / len(lines))
            print(f"{path.relative_to(ROOT)}: {percent:.1f} %, not run: {spans(missed)}")
    percent = 100 * n_ran / n_lines
    print(f"C: {n_ran} of {n_lines} lines ran, {percent:.1f} %; at least {FLOOR} % have to")
    return int(percent < FLOOR)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
