"""Rows, tallies and growth equal the slow twin, however contents are cut into ranges."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.fleet import estimates
from pksm.fleet import tally as module
from pksm.fleet.rows import ROW, check, in_order, rows_of
from pksm.fleet.tally import Tally, tally

from model import fleet as model

# Some differ in the second word alone, some in the last bit of the first, some in the first bit.
KEYS = st.tuples(st.sampled_from([0, 1, 1 << 62, (1 << 62) + 1, (1 << 64) - 2, (1 << 64) - 1]), st.integers(0, 1))
VMS = st.lists(st.lists(KEYS, max_size=12), min_size=1, max_size=6)


def all_rows(vms):
    members = np.repeat(np.arange(len(vms), dtype=np.uint32), [len(one) for one in vms])
    return rows_of(*words([key for one in vms for key in one]), members)


def words(keys):
    return np.array([key[0] for key in keys], np.uint64), np.array([key[1] for key in keys], np.uint64)


@given(VMS, st.randoms(use_true_random=False))
def test_rows(vms, random):
    """In whatever order they come."""
    pairs = [(key, vm) for vm, one in enumerate(vms) for key in one]
    random.shuffle(pairs)
    rows = rows_of(*words([key for key, _ in pairs]), np.array([vm for _, vm in pairs], np.uint32))
    again = rows_of(rows["sum"], rows["tail"], rows["member"], rows["count"])
    assert again.tobytes() == rows.tobytes()
    check(rows, len(vms))
    mixed = list(range(len(rows)))
    random.shuffle(mixed)
    assert in_order(rows[mixed]).tobytes() == rows.tobytes()
    expected = sorted({(key, vm): one.count(key) for vm, one in enumerate(vms) for key in one}.items())
    found = [(((int(r["sum"]), int(r["tail"])), int(r["member"])), int(r["count"])) for r in rows]
    assert found == expected


@given(VMS, st.data())
def test_tally(vms, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HEAVY", 3)
        check_tally(vms, data)


def check_tally(vms, data):
    hosts = data.draw(st.lists(st.integers(0, 2), min_size=len(vms), max_size=len(vms)))
    names = sorted(set(hosts))
    host_of = np.array([names.index(one) for one in hosts], np.uint32)
    groups = {
        "vm": np.arange(len(vms), dtype=np.uint32),
        "host": host_of,
        "all": np.zeros(len(vms), np.uint32),
    }
    rows = all_rows(vms)
    cuts = sorted(data.draw(st.sets(KEYS.map(lambda key: key[0]))))
    total = Tally()
    edges = [0, *np.searchsorted(rows["sum"], np.array(cuts, np.uint64)).tolist(), len(rows)]
    for start, stop in pairwise(edges):
        total.add(tally(rows[start:stop], groups, "vm"))
    assert total.pages == sum(map(len, vms))
    assert total.contents == model.distinct(vms, [0] * len(vms))
    for level, of in groups.items():
        assert total.weight[level] == model.distinct(vms, of.tolist())
    assert total.overlap.tolist() == model.overlap(vms, max(2, len(vms) // 2))
    assert total.heavy == model.heavy(vms, 3)
    n = len(names)
    sizes = list(range(1, n + 1))
    for m, found in zip(sizes, estimates.growth(total.hosts[: n + 1], 1.0, sizes), strict=True):
        assert np.isclose(found["value"], model.grown(vms, host_of.tolist(), m)) and found["low"] == found["high"]


def test_no_rows():
    empty = np.zeros(0, ROW)
    found = tally(empty, {"vm": np.zeros(1, np.uint32), "host": np.zeros(1, np.uint32)}, "vm")
    assert (found.pages, found.contents, found.heavy) == (0, 0, []) and found.hosts.sum() == 0
