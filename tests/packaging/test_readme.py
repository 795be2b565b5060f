"""Runs the README: python blocks in one namespace, console blocks line by line, all in one empty directory.

A console block's commands are its lines that start with `$ `, continued behind a backslash; each block is one shell
that stops at the first command that fails. A block right behind `<!-- not run: reason -->` is left out.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import ROOT

README = ROOT / "README.md"
SKIP = re.compile(r"<!-- not run: \S.* -->")
RUN = ("console", "python")
SHOWN = ("", "text", "json", "c")


def fenced_blocks(text):
    """Return (line, language, lines, skipped) of every fenced block."""
    blocks, block, skipped = [], None, False
    for number, line in enumerate(text.splitlines(), 1):
        if block is not None:
            if line.rstrip() == "```":
                blocks.append(block)
                block, skipped = None, False
            else:
                block[2].append(line)
        elif line.startswith("```"):
            block = (number, line[3:].strip(), [], skipped)
        elif line.strip():
            skipped = bool(SKIP.fullmatch(line.strip()))
    assert block is None, f"block opened at line {block[0]} is never closed"
    return blocks


def commands(lines):
    """The commands of a console block as one shell script."""
    script, continued = [], False
    for line in lines:
        if continued or line.startswith("$ "):
            script.append(line.removeprefix("> " if continued else "$ "))
            continued = line.endswith("\\")
    return "\n".join(script)


def test_blocks_are_found():
    text = "a\n```console\n$ one \\\n    more\nsaid\n$ two\n```\n"
    text += "<!-- not run: why -->\n\n```python\nx\n```\n```text\ny\n```\n"
    assert fenced_blocks(text) == [
        (2, "console", ["$ one \\", "    more", "said", "$ two"], False),
        (10, "python", ["x"], True),
        (13, "text", ["y"], False),
    ]
    assert commands(fenced_blocks(text)[0][2]) == "one \\\n    more\ntwo"
    with pytest.raises(AssertionError, match="line 1 is never closed"):
        fenced_blocks("```python\n")


def test_every_block_is_run_or_says_why_not():
    for line, language, lines, skipped in fenced_blocks(README.read_text(encoding="utf-8")):
        assert language in RUN + SHOWN, f"README.md:{line}: a block of '{language}' would never be run"
        assert skipped or language != "console" or commands(lines), f"README.md:{line}: no line starts with '$ '"


def test_readme_is_true(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    namespace, ran = {"__name__": "readme"}, 0
    for line, language, lines, skipped in fenced_blocks(README.read_text(encoding="utf-8")):
        if skipped or language not in RUN:
            continue
        if language == "python":
            # Empty lines in front, so that a traceback names the README's own line.
            exec(compile("\n" * line + "\n".join(lines), str(README), "exec"), namespace)
        else:
            done = subprocess.run(
                ["sh", "-e", "-c", commands(lines)], stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
            said = done.stdout + done.stderr
            assert done.returncode == 0, f"README.md:{line}: exit code {done.returncode}\n{commands(lines)}\n{said}"
        ran += 1
    assert ran, "README.md has no block to run"
