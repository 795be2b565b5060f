"""The examples of pksmd inside other simulators run, and come out as they must."""

import importlib.util

import pytest

from support import ROOT

EXAMPLES = ROOT / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_own_loop(capsys):
    """Five machines share one system; the last pages of all five turn into its first page."""
    module = example("own_loop")
    saved = module.main()
    assert saved == (module.MACHINES - 1) * module.SYSTEM + module.MACHINES
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_simpy_workers(capsys):
    pytest.importorskip("simpy", reason="the extra `examples` is not installed")
    assert example("simpy_workers").main() == 150, "when all workers are gone the server's contents are left"
    assert len(capsys.readouterr().out.splitlines()) == 5
