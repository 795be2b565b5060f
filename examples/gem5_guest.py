"""Merge the memory of a gem5 guest, without C: Python that gem5 runs, or any program whose guest's RAM is a shared file.

In the configuration of gem5, System(shared_backstore="guest", ...) puts the guest's RAM into /dev/shm/guest. Then

    merging = GuestMerging("/dev/shm/guest")
    while m5.simulate(merging.ticks_to_next()).getCause() == "simulate() limit reached":
        merging.wake()

The guest's pages are read where they are, and never changed: what is reported is what merging would save.
"""

import mmap

import numpy as np

from pksm import FlatHost, Pksmd, Store, catch_bus_errors, preset
from pksm.protocols import NO_FRAME, ZERO_FRAME

TICKS_PER_MS = 10**9  # gem5's tick is a picosecond


class GuestMerging:
    """pksmd over the RAM of a guest that goes on running between wake-ups.

    Args:
        path: of the shared file.
        page_size: bytes.
        settings: of pksmd.
    """

    def __init__(self, path, page_size=4096, settings=None):
        catch_bus_errors()  # a file that shrinks is an error then, and not the end of the process
        with open(path, "rb") as file:
            self._ram = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._store = Store(page_size)
        first = self._store.add(self._ram)  # no copy
        self.host = FlatHost(self._store)  # not static: the guest writes
        self.daemon = Pksmd(self.host, settings or preset("fixed"))
        self.host.add(np.arange(first, first + len(self._ram) // page_size, dtype=np.uint32))

    def ticks_to_next(self):
        """Return the ticks to simulate until the next wake-up."""
        return self.daemon.next_wake() * TICKS_PER_MS

    def wake(self):
        """Work once; merged pages that the guest has written since, and those merged with them, begin anew before."""
        anew = self._written()
        if len(anew):
            self.host.free(anew)
            self.host.add(anew)
        self.daemon.wake()

    def _written(self):
        """Return the pages of all groups in which one reads otherwise than the others."""
        frame_of = self.host.frame_of
        merged = np.flatnonzero((frame_of != np.arange(len(frame_of))) & (frame_of != NO_FRAME))
        differ = (self._store.bytes_of(merged) != self.host.read(merged)).any(axis=1)
        kept = np.setdiff1d(frame_of[merged[differ]], [ZERO_FRAME])
        return np.union1d(merged[differ], np.flatnonzero(np.isin(frame_of, kept))).astype(np.uint32)

    def close(self):
        """Let go of the guest's RAM."""
        self._store.close()
        self._ram.close()
