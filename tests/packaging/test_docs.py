"""The man page and the completion say what the command line knows, and work."""

import runpy
import shutil
import subprocess

import pytest

from support import ROOT

MAKER = runpy.run_path(str(ROOT / "ci" / "make_docs.py"))
COMPLETION = ROOT / "docs" / "bash-completion" / "pksm"
COMPLETE = """
. "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
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


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["pksm", "sc"], "scan"),
        (["pksm", "scan", "--fr"], "--freeze --freeze-timeout"),
        (["pksm", "scan", "--racy", ""], "keep drop unchecked"),
        (["pksm", "scan", "--pid", ""], ""),
        (["pksm", "features", "--"], "--help --json --csv"),
    ],
)
def test_completion(words, completed):
    done = subprocess.run(["bash", "-c", COMPLETE, "bash", str(COMPLETION), *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", completed)
