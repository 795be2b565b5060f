"""`import pksm` and `pksm --help` load nothing heavy: looked up in sys.modules of a fresh interpreter, no clock."""

import subprocess
import sys

import pytest

REPORT = """
import contextlib, io, sys
with contextlib.redirect_stdout(io.StringIO()) as out:
    {action}
print(*[name for name in ("numpy", "pksm.engine.native._core", "_cffi_backend") if name in sys.modules], sep=",", end="|")
print(len(out.getvalue()), end="")
"""
MAIN = """
    from pksm.cli.main import main
    try:
        code = main({arguments})
    except SystemExit as stop:
        code = stop.code
    assert not code, code
"""


def run(action):
    """Run the action in a fresh interpreter; return the heavy modules it loaded and the length of what it said."""
    done = subprocess.run([sys.executable, "-c", REPORT.format(action=action)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heavy, length = done.stdout.split("|")
    return [name for name in heavy.split(",") if name], int(length)


def test_import_loads_nothing_heavy():
    assert run("import pksm") == ([], 0)


@pytest.mark.parametrize("arguments", [["--help"], ["scan", "--help"], ["--version"]], ids=" ".join)
def test_help_loads_nothing_heavy(arguments):
    heavy, length = run(MAIN.format(arguments=arguments).strip())
    assert heavy == [] and length > 0


def test_heavy_modules_would_be_noticed():
    heavy, _ = run("import pksm.engine.native")
    assert "numpy" in heavy and "pksm.engine.native._core" in heavy
