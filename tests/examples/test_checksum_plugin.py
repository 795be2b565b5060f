"""A checksum of another package: installed, it is there by name everywhere, and nothing else had to be touched."""

import json
from functools import partial

import numpy as np
import pytest

from support import ROOT
from support.plugin_environment import output, with_plugin

PLUGIN = ROOT / "examples" / "checksum-plugin"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function that runs Python where it is installed, and returns what it said."""
    directory = tmp_path_factory.mktemp("fresh")
    return partial(output, with_plugin(PLUGIN, directory), directory)


def test_it_is_listed_profiled_and_completed(run):
    assert "fletcher64" in run("-m", "pksm", "checksum", "list")
    profile = ("-m", "pksm", "checksum", "profile", "f", "--pages", "256", "--strategies", "fletcher64", "--json")
    [row] = json.loads(run(*profile))["strategies"]
    assert row["name"] == "fletcher64" and row["width"] == 64
    assert "fletcher64" in run("-m", "pksm", "completion", "--values", "checksum").splitlines()


def test_an_engine_merges_with_it(run):
    code = """
import numpy as np, pksm
store = pksm.Store()
first, memory = store.allocate(4)
memory[:] = [[1], [1], [2], [1]]
host = pksm.FlatHost(store)
engine = pksm.Pksmd(host, checksum="fletcher64")
host.add(np.arange(first, first + 4, dtype=np.uint32))
while not engine.at_rest:
    engine.wake()
print(engine.counters()["pages_shared"], engine.counters()["pages_sharing"])
"""
    assert run("-c", code) == "1 2\n"


def test_its_sums_are_those_of_the_definition(monkeypatch):
    monkeypatch.syspath_prepend(str(PLUGIN))
    from pksm_fletcher import fletcher64

    pages = np.random.default_rng(5).integers(0, 256, (3, 64), dtype=np.uint8)
    for page, found in zip(pages, fletcher64(pages).tolist(), strict=True):
        low = high = 0
        for word in page.view(np.uint32).tolist():
            low = (low + word) % 2**32
            high = (high + low) % 2**32
        assert found == high << 32 | low
