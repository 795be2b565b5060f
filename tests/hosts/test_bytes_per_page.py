"""What engine and host keep per page, besides contents: it has to stay small with millions of them."""

import numpy as np
import pytest

from pksm import FlatHost, Pksmd, Store
from pksm.policies.pksmd.tunables import preset

N = 400_000
MOST = {N // 50: 64, N: 72}  # bytes, by how many come at once


@pytest.mark.parametrize("at_once", MOST)
@pytest.mark.parametrize("distinct", [N // 10, N, 50 * N])
def test_a_page_takes_few_bytes_when_the_engine_rests(at_once, distinct):
    store = Store(8)
    store.add(np.random.default_rng(1).integers(1, distinct, N).astype(np.uint64))
    host = FlatHost(store, static=True)
    daemon = Pksmd(host, preset("fixed").with_(pages_to_scan=20_000))
    for start in range(0, N, at_once):
        host.add(np.arange(start, start + at_once, dtype=np.uint32))
        while not daemon.at_rest:
            daemon.wake()
    assert (daemon.engine_bytes + host.nbytes) / N <= MOST[at_once]
    assert host.frames_saved == N - len(np.unique(store.bytes_of(np.arange(N)).view(np.uint64)))
