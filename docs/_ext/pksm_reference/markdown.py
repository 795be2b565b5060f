"""Markdown of plain text."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_<>\[\]{}|$#~])")
_CODE = re.compile(r"`([^`]+)`|(?<![\w-])(--[a-z][a-z-]*)")  # between backticks, or an option


def text(plain: str) -> str:
    """Return plain text as Markdown that shows it as it is, in one line; options and code look like code."""
    parts, at, plain = [], 0, " ".join(plain.split())
    for found in _CODE.finditer(plain):
        parts += [_SPECIAL.sub(r"\\\1", plain[at : found.start()]), code(found[1] or found[2])]
        at = found.end()
    return "".join([*parts, _SPECIAL.sub(r"\\\1", plain[at:])])


def code(plain: str) -> str:
    """Return a name as inline code, fit for the cell of a table too."""
    return "`" + plain.replace("|", "\\|") + "`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already; "" if there are no rows."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *lines]) + "\n" if lines else ""


def block(lines: str, language: str = "text") -> str:
    """Return a fenced block."""
    newline = "\n"
    return f"```{language}\n{lines.strip(newline)}\n```\n"


def join(*parts: str) -> str:
    """Return paragraphs with an empty line between, those that are empty left out."""
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"
