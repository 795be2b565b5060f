"""The scripts of benchmarks/ as modules."""

import pytest

from support import scripts


@pytest.fixture
def script(monkeypatch):
    """Returns a file of benchmarks/, or ci/make_tables.py, as a module."""

    def load(name):
        return scripts.script(name, "ci" if name == "make_tables" else "benchmarks")

    monkeypatch.syspath_prepend(scripts.BENCHMARKS)  # what scripts import once they run
    return load
