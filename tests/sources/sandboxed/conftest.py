"""A sandbox, small files, and readers of others in it."""

import types
from importlib import metadata

import pytest

from pksm.sources import Sandbox, opening

from support.memory_sources import write_file
from support.sandboxed import PAGE


@pytest.fixture
def sandbox():
    with Sandbox() as one:
        yield one


@pytest.fixture
def small(tmp_path):
    return [write_file(tmp_path / str(n), [bytes([n % 3]) * PAGE, b"x" * PAGE] * 2, PAGE) for n in range(5)]


@pytest.fixture
def reader(monkeypatch):
    """Make a reader plug-in of files that begin with READ: a function(open_file, sniff)."""
    real = metadata.entry_points

    def make(open_file, sniff=lambda file: file.head.startswith(b"READ")):
        module = types.ModuleType("mine", "Mine.")
        module.open_file, module.sniff = open_file, sniff
        opening._from_entry_points.cache_clear()
        point = types.SimpleNamespace(name="mine", load=lambda: module)
        monkeypatch.setattr(
            metadata, "entry_points", lambda **of: [point] if of == {"group": "pksm.sources"} else real(**of)
        )

    yield make
    opening._from_entry_points.cache_clear()


@pytest.fixture
def mine(tmp_path):
    return write_file(tmp_path / "mine", [b"READ" * 1024] * 3, PAGE)
