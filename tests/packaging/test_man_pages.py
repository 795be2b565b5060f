"""The man pages: one for each verb, with all that its parser knows, and without a mistake in roff."""

import re
import runpy
import shutil
import subprocess

import pytest

from pksm.cli import commands, exit_codes

from support import ROOT

MAKER = runpy.run_path(str(ROOT / "ci" / "man_pages.py"))
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]
PAGES = MAKER["pages"]()


def shown(page):
    """The text of a page, without what is roff's."""
    return re.sub(r"\\f[A-Z]|\\&", "", page).replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\")


def test_there_is_a_page_for_each_verb_and_each_group():
    verbs = {name.replace(" ", "-") for name, _ in commands.every()} | set(commands.VERBS)
    assert set(PAGES) == {"pksm.1", *(f"pksm-{name}.1" for name in verbs)}


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_every_section_in_order(name):
    titles = re.findall(r"^\.SH (.+)$", PAGES[name], re.M)
    assert [title for title in titles if title != "VERBS"] == SECTIONS


@pytest.mark.parametrize("name", [name for name, _ in commands.every()])
def test_every_option_is_in_the_page_of_its_verb(name):
    page = shown(PAGES[f"pksm-{name.replace(' ', '-')}.1"])
    for action in commands.parser(name, dict(commands.every())[name])._actions:
        for option in action.option_strings:
            assert re.search(rf"^(-\w, )?{option}\b", page, re.M), option


def test_the_page_of_pksm_names_all_verbs_and_all_exit_codes():
    page = shown(PAGES["pksm.1"])
    for word in (*commands.VERBS, *exit_codes.MEANINGS):
        assert f"\n.TP\n{word}\n" in page
    for word in commands.VERBS:
        assert f"pksm-{word}(1)" in page


def test_pages_refer_to_pages_that_exist():
    for name, page in PAGES.items():
        others = {f"{other}.1" for other in re.findall(r"(pksm[a-z-]*)\(1\)", shown(page))}
        assert others and others <= set(PAGES) - {name}


def test_text_that_roff_would_obey_is_text():
    assert MAKER["escaped"](".SH x\n'y\\z -a") == "\\&.SH x\n\\(aqy\\ez \\-a"


def test_the_date_is_that_of_the_sources(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert '"1970-01-02"' in MAKER["pages"]()["pksm.1"].splitlines()[0]


@pytest.mark.parametrize("lint", [["groff", "-man", "-Tascii", "-ww", "-z"], ["mandoc", "-Tlint", "-Wwarning"]],
                         ids=["groff", "mandoc"])  # fmt: skip
def test_pages_have_no_warnings(lint, tmp_path, monkeypatch):
    if not shutil.which(lint[0]):
        pytest.skip(f"no {lint[0]} here")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    MAKER["main"](tmp_path)
    done = subprocess.run([*lint, *map(str, tmp_path.iterdir())], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
