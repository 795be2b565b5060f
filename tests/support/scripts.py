"""The scripts of benchmarks/ and ci/ as modules."""

import importlib.util
import sys

import pytest

from support import ROOT

BENCHMARKS = str(ROOT / "benchmarks")


def script(name, folder="benchmarks"):
    """Return a script as a module of its own; it may import others of benchmarks/."""
    spec = importlib.util.spec_from_file_location(f"{folder}_{name}", ROOT / folder / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        spec.loader.exec_module(module)
    return module
