"""Flat hosts as check_host takes them."""

import numpy as np

from pksm.engine.store import Store
from pksm.hosts.flat import FlatHost
from pksm.protocols import ZERO_FRAME

SIZE = 64  # of a page


def flat(kind=FlatHost):
    """Return (host, add, read) of a flat host, of a class."""
    store = Store(SIZE)
    _, memory = store.allocate(64)
    host, born = kind(store), []

    def add(contents):
        pages = np.arange(len(born), len(born) + len(contents), dtype=np.uint32)
        memory[pages] = contents
        host.add(pages)
        born.extend(pages.tolist())
        return pages

    def read():
        frames = host.frame_of[born]
        return np.where((frames == ZERO_FRAME)[:, np.newaxis], 0, memory[frames % np.uint32(64)]).astype(np.uint8)

    return host, add, read
