"""A small scan loads what it needs and nothing else: looked up in sys.modules of a fresh interpreter, no clock."""

import ast
import json
import subprocess
import sys

from support import ROOT

# Each of them takes longer to load than a tiny image takes to scan, or brings others that do.
NOT_NEEDED = {
    *("importlib.metadata", "numpy.ma", "numpy.random", "logging", "secrets", "pathlib", "concurrent.futures"),
    *("pksm.documents.bench", "pksm.hosts.machine.machine", "pksm.policies.ksmd.spec", "pksm.simulation.simulation"),
}
SCAN = """
import json, sys
from pksm.cli.main import main
assert main(["scan", sys.argv[1]]) == 0
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
CALL_UNIQUE = {"unique", "union1d", "setdiff1d", "intersect1d", "setxor1d"}  # all of which call numpy.unique
WITHOUT_NUMPY_MA = {"return_index", "return_inverse", "return_counts"}


def loaded(path):
    done = subprocess.run([sys.executable, "-I", "-c", SCAN, path], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_a_small_scan_loads_nothing_that_it_does_not_need(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(b"pksm" * 4096)
    before = subprocess.run(
        [sys.executable, "-I", "-c", "import json, sys; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    there = set(json.loads(before.stdout))  # what an editable install or a measurement of coverage brings
    found = loaded(image)
    assert "pksm.scan.run" in found and "numpy" in found
    assert found & NOT_NEEDED <= there


def plain_unique(tree):
    """Yield the lines that call numpy.unique for values alone, for which it loads numpy.ma."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALL_UNIQUE:
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "np":
                if not WITHOUT_NUMPY_MA & {keyword.arg for keyword in node.keywords}:
                    yield node.lineno


def test_readers_call_nothing_that_loads_modules_later():
    """In the process that parses files nothing can be loaded any more: arrays.distinct is for them."""
    paths = [
        *(ROOT / "pksm/sources").rglob("*.py"),
        *(ROOT / "pksm/linux").rglob("*.py"),
        ROOT / "pksm/extents.py",
        ROOT / "pksm/arrays.py",
    ]
    found = {str(path): list(plain_unique(ast.parse(path.read_text(encoding="utf-8")))) for path in paths}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_call_that_loads_modules_later_would_be_noticed():
    text = "np.unique(a)\nnp.unique(a, return_index=True)\nnp.union1d(a, b)\nset.union1d(a)\n"
    assert list(plain_unique(ast.parse(text))) == [1, 3]
