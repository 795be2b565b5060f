"""Runs the blocks of a page of the documentation, and compares what they print with what the page shows.

* A `console` block is one shell, which stops at the first command that fails. Lines that start with `$ ` are commands,
  continued by `> ` behind a backslash; the other lines are what all of them print, remarks included.
* A `python` block runs in the namespace of its page; the `text` block right behind it is what it prints.
* A `{code-block}` with a caption is a file of that name.

`…` in shown output stands for any characters of a line, a line of `…` alone for any lines. A comment in front of a block
leaves it out, `<!-- not run: reason -->`, or asks for root and a kernel with KSM, `<!-- needs the kernel's KSM -->`.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SKIP = re.compile(r"<!-- not run: \S.* -->")
KERNEL = "<!-- needs the kernel's KSM -->"
ANY = "…"


@dataclass
class Block:
    """A fenced block: the number of its first line, its language and lines, and the comment in front of it."""

    line: int
    language: str
    lines: list[str]
    mark: str
    follows: bool  # only empty lines are between the block before and this one

    @property
    def caption(self):
        """The file that this block is, or ""."""
        return next((line.removeprefix(":caption: ") for line in self.lines if line.startswith(":caption: ")), "")

    @property
    def commands(self):
        """The commands of a console block, as one shell script."""
        return "\n".join(line for shown, line in self._split() if not shown)

    @property
    def shown(self):
        """The lines that a console block shows as printed."""
        return [line for shown, line in self._split() if shown]

    def _split(self):
        continued = False
        for line in self.lines:
            if continued or line.startswith("$ "):
                yield False, line[2:]
                continued = line.endswith("\\")
            else:
                yield True, line


def blocks_of(text):
    """Return the fenced blocks of a page, in order."""
    blocks, block, mark, follows = [], None, "", False
    for number, line in enumerate(text.splitlines(), 1):
        if block is not None:
            if line.rstrip() == "```":
                blocks.append(block)
                block, mark, follows = None, "", True
            else:
                block.lines.append(line)
        elif line.startswith("```"):
            block = Block(number, line[3:].strip(), [], mark, follows)
        elif line.strip():
            mark, follows = line.strip() if line.startswith("<!--") else "", False
    assert block is None, f"the block at line {block.line} is never closed"
    return blocks


def matches(shown, printed):
    """Whether lines that are printed are those shown."""
    pattern = ""
    for line in shown:
        if line.strip() == ANY:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(map(re.escape, line.rstrip().split(ANY))) + "[ ]*\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


def run_page(path, with_kernel=False):
    """Run the blocks of a page in the current directory. AssertionError that names the line."""
    namespace = {"__name__": "page"}
    blocks = blocks_of(path.read_text(encoding="utf-8"))
    for block, behind in zip(blocks, [*blocks[1:], None], strict=True):
        where = f"{path.name}:{block.line}"
        if SKIP.fullmatch(block.mark) or (block.mark == KERNEL and not with_kernel):
            continue
        if block.caption:
            lines = [line for line in block.lines if not line.startswith(":")]
            Path(block.caption).write_text("\n".join(lines).strip("\n") + "\n", encoding="utf-8")
        elif block.language == "console":
            _check(where, block.shown, _in_a_shell(block.commands, where))
        elif block.language == "python":
            shown = behind.lines if behind and behind.language == "text" and behind.follows else []
            _check(where, shown, _in_python(block, path, namespace))


def _check(where, shown, printed):
    lines = printed.splitlines()
    if not matches(shown, lines):
        raise AssertionError("\n".join([f"{where} shows", *shown, "---- and it prints", *lines]))


def _in_a_shell(commands, where):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-e", "-c", commands],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PATH": path, "COLUMNS": "100"},
    )
    assert done.returncode == 0, f"{where}: exit code {done.returncode}\n{commands}\n{done.stdout}"
    return done.stdout


def _in_python(block, path, namespace):
    printed = io.StringIO()
    # Empty lines in front, so that a traceback names the page's own line.
    code = compile("\n" * block.line + "\n".join(block.lines), str(path), "exec")
    with contextlib.redirect_stdout(printed):
        exec(code, namespace)
    return printed.getvalue()


def in_a_process(path, directory, *options):
    """Run a page in a directory, in a process of its own, and return what is wrong, "" if nothing is."""
    done = subprocess.run(
        [sys.executable, __file__, str(path), *options],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return done.stderr or f"exit code {done.returncode}" if done.returncode else ""


if __name__ == "__main__":
    sys.path[0] = ""  # where the page's own modules are
    try:
        run_page(Path(sys.argv[1]), "--with-kernel" in sys.argv)
    except AssertionError as error:
        sys.exit(str(error))
