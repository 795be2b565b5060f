"""Policies by name: Specs that pickle, choices with presets and settings, and plug-ins that come and go."""

import pickle
import warnings
from dataclasses import replace

import pytest

from pksm import policies
from pksm.errors import UsageError
from pksm.hosts.machine import Machine
from pksm.policies import nobody, registry
from pksm.policies.ksmd.daemon import Ksmd
from pksm.policies.nobody import Nobody
from pksm.policies.pksmd.daemon import Pksmd

from support.installed import install


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Nothing of other packages, and nothing that a test registers stays."""
    monkeypatch.setattr(registry, "_registered", {})
    registry._from_entry_points.cache_clear()
    yield
    registry._from_entry_points.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that installs a package with these entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda name, code, **points: install(tmp_path, name, code, registry.ENTRY_POINTS, **points)


@pytest.mark.parametrize("name, kind", {"pksmd": Pksmd, "ksmd": Ksmd, "nobody": Nobody}.items())
def test_ours_are_made_by_name(name, kind):
    assert name in policies.names()
    machine = Machine(10, 64)
    policy = policies.make(name, machine)
    assert type(policy) is kind and machine.policy is policy
    assert policy.spec is policies.spec(name)
    assert policy.tunables == policy.spec.presets[policy.spec.default]


@pytest.mark.parametrize("name", ["pksmd", "ksmd", "uksm", "cksm", "nobody"])
def test_specs_and_choices_are_data(name):
    spec = policies.spec(name)
    assert pickle.loads(pickle.dumps(spec)) == spec
    [choice] = policies.choose(name)
    copy = pickle.loads(pickle.dumps(choice))
    assert copy == choice and copy.make(Machine(10, 64)).tunables == choice.settings


def test_presets_and_changes():
    chosen = registry.choose_one("ksmd:ksm-4.20", {"pages_to_scan": 200})
    assert chosen.name == "ksmd:ksm-4.20"
    assert chosen.settings == policies.spec("ksmd").presets["ksm-4.20"].with_(pages_to_scan=200)
    assert registry.choose_one("ksmd:ksm-4.20", ["pages_to_scan=200"]) == chosen
    assert registry.choose_one("nobody").name == "nobody"
    assert [choice.name for choice in policies.choose("ksmd,pksmd:v0.1")] == ["ksmd:ksm-6.11", "pksmd:v0.1"]
    assert policies.choose(["ksmd", "pksmd:v0.1"]) == policies.choose("ksmd,pksmd:v0.1")


def test_a_bare_name_means_all_that_have_it_and_a_dot_one():
    ksm, pksm, none = policies.choose(
        "ksmd,pksmd,nobody", ["ksmd.pages_to_scan=1000", "pages_to_scan=7", "smart_scan=0", "quirks=lifo-batch"]
    )
    assert ksm.settings.pages_to_scan == 1000, "what is said of one policy counts, whatever the order"
    assert ksm.settings.smart_scan == 0
    assert pksm.settings.pages_to_scan == 7 and pksm.settings.quirks == {"lifo-batch"}
    assert none.settings == nobody.NoSettings()
    by_value = {"ksmd.pages_to_scan": 1000, "pages_to_scan": 7, "smart_scan": 0, "quirks": {"lifo-batch"}}
    assert policies.choose("ksmd,pksmd,nobody", by_value) == [ksm, pksm, none]


@pytest.mark.parametrize(
    "which, changes, said",
    [
        ("esx", (), "unknown policy 'esx': choose from pksmd, ksmd, uksm, cksm, nobody"),
        ("", (), "unknown policy ''"),
        ("ksmd,", (), "unknown policy ''"),
        ("ksmd:fixed", (), "unknown preset 'fixed': choose from ksm-6.11"),
        ("ksmd", ["pages_to_scan"], "write name=value"),
        ("ksmd", ["quirks=lifo-batch"], "setting 'quirks': .* with a name of pages_to_scan"),
        ("ksmd", ["pksmd.pages_to_scan=1"], "policy 'pksmd' is not among those chosen: ksmd"),
        ("ksmd,pksmd", ["ksmd.quirks=lifo-batch"], "setting 'ksmd.quirks'"),
        ("ksmd", ["pages_to_scan=many"], "pages_to_scan=many: must be a whole number"),
        ("ksmd", {"pages_to_scan": 0}, "pages_to_scan=0: must be a whole number from 1"),
        ("nobody", ["run=1"], "setting 'run': nobody has no settings"),
    ],
)
def test_what_can_not_be_chosen_is_one_line(which, changes, said):
    with pytest.raises(UsageError, match=said) as refused:
        policies.choose(which, changes)
    assert "\n" not in str(refused.value)


def test_one_policy_is_one():
    with pytest.raises(UsageError, match="name one policy"):
        policies.make("ksmd,pksmd", Machine(10, 64))


def test_a_policy_of_ones_own_is_known_once_registered():
    mine = replace(nobody.SPEC, name="mine")
    policies.register(mine)
    assert policies.names() == ["pksmd", "ksmd", "uksm", "cksm", "nobody", "mine"] and policies.spec("mine") is mine
    assert isinstance(policies.make("mine", Machine(10, 64)), Nobody)
    with pytest.raises(UsageError, match="one of pksm's own"):
        policies.register(nobody.SPEC)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"name": "a:b"}, "a name is letters"),
        ({"name": "a.b"}, "a name is letters"),
        ({"name": ""}, "a name is letters"),
        ({"default": "some"}, "default has 'some'"),
        ({"shown": ("pages",)}, "shown has 'pages'"),
        ({"work": frozenset({"pages"})}, "work has 'pages'"),
        ({"moving": frozenset({"pages"})}, "moving has 'pages'"),
        ({"fixed": frozenset({"pages"})}, "fixed has 'pages'"),
    ],
)
def test_a_spec_names_only_what_is_its_own(changes, said):
    with pytest.raises(UsageError, match=said):
        replace(nobody.SPEC, **changes)


PACKAGE = """
from dataclasses import replace
from pksm.policies import nobody
works = replace(nobody.SPEC, name="works")
other = replace(nobody.SPEC, name="another")
ours = nobody.SPEC
number = 7
"""


def test_plug_ins_of_packages_are_found_and_broken_ones_named(package):
    points = {"works": "works", "renamed": "other", "nobody": "ours", "number": "number", "missing": "nothing"}
    package("one_with_policies", PACKAGE, **points)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert policies.names() == ["pksmd", "ksmd", "uksm", "cksm", "nobody", "works"]
    assert isinstance(policies.make("works", Machine(10, 64)), Nobody)
    texts = [str(warning.message) for warning in caught]
    assert [text.split()[2] for text in texts] == ["missing", "nobody", "number", "renamed"]
    assert all("pksm.policies" in text and "\n" not in text for text in texts)
