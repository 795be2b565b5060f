"""Type checkers see what programs of others see: a program that uses the public API passes mypy --strict, and runs."""

import os
import subprocess
import sys

import pytest

from support import ROOT

PROGRAM = ROOT / "tests" / "house" / "typed_user.py"


def mypy(program, cache):
    """Check a program strictly, with nothing of pksm's own settings; return mypy's exit code and output."""
    pytest.importorskip("mypy")
    options = ["--strict", "--config-file", os.devnull, "--follow-imports", "silent", "--cache-dir", str(cache)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(program)],
        cwd=cache,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_typed_program_that_uses_the_public_api_passes(tmp_path):
    code, output = mypy(PROGRAM, tmp_path)
    assert code == 0, output


def test_mistakes_of_a_program_are_found(tmp_path):
    program = tmp_path / "wrong.py"
    program.write_text(
        "import pksm\n"
        "pksm.Store('4096')\n"
        "pksm.FlatHost(pksm.Store()).attach(3)\n"
        "pksm.Pksmd(pksm.Store())\n"
        "pksm.nothing\n"
        "pksm.scan.scan([], None)['total']\n"
    )
    code, output = mypy(program, tmp_path)
    assert code == 1 and {f":{line}: error" for line in range(2, 7)} <= {
        f":{line}: error" for line in range(1, 9) if f"wrong.py:{line}: error" in output
    }, output


def test_the_typed_program_runs(tmp_path):
    memory = tmp_path / "memory"
    memory.write_bytes(bytes(8192) + b"x" * 4096)
    done = subprocess.run([sys.executable, str(PROGRAM), str(memory)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
