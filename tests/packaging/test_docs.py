"""The man page and the completion say what the command line knows, and work."""

import os
import runpy
import shutil
import subprocess
import sys

import pytest

from support import ROOT
from support.cli_runs import environment

MAKER = runpy.run_path(str(ROOT / "ci" / "make_docs.py"))
COMPLETION = ROOT / "docs" / "bash-completion" / "pksm"
COMPLETE = """
. "$1"
pksm() { "$PYTHON" -m pksm "$@"; }
COMP_LINE="$2"
COMP_POINT=${#COMP_LINE}
_pksm
echo "${COMPREPLY[*]}"
"""


@pytest.mark.parametrize("path", MAKER["FILES"])
def test_files_are_those_of_this_command_line(path):
    made = MAKER["FILES"][path]()
    assert (ROOT / path).read_text(encoding="utf-8") == made, f"{path} is old: run python ci/make_docs.py"


def test_every_option_is_in_the_man_page():
    page = MAKER["man_page"]().replace("\\-", "-")
    for verb, (parser, _) in MAKER["parsers"]().items():
        assert f".B pksm {verb}" in page
        for action in parser._actions:
            for option in action.option_strings:
                assert action.dest == "help" or f".B {option}" in page


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff here")
def test_the_man_page_has_no_warnings():
    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-ww", "-z", str(ROOT / "docs" / "pksm.1")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def completed(line):
    """What bash would offer behind this line."""
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", str(COMPLETION), line],
        capture_output=True,
        text=True,
        env=environment(PYTHON=sys.executable),
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pksm sc", "scan"),
        ("pksm scan --fr", "--freeze --freeze-timeout"),
        ("pksm scan --racy ", "keep drop unchecked"),
        ("pksm scan --view m", "mappings"),
        ("pksm scan --after ", ""),
        ("pksm features --", "--help --json --csv"),
        ("pksm checksum ", "profile list sum"),
        ("pksm checksum profile --strategies crc32", "crc32c crc32"),
        ("pksm bench --load a,", "a,a a,b a,c a,d a,e a,f a,p"),
        ("pksm simulate fork", "fork-family"),
        ("pksm truth W8", "W8_small"),
        ("pksm completion ", "bash"),
        # readline keeps what stands before the colon or the equals sign
        ("pksm scan --policy pksmd:v0", "v0.1 v0.2"),
        ("pksm simulate b --policy nobody,ksmd:ksm-6.11", "ksm-6.11"),
        ("pksm simulate b --set ksmd.pages_to", "ksmd.pages_to_scan="),
    ],
)
def test_completion(line, words):
    assert completed(line) == words


def test_completion_of_processes():
    assert str(os.getpid()) in completed("pksm scan --pid ").split()
