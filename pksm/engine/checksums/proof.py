"""Proof of a checksum: its sums follow from the bytes of a page alone."""

import random

import numpy as np

from pksm.arrays import IntArray
from pksm.engine import native
from pksm.engine.store import Store
from pksm.errors import PksmError

PROBES = 8


def prove(checksum: native.AnyChecksum, page_size: int) -> None:
    """Raise PksmError, naming the checksum, if a few pages show that its sums follow from something else."""
    store = Store(page_size)
    _, probes = store.allocate(PROBES)
    rest = probes[2:]
    rest[:] = np.frombuffer(random.Random(1).randbytes(rest.size), np.uint8).reshape(rest.shape)
    probes[1] = 0xFF
    require_function(store.view, checksum, np.arange(PROBES, dtype=np.uint32))


def require_function(view: native.StoreView, checksum: native.AnyChecksum, pages: IntArray) -> None:
    """Raise PksmError, naming the checksum, if it gives different sums for the same page."""
    sums = native.checksum_pages(view, checksum, pages)
    again = native.checksum_pages(view, checksum, pages[::-1].copy())[::-1]
    if (sums != again).any():
        raise not_a_function(checksum)


def not_a_function(checksum: native.AnyChecksum) -> PksmError:
    """Return the error for such a checksum."""
    return PksmError(
        f"checksum plug-in {checksum.name}: gives different sums for the same page: a sum has to follow from the "
        "page's bytes alone"
    )
