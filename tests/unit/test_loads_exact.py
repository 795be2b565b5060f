"""The seven loads at 64k pages of 4 KiB: what pksmd saves is what brute force over the bytes says."""

import hashlib

import numpy as np
import pytest

from pksm import tunables
from pksm.flat import FlatHost
from pksm.host import ZERO_FRAME
from pksm.pksmd import Pksmd
from pksm.store import Store
from pksm.workloads import LOADS, make

N_PAGES, PAGE_SIZE = 1 << 16, 4096
BATCH = 10_000  # pages: several wake-ups, so that duplicates meet across them


@pytest.fixture(scope="module")
def memory():
    """One region for all loads: (store, first page, array)."""
    store = Store(PAGE_SIZE)
    return store, *store.allocate(N_PAGES)


def digests(array):
    """A digest of every page, and that of a page of zeros."""
    return [hashlib.blake2b(page).digest() for page in array], hashlib.blake2b(bytes(PAGE_SIZE)).digest()


@pytest.mark.parametrize("name", LOADS)
def test_totals_are_those_of_brute_force(memory, name):
    store, first, array = memory
    make(name, array, seed=20)
    contents, zero = digests(array)
    distinct, zero_pages = len(set(contents)), contents.count(zero)
    alone = sum(1 for content in count_of(contents).values() if content == 1)

    host = FlatHost(store)
    daemon = Pksmd(host, tunables.preset("fixed").with_(pages_to_scan=BATCH))
    host.bear(np.arange(first, first + N_PAGES))
    while not daemon.at_rest:
        daemon.wake()
    daemon.check()
    assert daemon.cost.pages_visited == N_PAGES
    assert store.n_pages == N_PAGES
'''
