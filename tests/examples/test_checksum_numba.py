"""The checksum that numba compiles: it sums as its formula says, and an engine merges by it."""

import numpy as np
import pytest

from pksm import FlatHost, Pksmd, Store, checksums
from pksm.hosts.machine.content import pages_of

SIZE = 64


def test_a_checksum_that_numba_compiles():
    pytest.importorskip("numba", reason="numba is not installed: there is no wheel for this Python")
    from examples import checksum_numba

    checksum_numba.register()
    try:
        pages = pages_of([1, 1, 2, 3, 3], SIZE)
        made = checksums.make("weighted-numba", SIZE)
        weights = 2 * np.arange(SIZE // 8, dtype=np.uint64) + np.uint64(1)
        due = (pages.view(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
        assert [made.of(bytes(page)) for page in pages] == due.tolist()
        host = FlatHost(Store(SIZE))
        daemon = Pksmd(host, checksum="weighted-numba")
        host.write(host.new(5), pages)
        while not daemon.at_rest:
            daemon.wake()
        daemon.check()
        assert host.frames_saved == 2
    finally:
        checksums.unregister("weighted-numba")
