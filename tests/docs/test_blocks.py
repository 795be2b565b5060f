"""Every command and every snippet of the tutorials and guides does what its page shows."""

import re

import pytest

from support import ROOT
from support.doc_blocks import KERNEL, SKIP, blocks_of, in_a_process, matches, run_page

RUN = ("console", "python")
PAGES = [
    path
    for path in sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md"])
    if any(block.language in RUN for block in blocks_of(path.read_text(encoding="utf-8"))) and path.stem != "style"
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_what_its_blocks_print(page, tmp_path):
    wrong = in_a_process(page, tmp_path)
    assert not wrong, wrong


def test_every_block_is_run_or_has_a_reason():
    known = ("", "console", "python", "text", "json", "c", "sql", "{toctree}")
    for path in (*ROOT.glob("docs/**/*.md"), ROOT / "README.md"):
        for block in blocks_of(path.read_text(encoding="utf-8")):
            where = f"{path.relative_to(ROOT)}:{block.line}"
            assert block.language in known or block.language.startswith(("{code-block}", "{include}")), where
            assert not block.mark or block.mark == KERNEL or SKIP.fullmatch(block.mark), where
            assert block.language != "console" or block.commands, f"{where}: no line starts with '$ '"


def test_blocks_are_found_with_what_they_show():
    text = "a\n```console\n$ one \\\n>     more\nsaid\n$ two\n```\n"
    text += "<!-- not run: why -->\n\n```python\nx\n```\n\n```text\ny\n```\n"
    console, python, shown = blocks_of(text)
    assert (console.line, console.commands, console.shown) == (2, "one \\\n    more\ntwo", ["said"])
    assert SKIP.fullmatch(python.mark) and python.lines == ["x"] and shown.follows and not python.follows
    with pytest.raises(AssertionError, match="line 1 is never closed"):
        blocks_of("```python\n")


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (["a", "b"], ["a", "b"], True),
        (["a"], ["a", "b"], False),
        ([], ["a"], False),
        (["took … s"], ["took 0.2 s"], True),
        (["took … s"], ["took 0.2 ms"], False),
        (["a", "…", "z"], ["a", "b", "c", "z"], True),
        (["a", "…", "z"], ["a", "z"], True),
        (["a", "…"], ["b"], False),
        (["a.c"], ["abc"], False),
    ],
)
def test_shown_output_is_compared(shown, printed, same):
    assert matches(shown, printed) is same


def test_a_page_that_is_wrong_fails(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block, said in (
        ("```console\n$ echo two\none\n```\n", "page.md:1 shows\none\n---- and it prints\ntwo"),
        ("```console\n$ false\n```\n", "page.md:1: exit code 1"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "page.md:1 shows\n2\n---- and it prints\n1"),
        ("```python\nprint(1)\n```\ntext\n```text\n1\n```\n", "page.md:1 shows\n---- and it prints\n1"),
    ):
        (tmp_path / "page.md").write_text(block)
        with pytest.raises(AssertionError) as caught:
            run_page(tmp_path / "page.md")
        assert said in str(caught.value)
    (tmp_path / "page.md").write_text(
        "```{code-block} python\n:caption: a.py\n\nprint(3)\n```\n\n```console\n$ python a.py\n3\n```\n"
    )
    run_page(tmp_path / "page.md")


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 100 and max(map(len, lines)) <= 120


def test_what_the_readme_links_to_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 5 and not [link for link in links if "://" not in link and not (ROOT / link).exists()]
