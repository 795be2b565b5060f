"""Scans with any policy: contents are counted all the same, and what the policy misses is said."""

import dataclasses
import random

import numpy as np
import pytest

from pksm import checksums, policies
from pksm.engine.checksums import plugins
from pksm.engine.cost import Cost
from pksm.errors import PksmError
from pksm.policies import Policy, nobody, registry
from pksm.policies.pksmd.quirks import QUIRKS
from pksm.policies.pksmd.tunables import PRESETS
from pksm.scan import Settings, scan

from model.oracle import answer
from support.memory_sources import GivenSource, data
from support.scans import SIZE, page

OPTED = "merges only memory that has opted in"


def opted_in(name, pages, opted):
    source = GivenSource(name, data(*pages))
    source.facts = lambda: {"pid": 1, "command": name, "user": "root", "opted_in": opted}
    return source


@pytest.mark.parametrize(("opted", "said"), [(0, "2 resident pages"), (1, "1 resident pages"), (2, None)])
def test_a_scan_with_a_policy_that_needs_opting_in_says_what_has_not(opted, said):
    pages = page("a"), page("a")
    result = scan([opted_in("one", pages, opted)], Settings(page_size=SIZE, policy="ksmd"))
    lines = [line for line in result["warnings"] if OPTED in line]
    assert [said in line and "MADV_MERGEABLE" in line for line in lines] == ([True] if said else [])
    result = scan([opted_in("one", pages, opted)], Settings(page_size=SIZE))
    assert not any(OPTED in line for line in result["warnings"]), "PKSM asks nobody"


def test_of_files_nobody_knows_what_has_opted_in():
    result = scan([GivenSource("one", data(page("a")))], Settings(page_size=SIZE, policy="ksmd"))
    assert ["of files it is not known" in line for line in result["warnings"] if OPTED in line] == [True]


@pytest.mark.parametrize("policy", ["pksmd", "ksmd"])
def test_a_checksum_that_does_not_follow_from_the_bytes_is_refused(policy, monkeypatch):
    """Its sums would hide equal pages from each other, and zero pages."""
    monkeypatch.setattr(plugins, "_registered", {})
    rng = np.random.default_rng(0)
    checksums.register("random", lambda pages: rng.integers(0, 1 << 63, len(pages)).astype(np.uint64))
    checksums.register("first", lambda pages: pages[:, 0].astype(np.uint64))
    with pytest.raises(PksmError, match="checksum plug-in random: gives different sums for the same page"):
        Settings(policy=policy, changes={"checksum": "random"})
    assert Settings(policy=policy, changes={"checksum": "first"}).choice.settings.checksum == "first"


def test_settings_that_miss_something_say_so():
    """Pages that differ only where the checksum does not look: by checksum alone one content of them is found."""
    sampled = checksums.make("sampled", 4096, seed=1)
    blind = next(word for word in range(1024) if word not in sampled.words)
    contents = [bytes(4 * blind) + bytes([number]) * 4 + bytes(4096 - 4 * blind - 4) for number in range(1, 9)]
    contents = [b"\1" + content[1:] if blind else content for content in contents]
    pages = data(*contents * 3)
    result = scan([GivenSource("one", pages)], Settings(policy="pksmd:v0.2", seed=1))
    totals, saving = result["totals"], result["saving"]
    assert (totals["pages"], totals["distinct"], totals["duplicates"]) == (24, 8, 16)
    assert result["sources"][0]["duplicates"] == 16 and result["groups_found"] == 8
    assert saving["pages"] < 16
    assert any(f"save {saving['pages']} pages of the 16" in warning for warning in result["warnings"])
    assert "exact" in result["cost"]["steps"]
    exact = scan([GivenSource("one", pages)], Settings(changes={"checksum": "sampled"}, seed=1))
    assert exact["saving"]["pages"] == 16 and exact["warnings"] == [] and "exact" not in exact["cost"]["steps"]


@pytest.mark.parametrize("preset", PRESETS)
def test_quirks_without_effect_are_warned_of(preset):
    result = scan([GivenSource("one", data(page("a")))], Settings(page_size=SIZE, policy=f"pksmd:{preset}"))
    without_effect = [quirk for quirk in result["settings"]["quirks"] if not QUIRKS[quirk][0]]
    told = [warning for warning in result["warnings"] if "page tables" in warning]
    assert len(told) == bool(without_effect)
    assert all(warning.startswith(f"{len(without_effect)} quirks") and preset in warning for warning in told)


EVERY_POLICY = [f"{name}:{preset}" for name in policies.names() for preset in policies.spec(name).presets]


@pytest.mark.parametrize("policy", EVERY_POLICY)
def test_every_policy_comes_to_rest_and_contents_are_counted_all_the_same(policy):
    rng = random.Random(policy)
    contents = [bytes(SIZE), *(page(str(number)) for number in range(20))]
    pages = [rng.choice(contents) for _ in range(300)] + [page("alone")]
    result = scan([GivenSource("one", data(*pages))], Settings(page_size=SIZE, policy=policy))
    truth, totals, saving = answer(pages), result["totals"], result["saving"]
    assert (totals["pages"], totals["zero"], totals["distinct"]) == (301, truth.zero_pages, truth.distinct)
    assert [group["pages"] for group in result["groups"]] == sorted(map(len, truth.groups), reverse=True)[:10]
    name, _, preset = policy.partition(":")
    assert (result["settings"]["policy"], result["settings"]["preset"]) == (name, preset)
    assert not any("come to rest" in warning for warning in result["warnings"])
    if name == "nobody":
        assert saving["pages"] == totals["pages_shared"] == 0 and totals["pages_unshared"] == 301
        assert any("leaves the other equal pages apart" in warning for warning in result["warnings"])
    elif preset == "rhel-9.9-zero":
        assert (saving["nonzero_pages"], saving["zero_pages"]) == (0, truth.zero_pages)
    else:
        assert saving["nonzero_pages"] + saving["zero_pages"] == saving["pages"] <= 301 - truth.distinct + 1
        lossy = Settings(policy=policy).is_lossy and name == "pksmd"
        assert lossy or saving["pages"] >= 301 - truth.distinct, (
            "all contents are duplicates of some page, but for the zero page"
        )


class Restless(Policy):
    """Works for ever and merges nothing."""

    def __init__(self, host):
        self.cost = Cost()
        host.attach(self)

    tunables = property(lambda self: nobody.NoSettings())
    at_rest = property(lambda self: False)
    metadata_bytes = property(lambda self: 0)

    def wake(self):
        return 3

    def next_wake(self):
        return 20

    def counters(self):
        return {}


def test_a_policy_that_never_rests_is_stopped_and_named(monkeypatch):
    spec = dataclasses.replace(nobody.SPEC, name="restless", make=lambda host, *_: Restless(host))
    monkeypatch.setitem(registry._registered, "restless", spec)
    result = scan([GivenSource("one", data(page("a"), page("a")))], Settings(page_size=SIZE, policy="restless"))
    assert result["saving"]["pages"] == 0 and result["totals"]["duplicates"] == 1
    assert any(warning.startswith("restless did not come to rest") for warning in result["warnings"])
