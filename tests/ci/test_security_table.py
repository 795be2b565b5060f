"""SECURITY.md holds what the harnesses stored."""

import importlib.util

import pytest

from support import ROOT


@pytest.fixture
def table():
    spec = importlib.util.spec_from_file_location("security_table", ROOT / "ci" / "security_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_not_stale(table):
    assert table.main(["--check"]) == 0, "python ci/security_table.py writes it anew"


def test_another_result_makes_the_page_stale(table, tmp_path, monkeypatch):
    for path in table.FUZZ.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text().replace('"executions": 1', '"executions": 2'))
    monkeypatch.setattr(table, "FUZZ", tmp_path)
    assert table.main(["--check"]) == 1


def test_every_kind_of_fault_has_words(table):
    faults = {name for path in table.FAULTS.glob("faults*.json") for name in table.load(path)["faults"]}
    assert faults and all(any(name.startswith(prefix) for prefix in table.FAULT_KINDS) for name in faults)


def test_lists_keep_to_the_width_of_prose(table):
    entries = [line for line in table.text().splitlines() if line.startswith(("* ", "  "))]
    assert entries and max(map(len, entries)) <= 120
