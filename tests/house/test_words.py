"""The words of documents, messages, docstrings and comments: those of docs/style.md, and private ones explained."""

import ast
import io
import re
import tokenize

import pytest

from support import ROOT

GLOSSARY = ROOT / "docs" / "explanation" / "glossary.md"
MOST_COLUMNS = 120

# What is not written, and what is written instead.
THINGS = "page|wake-up|second|scan|item|mapping|process|round|group|source|minute|record|node|image|line|batch"
UNWRITTEN = {
    r"\b(?:tell(?:s|ing)?|told)\b(?! apart)(?! \w+ (?:apart|from))": "report, return, print, show, say or know",
    r"(?<![Tt]here )\b(?:is|are|was|were) no (?!longer|more|less|fewer|one\b|others)[a-z]": "is not a, or are not",
    rf"\b(?:ns|µs|ms|bytes?|B|KiB|MiB|pages?|one|two|bool|uint\d+|once|seconds?) an? (?:{THINGS})\b(?! of)": "per",
    r"\bas it stands\b": "as it is, or nothing",
}
# Words that mean something special here.
PRIVATE = (
    "at rest", "batch", "blindness", "del list", "extent", "fake merge", "fingerprint", "futile compare", "host",
    "kept page", "limbo", "load", "origin", "policy", "preset", "quirk", "racy", "reach", "rules", "settle", "sharer",
    "spare ids", "stillness", "strategy", "twin", "verdict", "window", "yardstick",
)  # fmt: skip

MARKDOWN = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PYTHON = sorted((ROOT / "pksm").rglob("*.py"))
C = sorted([*(ROOT / "csrc").rglob("*.[ch]")])


def lines_of_markdown(path):
    """(number, text) of the lines of prose: what stands in blocks of code or in backquotes is not English."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced:
            yield number, re.sub(r"`[^`]*`", "`", line)


def lines_of_python(path):
    """(number, text) of the lines of comments and of all strings that have a blank in them."""
    text = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from enumerate(node.value.split("\n"), node.lineno)


def lines_of_c(path):
    """(number, text) of the lines of comments."""
    text = path.read_text(encoding="utf-8")
    for comment in re.finditer(r"/\*.*?\*/", text, re.S):
        first = text.count("\n", 0, comment.start()) + 1
        yield from enumerate(comment[0].split("\n"), first)


LINES = {path: lines for paths, lines in ((MARKDOWN, lines_of_markdown), (PYTHON, lines_of_python), (C, lines_of_c))
         for path in paths}  # fmt: skip


def found_in(lines):
    """What is written there, and should not be: (number, words, what instead)."""
    for number, line in lines:
        for unwritten, instead in UNWRITTEN.items():
            for match in re.finditer(unwritten, line):
                yield number, match[0], instead


@pytest.mark.parametrize("path", LINES, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_are_those_of_the_style_page(path):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {words!r}: write {instead}"
        for number, words, instead in found_in(LINES[path](path))
        if not (path.name == "style.md" and number < 30)  # names what is not written
    ]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_prose_can_be_reviewed(path):
    long = [
        f"{path.relative_to(ROOT)}:{number}: {len(line)} columns"
        for number, line in lines_of_markdown(path)
        if len(line) > MOST_COLUMNS and not line.startswith(("|", "[", "!["))
    ]
    assert not long, "\n" + "\n".join(long)


def explained():
    """{word: sentence} of the glossary."""
    entries = re.findall(r"^(\S[^\n]*)\n: (.+?)(?=\n\n|\Z)", GLOSSARY.read_text(encoding="utf-8"), re.M | re.S)
    return {
        word.strip(): " ".join(sentence.split()) for words, sentence in entries for word in re.split(", | \\(", words)
    }


@pytest.mark.parametrize("word", PRIVATE)
def test_private_words_are_explained(word):
    assert explained().get(word, "").endswith("."), f"{word}: give it a sentence in {GLOSSARY.relative_to(ROOT)}"


def test_the_checks_find_what_they_are_for(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("It tells 3 ns a page.\n```\nit told\n```\n`told` is no page; told apart.\n")
    assert [(number, words) for number, words, _ in found_in(lines_of_markdown(page))] == [
        (1, "tells"), (1, "ns a page"), (5, "is no p")]  # fmt: skip
    code = tmp_path / "code.py"
    code.write_text('"""It tells."""\ntold = 1  # what was told\nx = f"{told} bytes a page"\n')
    assert sorted(words for _, words, _ in found_in(lines_of_python(code))) == ["bytes a page", "tells", "told"]
    header = tmp_path / "header.h"
    header.write_text("int told; /* one\n a page */ /* are no\nnodes, is no node */\n")
    assert [(number, words) for number, words, _ in found_in(lines_of_c(header))] == [(3, "is no n")]
