"""The scripts of benchmarks/ as modules."""

import importlib.util
import sys

import pytest

from support import ROOT


@pytest.fixture
def script(monkeypatch):
    """Returns a file of benchmarks/, or ci/make_tables.py, as a module."""

    def load(name):
        spec = importlib.util.spec_from_file_location(
            f"benchmarks_{name}", ROOT / ("ci" if name == "make_tables" else "benchmarks") / f"{name}.py"
        )
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return load
