"""How help is written and laid out.

A description is blocks with empty lines between: paragraphs, which are filled, and tables. A table is a title that ends
with a colon and rows that are indented: a name and, behind two blanks, what it is; a row that is indented further goes
on with the one above. The table "examples:" comes last: commands and what they do.
"""

import argparse
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pksm.cli import output

ABOUT = "Find out exactly what merging equal pages of memory saves."
MORE = """Operating systems can merge memory pages that hold the same bytes: KSM does in Linux, PKSM in kernels that are
patched with it. pksm runs their merging on the pages of memory images and live processes, outside of the kernel, and
reports what it saves and what it costs. Results go to stdout, remarks and progress to stderr.

examples:
  pksm demo                               four live Python interpreters, and what they have in common
  pksm scan --pid "$(pidof qemu-kvm)"     live processes: what merging saves in them
  pksm simulate b --policy ksmd,pksmd     KSM and PKSM on the same memory, in virtual time"""
NOTES = """values of options:
  TIME  250ms, 10s, 10m or 2h; without a unit, the option says what a number means
  SIZE  4096, 16K, 64M or 4KiB: bytes, where a K is 1024
  N     a number; numbers of pages may be 64K or 1M
  NAMES  names with commas between; the option may be repeated. LOADS, CHECKSUMS and other plurals are such names

environment:
  PKSM_CPU      the instructions that the C core takes: one of the levels of pksm features (default: the widest)
  PKSM_SANDBOX  off: files are parsed in the command's own process, with its rights
  NO_COLOR      if set, no colours
  COLUMNS       the width of tables and help (default: the terminal's)"""
WIDEST = 100  # columns: longer lines are hard to read
LEFT = 34  # columns of names at most: what a longer one is stands below it
USAGE = "usage: "
EXAMPLES = ("example:", "examples:")


@dataclass(frozen=True)
class Block:
    """A paragraph (no title, one row) or a table.

    Attributes:
        title: ends with a colon, or is empty.
        rows: names and what they are.
    """

    title: str
    rows: tuple[tuple[str, str], ...]


def split(text: str) -> tuple[str, str]:
    """Return a description without its examples, and those."""
    parts = text.split("\n\n")
    examples = [part for part in parts if part.startswith(EXAMPLES)]
    return "\n\n".join(part for part in parts if part not in examples), "\n\n".join(examples)


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a description."""
    for part in text.strip("\n").split("\n\n"):
        lines = part.splitlines()
        if len(lines) > 1 and lines[0].endswith(":") and all(line.startswith("  ") for line in lines[1:]):
            yield Block(lines[0], tuple(_rows(lines[1:])))
        elif part.strip():
            yield Block("", (("", " ".join(part.split())),))


def _rows(lines: list[str]) -> Iterator[tuple[str, str]]:
    outer = min(len(line) - len(line.lstrip()) for line in lines)
    for line in lines:
        if line[outer] == " ":
            yield "", line.strip()
        else:
            name, *rest = re.split(r" {2,}", line.strip(), maxsplit=1)
            yield name, "".join(rest)


def laid_out(text: str, width: int) -> str:
    """Return a description in lines of at most `width` columns, commands excepted."""
    return "\n\n".join("\n".join(_lines(block, width)) for block in blocks(text))


def _lines(block: Block, width: int) -> Iterator[str]:
    if not block.title:
        yield from textwrap.wrap(block.rows[0][1], width, break_on_hyphens=False)
        return
    yield block.title
    longest = max(len(name) for name, _ in block.rows)
    left = min(longest, LEFT) if block.title not in EXAMPLES else longest if longest <= LEFT else 0
    for name, about in block.rows:
        below = len(name) > left
        indent = " " * (6 if below else left + 4)
        texts = textwrap.wrap(about, width - len(indent), break_on_hyphens=False)
        first = "" if below or not texts else texts.pop(0)
        yield f"  {name:<{left}}  {first}".rstrip()
        yield from (indent + line for line in texts)


def _folded(usage: str, width: int) -> str:
    """Return a line of a usage as several of at most `width` columns behind "usage: ", broken between its words."""
    blank = "\xa0"  # does not break
    glued = re.sub(r"\[[^]]*]|--?\w+ ", lambda word: word[0].replace(" ", blank), usage)
    before = len(USAGE) * " "
    lines = textwrap.wrap(
        glued, width - len(before), subsequent_indent=" " * 7, break_long_words=False, break_on_hyphens=False
    )
    return f"\n{before}".join(lines).replace(blank, " ")


def text_of(description: Any) -> str:
    """Return the description of a group of options: a text, or a function that makes it once somebody reads it."""
    text: str = description() if callable(description) else description or ""
    return text


class Formatter(argparse.HelpFormatter):
    """Fills paragraphs and tables to the width of the terminal."""

    def __init__(self, prog: str, **more: object) -> None:
        super().__init__(prog, max_help_position=28, width=min(WIDEST, output.width()))

    def _format_usage(self, usage: str | None, *more: Any) -> str:
        lines = [_folded(line.strip(), self._width) for line in (usage or "").splitlines()]
        return USAGE + f"\n{len(USAGE) * ' '}".join(lines) + "\n\n"

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _format_text(self, text: Any) -> str:
        return super()._format_text(text_of(text))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return textwrap.indent(laid_out(text, width), indent)
