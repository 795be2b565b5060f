"""The seven loads at 64k pages of 4 KiB: what pksmd shares is what brute force over the bytes says."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd
from pksm.protocols import ZERO_FRAME
from pksm.simulation.workloads import LOADS, make

N_PAGES, PAGE_SIZE = 1 << 16, 4096
BATCH = 10_000  # pages: several wake-ups, so that duplicates meet across them


@pytest.fixture(scope="module")
def memory():
    """One region for all loads: its store, first page and bytes."""
    store = Store(PAGE_SIZE)
    return store, *store.allocate(N_PAGES)


def digest(page):
    return hashlib.blake2b(page, digest_size=32).digest()


def settled(store, pages, order, threads):
    """Return host and daemon at rest."""
    host = FlatHost(store)
    daemon = Pksmd(host, tunables.preset("fixed").with_(order=order, pages_to_scan=BATCH), threads=threads)
    host.add(pages)
    while not daemon.at_rest:
        daemon.wake()
    daemon.check()
    return host, daemon


@pytest.mark.parametrize("name", LOADS)
def test_exact(memory, name):
    store, first, array = memory
    make(name, array, seed=20)
    contents = [digest(page) for page in array]
    of_zero = digest(bytes(PAGE_SIZE))
    groups = Counter(contents)
    zero = groups.pop(of_zero, 0)
    pages = np.arange(first, first + N_PAGES, dtype=np.uint32)
    for order, threads in (("checksum-content", 1), ("checksum", 2), ("content", 1)):
        host, daemon = settled(store, pages, order, threads)
        counters = daemon.counters()
        assert counters == counters | {
            "pages_zero_sharing": zero,
            "pages_shared": sum(size > 1 for size in groups.values()),
            "pages_sharing": N_PAGES - len(groups),
            "pages_unshared": sum(size == 1 for size in groups.values()),
            "rmap_items": len(groups),
            "new_len": 0,
            "rescan_len": 0,
        }
        assert host.frames_saved == N_PAGES - len(groups)
        shared = set(zip(host.frame_of[pages].tolist(), contents, strict=True))
        assert len(shared) == len({frame for frame, _ in shared}) == len({content for _, content in shared})
        assert ((ZERO_FRAME, of_zero) in shared) == (zero > 0)
