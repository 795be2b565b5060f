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

from pksm.sources import base, readv
from pksm.sources.base import State

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
    chosen, exclusive, gone, changed = (np.array(draw(flags)) for _ in range(4))
    sizes = {name: draw(st.integers(1, 9)) * PAGE for name in ("READ_BYTES", "COMPARE_BYTES")}
    return chosen, exclusive, gone, changed, sizes | {"MAX_IOVECS": draw(st.integers(1, 4))}, draw(st.booleans())


def refuse(*_):
    ctypes.set_errno(errno.EPERM)
    return -1


@given(case=cases())
def test_reading_and_looking_again(area, case):
    chosen, exclusive, gone, changed, sizes, refused = case
    area[:] = 0
    area[:, :8] = np.arange(1, N_PAGES + 1, dtype=np.uint64)[:, None].view(np.uint8)
    pages = np.flatnonzero(chosen)
    if len(pages) == 0:
        return
    address = area.ctypes.data + pages * PAGE
    heads = np.flatnonzero(np.diff(address, prepend=-1) != PAGE)
    data = base.make_runs(np.full(len(heads), State.DATA), 0, address[heads], np.diff(heads, append=len(pages)))
    exclusive, gone, changed = exclusive[chosen], gone[chosen], changed[chosen]
    buffer = np.full((len(pages), PAGE), 9, np.uint8)
    with contextlib.ExitStack() as stack:
        memory = stack.enter_context(contextlib.closing(readv.ProcessMemory(os.getpid())))
        stack.enter_context(mock.patch.multiple(readv, **sizes, **({"_vm_readv": refuse} if refused else {})))
        seen = np.zeros(len(pages), int)
        for head, end, lost in memory.read_runs(data, exclusive, buffer):
            assert lost is None and 0 < end - head <= sizes["READ_BYTES"] // PAGE
            seen[head:end] += 1
        assert (seen == 1).all() and (buffer == area[chosen]).all()
        area[pages[changed], -1] = 7
        found = np.zeros(len(pages), int)
        for head, end, differs in memory.compare_runs(data, exclusive, gone, buffer):
            assert end - head <= sizes["COMPARE_BYTES"] // PAGE
            found[head:end] = 2 + (0 if differs is None else differs)
        assert found.tolist() == (2 + (changed | gone)).tolist()


@pytest.mark.parametrize("alone", [True, False])
def test_lost_pages_are_told(alone):
    """A hole in the middle of a batch is lost, and looking again says it has changed; its neighbours are read."""
    pages = own_pages(8)
    pages[:] = 5
    start = pages.ctypes.data
    data = base.make_runs(np.full(1, State.DATA), 0, np.array([start]), np.array([8]))
    buffer, exclusive, gone = np.zeros((8, PAGE), np.uint8), np.full(8, alone), np.zeros(8, bool)
    with unmapped(start + 3 * PAGE, 2 * PAGE), contextlib.closing(readv.ProcessMemory(os.getpid())) as memory:
        ((head, end, lost),) = memory.read_runs(data, exclusive, buffer)
        assert (head, end) == (0, 8) and lost.tolist() == [page in (3, 4) for page in range(8)]
        assert (buffer[~lost] == 5).all()
        ((_, _, changed),) = memory.compare_runs(data, exclusive, gone, buffer)
        assert changed.tolist() == lost.tolist()
