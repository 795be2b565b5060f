"""The C core, from the comments of pksm.h: a comment stands before what it is about."""

import re
from pathlib import Path

import pksm
from pksm_reference import markdown

SECTION = re.compile(r"/\* -{4} (.*?) -{4,} \*/")
NAME = re.compile(r"(?:\(\*(\w+)\)\(|\b(\w+)\(|\}\s*(\w+);|enum (\w+) \{|enum \{ (\w+))")


def header() -> str:
    """Return the text of pksm.h."""
    return (Path(pksm.get_include()) / "pksm.h").read_text(encoding="utf-8")


def entries(text: str) -> list[tuple[str, str, str]]:
    """Return (kind, words, declaration) of a header: kind "section" or "entry".

    The words of an entry are those of the comment in front of it, "" if there is none.
    """
    body = text[text.index("/* cffi: begin */") :].partition("\n")[2].partition("/* cffi: end */")[0]
    found, words, lines = [], "", []
    at = iter(body.splitlines())
    for line in at:
        if not lines and SECTION.match(line):
            found.append(("section", SECTION.match(line)[1], ""))  # type: ignore[index]
        elif not lines and line.startswith("/*"):
            comment = [line]
            while "*/" not in comment[-1]:
                comment.append(next(at))
            words = words_of("\n".join(comment))
        elif lines or line.strip():
            lines.append(line)
            if _is_whole("\n".join(lines)):
                found.append(("entry", words, "\n".join(lines)))
                words, lines = "", []
        else:
            words = ""
    return found


def words_of(comment: str) -> str:
    """Return the words of a comment, its paragraphs apart."""
    inner = re.sub(r"^\s*/\*\s?|\s*\*/\s*$", "", comment.strip())
    lines = [re.sub(r"^\s*\*\s?", "", line).strip() for line in inner.splitlines()]
    return "\n".join(lines).strip()


def _is_whole(declaration: str) -> bool:
    """Whether a declaration has come to its end: comments taken out, all brackets closed, a semicolon last."""
    plain = re.sub(r"/\*.*?\*/", "", declaration, flags=re.DOTALL).strip()
    return "/*" not in plain and plain.count("{") == plain.count("}") and plain.endswith(";")


def name_of(declaration: str) -> str:
    """Return the name that a declaration declares."""
    plain = re.sub(r"/\*.*?\*/", "", declaration, flags=re.DOTALL)
    if "{" in plain and plain.startswith("typedef"):
        return re.findall(r"\}\s*(\w+);", plain)[-1]
    found = NAME.search(plain)
    if not found:
        raise ValueError(f"pksm.h: no name in {declaration!r}")
    return next(group for group in found.groups() if group)


def page() -> str:
    """Return what the header says of itself, then each section with what it declares."""
    text = header()
    preamble = words_of(text[: text.index("*/") + 2]).split("\n\n")
    parts = [markdown.text(paragraph.removeprefix("pksm.h: ")) for paragraph in preamble]
    for kind, words, declaration in [("section", "what functions return", ""), *entries(text)]:
        if kind == "section":
            title, _, files = words.partition(": ")
            parts += [f"## {title[0].upper()}{title[1:]}", f"In {_files(files)}." if files else ""]
        else:
            about = [markdown.text(paragraph) for paragraph in words.split("\n\n")]
            parts += [f"### {name_of(declaration)}", markdown.block(declaration, "c"), *about]
    return markdown.join(*parts)


def _files(files: str) -> str:
    return ", ".join(markdown.code(f"csrc/{name.strip()}") for name in files.split(","))
