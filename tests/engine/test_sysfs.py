"""The files a policy shows, as a mapping."""

import numpy as np
import pytest

from pksm.engine.store import Store
from pksm.errors import UsageError
from pksm.hosts.flat import FlatHost
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.counters import COUNTERS
from pksm.policies.pksmd.daemon import Pksmd
from pksm.policies.pksmd.tunables import SETTINGS


@pytest.fixture
def daemon():
    """Four pages: two equal, one zero, one alone; settled."""
    store = Store(64)
    store.add(np.repeat(np.array([1, 1, 0, 2], np.uint8), 64))
    host = FlatHost(store)
    daemon = Pksmd(host)
    host.add(range(4))
    daemon.wake()
    return daemon


def test_all_files_can_be_read(daemon):
    assert list(daemon.sysfs) == [*COUNTERS, *SETTINGS]
    assert len(daemon.sysfs) == len(list(daemon.sysfs))
    shown = dict(daemon.sysfs)
    assert {name: shown[name] for name in COUNTERS} == daemon.counters()
    assert shown == shown | {
        "pages_shared": 1,
        "pages_sharing": 2,
        "pages_zero_sharing": 1,
        "pages_unshared": 1,
        "stable_nodes": 2,
        "rmap_items": 2,
        "full_scans": 0,
        "new_len": 0,
        "pages_to_scan": 1000,
        "order": "checksum-content",
    }


def test_settings_take_effect(daemon):
    daemon.sysfs["pages_to_scan"] = 7
    assert daemon.tunables.pages_to_scan == 7 == daemon.sysfs["pages_to_scan"]
    daemon.sysfs["sleep_millisecs"] = 300
    assert daemon.next_wake() == 300
    daemon.sysfs["run"] = 0
    assert daemon.wake() == 0


def test_stopped_means_stopped(daemon):
    daemon.sysfs["run"] = 0
    host = daemon._host
    first = host.store.add(bytes(64 * 3))
    host.add(range(first, first + 3))
    assert daemon.wake() == 0 and daemon.sysfs["new_len"] == 3
    daemon.sysfs["run"] = 1
    assert daemon.wake() == 3
    assert daemon.sysfs["pages_zero_sharing"] == 4


@pytest.mark.parametrize(
    "name, value", [("pages_to_scan", 0), ("run", 3), ("period_seconds", "10"), ("update", "tail")]
)
def test_values_out_of_range_change_nothing(daemon, name, value):
    before = daemon.tunables
    with pytest.raises(UsageError, match=name):
        daemon.sysfs[name] = value
    assert daemon.tunables == before


@pytest.mark.parametrize("name, value", [("order", "content"), ("checksum", "crc32c")])
def test_what_the_trees_stand_on_can_not_change(daemon, name, value):
    with pytest.raises(UsageError, match=name):
        daemon.sysfs[name] = value
    daemon.sysfs[name] = getattr(daemon.tunables, name)
    assert daemon.tunables == tunables.preset("fixed")


@pytest.mark.parametrize("name", COUNTERS)
def test_counters_are_read_only(daemon, name):
    before = daemon.sysfs[name]
    with pytest.raises(PermissionError, match=name):
        daemon.sysfs[name] = 5
    assert daemon.sysfs[name] == before


def test_unknown_files(daemon):
    with pytest.raises(KeyError):
        daemon.sysfs["pages"]
    with pytest.raises(KeyError):
        daemon.sysfs["pages"] = 1
    assert "pages" not in daemon.sysfs and "pages_shared" in daemon.sysfs
    with pytest.raises(UsageError):
        del daemon.sysfs["run"]


def test_quirks_bring_their_tunables(daemon):
    daemon.sysfs["quirks"] = {"head-of-list"}
    assert daemon.sysfs["update"] == "head"
    daemon.sysfs["update"] = "rotate"
    assert daemon.sysfs["quirks"] == frozenset()
