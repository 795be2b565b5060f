"""Names come from strangers: whatever they hold steers no terminal, breaks no line and starts no formula."""

import csv
import io
import json
import os
import re
import subprocess
import sys

import pytest

from pksm import report
from pksm.report import text

from support.cli_runs import command, environment, on_terminal, run
from support.memory_sources import write_file

SIZE = 4096
STEERING = {
    "escape": "a\x1b[2J\x1b]0;title\x07b",
    "newlines": "a\nb\rc\x0bd\x0ce\u2028f\u2029g\x85h",
    "c1 controls": "a\x9b31mb\x90c",
    "bidi overrides": "a" + "".join(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F])) + "b",
    "invisible": "a\u200b\u200d\ufeff\u00adb",
    "not UTF-8": os.fsdecode(b"a\xff\xfeb"),
    "tab and DEL": "a\tb\x7fc",
    "4 KiB": "n" * 4095 + "\x1b",
}
FORMULAS = ["=1+2", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")']
HARMLESS = re.compile(
    r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202f\u2066-\u2069\ufeff\u00ad\ud800-\udfff]*"
)


def is_harmless(shown):
    assert HARMLESS.fullmatch(shown), ascii(re.sub(HARMLESS, "", shown))
    return True


def named(tmp_path, name, pages=3):
    """A memory image of this name, as far as a file system takes it."""
    return write_file(tmp_path / name[:200].replace("/", "_"), [b"x" * SIZE] * pages, SIZE)


@pytest.mark.parametrize("name", STEERING.values(), ids=STEERING)
def test_reports_escape_whatever_steers(tmp_path, capfd, name):
    ram = named(tmp_path, name)
    for arguments in (["scan", ram], ["scan", "--matrix", ram, named(tmp_path, "b" + name, 2)],
                      ["checksum", "profile", ram, "--strategies", "xxh3-64"]):  # fmt: skip
        for form in ([], ["--csv"], ["--json"]):
            done = run(capfd, *arguments, *(form if "--matrix" not in arguments or form != ["--csv"] else []))
            assert done.code == 0 and is_harmless(done.out) and is_harmless(done.err), arguments
    assert json.loads(run(capfd, "scan", "--json", ram).out)["sources"][0]["name"] == ram, "JSON has the name itself"


@pytest.mark.parametrize("name", STEERING.values(), ids=STEERING)
def test_errors_are_one_harmless_line(tmp_path, capfd, name):
    missing = str(tmp_path / name.replace("/", "_"))
    for arguments in (["scan", missing], ["simulate", missing], ["checksum", "sum", "crc32c", missing],
                      ["checksum", "sum", name, missing], ["scan", "--policy", name], ["bench", "--load", name],
                      ["validate", "--workload", name], ["truth", name], [name], ["scan", "--pid", name],
                      ["scan", "--set", name, missing], ["scan", f"--{name}"], ["scan", "--cgroup", name],
                      ["checksum", "profile", "f", "--plot", missing + ".doc"]):  # fmt: skip
        done = run(capfd, *arguments)
        assert done.code != 0 and done.out == "" and is_harmless(done.err) and done.err.count("\n") == 1, arguments


@pytest.mark.parametrize("name", STEERING.values(), ids=STEERING)
def test_progress_is_harmless(tmp_path, name):
    """On a terminal, where it is shown: escapes of ours begin a line, and nothing else steers."""
    ram = named(tmp_path, name, pages=300)
    shown = on_terminal(command("checksum", "profile", ram, "--strategies", "xxh3-64"), NO_COLOR="1")
    assert "\x1b[K" in shown, "progress was shown"
    assert is_harmless(shown.replace("\r\x1b[K", "").replace("\r\n", "\n"))


@pytest.mark.parametrize("name", FORMULAS)
def test_cells_that_would_be_formulas_are_text(tmp_path, capfd, name):
    document = json.loads(run(capfd, "scan", "--json", named(tmp_path, "ram", 1)).out)
    document["sources"][0]["name"] = document["sources"][0]["command"] = name
    [row, _] = csv.DictReader(io.StringIO(report.csv(document)))
    for cell in (row["name"], row["command"]):
        assert cell[0] in "'\\" and cell.removeprefix("'") == text.plain(name)
    assert int(row["pages"]) == 1, "numbers stay numbers"


def test_numbers_below_zero_are_no_formulas():
    assert text.csv_text([{"n": -5, "x": -0.5, "name": "-5", "none": None}]) == "n,x,name,none\n-5,-0.5,'-5,\n"


@pytest.mark.parametrize("name", STEERING.values(), ids=STEERING)
def test_processes_may_be_called_anything(tmp_path, capfd, name):
    """A process names itself, up to 15 bytes; so does a mapping of it, by its file."""
    octets = os.fsencode(name).replace(b"\0", b"")[:15]
    program = "import sys\nopen('/proc/self/comm', 'wb').write(bytes.fromhex(sys.argv[1]))\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program, octets.hex()], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, env=environment()) as process:  # fmt: skip
        process.stdout.readline()
        for form in ([], ["--csv"], ["--json"]):
            done = run(capfd, "scan", *form, "--pid", str(process.pid))
            assert done.code == 0 and is_harmless(done.out) and is_harmless(done.err)
        process.stdin.close()
