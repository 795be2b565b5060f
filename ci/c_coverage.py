"""Report which lines of the C core ran: `python ci/c_coverage.py DIRECTORY`, where objects and counts of gcc are.

Fails when fewer than FLOOR percent of the lines ran. Kernels that this processor lacks are left out, by their names.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOOR = 98
# Words in the first line of a function that only runs on a processor with all of these flags (of /proc/cpuinfo).
NEEDS = {
    "SSE42": {"sse4_2"},
    "CLMUL": {"sse4_2", "pclmulqdq"},
    "AES_NI": {"sse4_2", "aes"},
    "AVX2": {"avx2"},
    "avx2": {"avx2"},
    "MANY": {"avx2"},  # a macro
    "WIDE_AES": {"avx2", "vaes"},
    "WIDE_CLMUL": {"avx2", "vpclmulqdq"},
    "WIDE_CRC": {"avx2", "vpclmulqdq"},  # a macro
    "AVX512": {"avx512f", "avx512bw", "avx512vl", "avx512dq"},
}


def flags():
    """Return what the processor can do, as the kernel names it."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return set((re.search(r"^flags\s*: (.*)$", text, re.M) or ["", ""])[1].split())


def can_run(declaration, has):
    """Return whether a function that begins with this line runs on a processor with these flags."""
    return all(NEEDS[word] <= has for word in re.findall(r"\w+", declaration) if word in NEEDS)


def counted(directory, has):
    """Yield (file, line, count) of every line of csrc/ that gcc made code of and that this processor could run."""
    data = sorted(map(str, directory.rglob("*.gcda")))
    if not data:
        raise SystemExit(f"{directory}: no counts of gcc here (*.gcda): run `make coverage`")
    command = ["gcov", "--json-format", "--stdout", *data]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for document in map(json.loads, output.splitlines()):
        for file in document["files"]:
            path = Path(document["current_working_directory"], file["file"]).resolve()
            if not path.is_relative_to(ROOT / "csrc"):
                continue
            source = path.read_text(encoding="utf-8").splitlines()
            starts = {function["name"]: source[function["start_line"] - 1] for function in file["functions"]}
            for line in file["lines"]:
                if can_run(starts.get(line.get("function_name"), ""), has):
                    yield path, line["line_number"], line["count"]


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
    ran = {}
    for path, number, count in counted(directory, flags()):
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
