"""A policy of another package: installed, it is there by name everywhere, and nothing else had to be touched."""

import json
import re
from functools import partial

import pytest

from pksm.testing import check_policy

from support import ROOT
from support.plugin_environment import output, with_plugin

PLUGIN = ROOT / "examples" / "policy-plugin"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return with_plugin(PLUGIN, tmp_path_factory.mktemp("fresh"))


@pytest.fixture
def run(python, tmp_path):
    """A function that runs Python there, and returns what it said."""
    return partial(output, python, tmp_path)


def test_it_is_simulated_by_name(run):
    both = "rescan-all:fast,pksmd"
    document = json.loads(
        run("-m", "pksm", "simulate", "b", "--pages", "600", "--policy", both, "--set", "rescan-all.sleep_millisecs=7",
            "--json")
    )  # fmt: skip
    naive, ours = document["runs"]
    assert naive["policy"] == "rescan-all:fast" and naive["tunables"] == {"sleep_millisecs": 7, "run": 1}
    assert naive["final"]["counters"]["frames_saved"] == ours["final"]["counters"]["frames_saved"] > 0
    assert naive["final"]["cost"]["pages_visited"] > ours["final"]["cost"]["pages_visited"]
    table = run("-m", "pksm", "simulate", "b", "--pages", "600", "--policy", "rescan-all")
    assert "under rescan-all:slow" in table and "pages" in table


def test_it_is_in_the_help_and_completed(run):
    text = run("-m", "pksm", "simulate", "--help")
    assert re.search(r"^ +rescan-all +compares all pages at every wake-up", text, re.M)
    assert "presets: slow, fast (default slow)" in text
    assert "rescan-all" in run("-m", "pksm", "completion", "--values", "policy").splitlines()
    assert "rescan-all:fast" in run("-m", "pksm", "completion", "--values", "preset").splitlines()
    assert "rescan-all.run=" in run("-m", "pksm", "completion", "--values", "setting").splitlines()


def test_it_is_known_to_the_library(run):
    assert run("-c", "import pksm; print(pksm.policies.spec('rescan-all').about)").startswith("compares all pages")


@pytest.mark.parametrize("seed", range(2))
def test_it_keeps_to_the_contract(monkeypatch, seed):
    monkeypatch.syspath_prepend(str(PLUGIN))
    import pksm_rescan_all

    check_policy(pksm_rescan_all.SPEC, seed)
