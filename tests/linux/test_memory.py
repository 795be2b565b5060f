"""Copying and looking again, against plain comparison: our own memory is read as another process's would be."""

import contextlib
import ctypes
import errno
import mmap
import os
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm import extents
from pksm.extents import State
from pksm.linux.proc import memory as readv

PAGE = mmap.PAGESIZE
N_PAGES = 48
MAP_FIXED_ANONYMOUS = 0x10 | mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


@pytest.fixture(scope="module")
def area():
    return own_pages(N_PAGES)


def own_pages(n_pages):
    memory = mmap.mmap(-1, n_pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(memory, np.uint8).reshape(n_pages, PAGE)


@contextlib.contextmanager
def unmapped(start, n_bytes):
    """Have a hole in our memory; it is filled again, for Python will unmap all of it, whatever is there by then."""
    libc = ctypes.CDLL(None)
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = libc.mmap.argtypes[:2]
    libc.munmap(start, n_bytes)
    try:
        yield
    finally:
        libc.mmap(start, n_bytes, mmap.PROT_READ | mmap.PROT_WRITE, MAP_FIXED_ANONYMOUS, -1, 0)


@st.composite
def cases(draw):
    flags = st.lists(st.booleans(), min_size=N_PAGES, max_size=N_PAGES)
    chosen, exclusive, away, changed = (np.array(draw(flags)) for _ in range(4))
    sizes = {name: draw(st.integers(1, 9)) * PAGE for name in ("READ_BYTES", "COMPARE_BYTES")}
    return chosen, exclusive, away, changed, sizes | {"MAX_IOVECS": draw(st.integers(1, 4))}, draw(st.booleans())


def refuse(*_):
    ctypes.set_errno(errno.EPERM)
    return -1


class Watched(readv.ProcessMemory):
    """Notes which addresses each way of reading is used for."""

    def __init__(self, refused):
        super().__init__(os.getpid())
        self.by_readv, self.by_mem = [], []
        self._refused, self._vm_readv = refused, readv._vm_readv

    def vm_readv(self, pid, local, n_local, remote, n_remote, flags):
        assert n_local == n_remote <= readv.MAX_IOVECS
        if self._refused:
            return refuse()
        vectors = np.ctypeslib.as_array((ctypes.c_uint64 * (2 * n_remote)).from_address(remote)).reshape(-1, 2)
        for address, length in vectors.tolist():
            self.by_readv += range(address, address + length, PAGE)
        return self._vm_readv(pid, local, n_local, remote, n_remote, flags)

    def _pread(self, address, out):
        self.by_mem += range(address, address + out.size, PAGE)
        return super()._pread(address, out)


@given(case=cases())
def test_reading_and_looking_again(area, case):
    chosen, exclusive, away, changed, sizes, refused = case
    area[:] = 0
    area[:, :8] = np.arange(1, N_PAGES + 1, dtype=np.uint64)[:, None].view(np.uint8)
    pages = np.flatnonzero(chosen)
    if len(pages) == 0:
        return
    address = area.ctypes.data + pages * PAGE
    heads = np.flatnonzero(np.diff(address, prepend=-1) != PAGE)
    data = extents.make_runs(np.full(len(heads), State.DATA), 0, address[heads], np.diff(heads, append=len(pages)))
    exclusive, away, changed = exclusive[chosen], away[chosen], changed[chosen]
    buffer = np.full((len(pages), PAGE), 9, np.uint8)
    with contextlib.closing(Watched(refused)) as memory, mock.patch.multiple(readv, _vm_readv=memory.vm_readv, **sizes):
        seen = np.zeros(len(pages), int)
        for head, end, lost in memory.read_runs(data, exclusive, buffer):
            assert lost is None and 0 < end - head <= sizes["READ_BYTES"] // PAGE
            seen[head:end] += 1
        assert (seen == 1).all() and (buffer == area[chosen]).all()
        assert sorted(memory.by_readv) == ([] if refused else address[exclusive].tolist())
        assert sorted(memory.by_readv + memory.by_mem) == address.tolist(), "each page once"
        area[pages[changed], -1] = 7
        memory.by_readv, memory.by_mem = [], []
        found = np.zeros(len(pages), int)
        for head, end, differs in memory.compare_runs(data, exclusive, away, buffer):
            assert end - head <= sizes["COMPARE_BYTES"] // PAGE
            found[head:end] = 2 + (0 if differs is None else differs)
        assert found.tolist() == (2 + (changed & ~away)).tolist()
        assert sorted(memory.by_readv) == ([] if refused else address[exclusive & ~away].tolist())
        assert sorted(memory.by_readv + memory.by_mem) == address[~away].tolist(), "what is away is not touched"


@pytest.mark.parametrize("alone", [True, False])
def test_lost_pages_are_told(alone):
    """Holes in the middle of a batch are lost, and looking again says they have changed; their neighbours are read."""
    pages = own_pages(8)
    pages[:] = 5
    start = pages.ctypes.data
    data = extents.make_runs(np.full(1, State.DATA), 0, np.array([start]), np.array([8]))
    buffer, exclusive, away = np.zeros((8, PAGE), np.uint8), np.arange(8) % 4 != 3, np.zeros(8, bool)
    if alone:
        exclusive[:] = True
    with contextlib.ExitStack() as stack:
        memory = stack.enter_context(contextlib.closing(readv.ProcessMemory(os.getpid())))
        stack.enter_context(unmapped(start + 2 * PAGE, PAGE))
        stack.enter_context(unmapped(start + 4 * PAGE, 2 * PAGE))
        ((head, end, lost),) = memory.read_runs(data, exclusive, buffer)
        assert (head, end) == (0, 8) and np.flatnonzero(lost).tolist() == [2, 4, 5]
        assert (buffer[~lost] == 5).all()
        ((_, _, changed),) = memory.compare_runs(data, exclusive, away, buffer)
        assert changed.tolist() == lost.tolist()
