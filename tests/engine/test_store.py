"""The page store: which bytes a page number names."""

import copy
import gc
import mmap
import pickle
import subprocess
import sys
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.engine import native
from pksm.engine.store import SECTION_PAGES, Store
from pksm.errors import PageError, PksmError, UsageError
from pksm.hosts.flat import FlatHost

PAGE_SIZE = 64


def numbered(n_pages, first=0):
    """Pages with a number each as all of their bytes."""
    return np.repeat(np.arange(first, first + n_pages, dtype=np.uint8), PAGE_SIZE).reshape(n_pages, PAGE_SIZE)


@given(regions=st.lists(st.tuples(st.integers(0, 150), st.integers(0, 9)), max_size=5), data=st.data())
def test_regions_lie_where_they_say(regions, data):
    """Regions of any size and alignment, pages asked for in any order."""
    store, where, end = Store(PAGE_SIZE), {}, 0
    for n_pages, offset in regions:
        memory = np.random.default_rng(len(where)).integers(0, 256, offset + n_pages * PAGE_SIZE, np.uint8)
        first = store.add(memory[offset:])
        assert first == end
        end += -(-n_pages // SECTION_PAGES) * SECTION_PAGES
        where.update({first + i: memory[offset + i * PAGE_SIZE :][:PAGE_SIZE].tobytes() for i in range(n_pages)})
        assert store.n_pages == end
        store.check()
    pages = data.draw(st.lists(st.sampled_from(sorted(where)))) if where else []
    copies = store.bytes_of(pages)
    assert copies.shape == (len(pages), PAGE_SIZE) and copies.dtype == np.uint8
    assert [row.tobytes() for row in copies] == [where[page] for page in pages]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, np.array], ids=lambda kind: kind.__name__)
def test_anything_with_a_buffer_will_do(kind):
    data = numbered(3, first=7)
    store = Store(PAGE_SIZE)
    store.add(kind(data) if kind is np.array else kind(data.tobytes()))
    assert store.bytes_of([2, 0])[:, 0].tolist() == [9, 7]


def test_wide_items_and_mappings_will_do(tmp_path):
    store = Store(PAGE_SIZE)
    words = store.add(np.arange(16, dtype=np.uint64))
    assert store.bytes_of([words + 1])[0, ::8].tolist() == list(range(8, 16))
    path = tmp_path / "pages"
    path.write_bytes(numbered(5).tobytes())
    with path.open("rb") as file:
        mapped = store.add(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    assert store.bytes_of([mapped + 4])[0, 0] == 4


def test_nothing_is_copied_on_the_way_in_but_on_the_way_out():
    store, array = Store(PAGE_SIZE), numbered(2)
    store.add(array)
    before = store.bytes_of([1])
    array[1] = 99
    assert store.bytes_of([1])[0, 0] == 99 and before[0, 0] == 1


def test_pages_out_of_order_in_memory_are_refused():
    """A copy would not see what is written later."""
    store, array = Store(PAGE_SIZE), numbered(4)
    for scattered in (array[::2], array[:, ::2], array.T):
        with pytest.raises(UsageError):
            store.add(scattered)
    assert store.n_pages == 0


def test_the_store_keeps_its_memory_alive():
    class Memory(np.ndarray):
        pass

    store, array = Store(PAGE_SIZE), numbered(1, first=5).view(Memory)
    alive = weakref.ref(array)
    store.add(array)
    del array
    gc.collect()
    assert alive() is not None
    assert store.bytes_of([0])[0, 0] == 5
    del store
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("page_size", [8, 512, 4096, 2 << 20])
def test_page_sizes(page_size):
    store = Store(page_size)
    assert store.page_size == page_size
    first = store.add(np.arange(2 * page_size, dtype=np.uint64).astype(np.uint8))
    assert store.bytes_of([first + 1]).shape == (1, page_size)


def test_a_copy_stands_for_the_same_real_pages():
    store = pickle.loads(pickle.dumps(Store(8, real_page_size=4096)))
    assert (store.page_size, store.real_page_size) == (8, 4096)


@pytest.mark.parametrize("page_size", [0, 1, 4, 24, 4095, 4 << 20, -4096])
def test_page_sizes_that_can_not_be(page_size):
    with pytest.raises(UsageError, match=str(page_size)):
        Store(page_size)


def test_bad_regions():
    store = Store(PAGE_SIZE)
    with pytest.raises(UsageError, match=f"{PAGE_SIZE + 1}"):
        store.add(bytes(PAGE_SIZE + 1))
    with pytest.raises(UsageError, match="read-only"):
        store.add(bytes(PAGE_SIZE), writable=True)
    assert store.n_pages == 0
    store.add(bytearray(PAGE_SIZE), writable=True)
    assert store.n_pages == SECTION_PAGES


def test_page_numbers_end_before_32_bits_do():
    """The last two numbers mean something else to hosts."""
    store = Store(PAGE_SIZE)
    store._n_sections = (1 << 26) - 1
    with pytest.raises(PksmError, match="page"):
        store.add(bytes(PAGE_SIZE))


@pytest.mark.parametrize("page", [3, 63, 69, 128, 1 << 31, 0xFFFFFFFF])
def test_pages_between_and_behind_regions_are_refused(page):
    """The C core would read behind the end of a region."""
    store = Store(PAGE_SIZE)
    store.add(numbered(3))
    store.add(numbered(5))
    assert store.bytes_of([2, 68])[:, 0].tolist() == [2, 4]
    for pages in ([page], [0, page], [page, 68]):
        with pytest.raises(PageError):
            store.bytes_of(pages)
    with pytest.raises(PageError):
        Store(PAGE_SIZE).bytes_of([0])


def test_an_empty_region_has_no_page():
    store = Store(PAGE_SIZE)
    assert store.add(np.empty(0, np.uint8)) == 0
    assert store.add(numbered(1, first=3)) == 0
    assert store.add(np.empty((0, PAGE_SIZE), np.uint8)) == SECTION_PAGES
    assert store.bytes_of([0])[0, 0] == 3
    with pytest.raises(PageError):
        store.bytes_of([SECTION_PAGES])
    store.check()


@pytest.mark.parametrize("n_pages", [0, 3, 3000])
def test_allocated_pages_are_private_zeroed_memory(n_pages):
    store = Store(4096)
    store.add(bytes(4096))
    first, array = store.allocate(n_pages)
    assert first == SECTION_PAGES and array.shape == (n_pages, 4096) and array.dtype == np.uint8
    assert not array.any()
    array[:] = 7
    pages = np.arange(first, first + n_pages, dtype=np.uint32)
    assert (store.bytes_of(pages) == 7).all()
    store.check()
    if n_pages:  # shared memory would get no huge pages
        address = array.ctypes.data
        with open("/proc/self/maps", encoding="ascii") as maps:
            modes = [
                line.split()[1]
                for line in maps
                if int(line.split("-")[0], 16) <= address < int(line.split()[0].split("-")[1], 16)
            ]
        assert modes == ["rw-p"]


def test_more_than_there_is_memory_is_refused():
    store = Store(4096)
    with pytest.raises(PksmError, match="MiB of memory are not to be had"):
        store.allocate(1 << 40)
    assert store.n_pages == 0


def test_the_view_follows_new_regions():
    store = Store(PAGE_SIZE)
    store.add(numbered(1))
    before = store.view
    assert store.view is before
    store.add(numbered(1, first=8))
    assert store.view is not before
    assert native.pages_copy(store.view, [64])[0, 0] == 8


def test_a_check_finds_a_region_that_moved():
    store = Store(PAGE_SIZE)
    store.add(numbered(3))
    store.check()
    store._buffers[0] = numbered(3)
    with pytest.raises(AssertionError):
        store.check()


def test_a_store_s_copies_have_memory_of_their_own():
    store = Store(PAGE_SIZE)
    memory = numbered(3)
    store.add(memory)
    removed = store.add(numbered(70))
    store.remove(removed)
    store.add(numbered(0))
    last = store.add(bytes(PAGE_SIZE))
    with pytest.raises(TypeError, match="addresses"):
        copy.copy(store)
    for twin in (pickle.loads(pickle.dumps(store)), copy.deepcopy(store)):
        twin.check()
        assert twin.n_pages == store.n_pages
        assert np.array_equal(twin.bytes_of([0, 1, 2, last]), store.bytes_of([0, 1, 2, last]))
        with pytest.raises(PageError):
            twin.bytes_of([removed])
        assert twin.add(numbered(1)) == store.n_pages
        twin.write([1], None)
        assert memory[1].any(), "the first one's is not touched"
        twin.check()


def test_fewer_than_no_pages_are_not_allocated():
    store = Store(PAGE_SIZE)
    with pytest.raises(ValueError, match="-1 pages"):
        store.allocate(-1)
    assert store.n_pages == 0
    store.check()


def test_a_region_is_removed_and_its_buffer_let_go():
    from multiprocessing.shared_memory import SharedMemory

    store = Store(PAGE_SIZE)
    shared = SharedMemory(create=True, size=PAGE_SIZE * 4)
    try:
        kept = store.add(numbered(3))
        first = store.add(shared.buf[: PAGE_SIZE * 4])
        with pytest.raises(UsageError, match="no region begins at page 1:"):
            store.remove(1)
        store.remove(first)
        store.check()
        assert np.array_equal(store.bytes_of([kept, kept + 2]), numbered(3)[[0, 2]])
        with pytest.raises(PageError):
            store.bytes_of([first])
        assert store.add(numbered(1)) > first, "numbers are not given out again"
        assert native.pages_are_zero(store.view, [first])[0], "what should not be read is zeros, and no stray address"
        with pytest.raises(UsageError, match="no region begins"):
            store.remove(first)
    finally:
        shared.close()  # BufferError if the store held on to it
        shared.unlink()


def test_a_region_that_a_host_uses_is_not_removed():
    store = Store(PAGE_SIZE)
    first = store.add(numbered(3))
    host = FlatHost(store)
    host.add([first + 1])
    with pytest.raises(UsageError, match="in use by a host: free them first"):
        store.remove(first)
    host.free([first + 1])
    store.remove(first)
    with pytest.raises(PageError):
        host.add([first + 1])


def test_a_closed_store_has_no_pages():
    with Store(PAGE_SIZE) as store:
        store.add(numbered(3))
    with pytest.raises(PageError):
        store.bytes_of([0])
    with pytest.raises(UsageError, match="closed"):
        store.add(numbered(1))
    store.check()


def test_pages_are_written_region_by_region():
    store = Store(PAGE_SIZE)
    first, second = (store.allocate(3)[0] for _ in range(2))
    pages = np.array([second + 1, first, second, first + 2], np.uint32)
    store.write(pages, np.repeat(np.arange(1, 5, dtype=np.uint8)[:, np.newaxis], PAGE_SIZE, axis=1))
    assert store.bytes_of(pages)[:, 0].tolist() == [1, 2, 3, 4]
    assert not store.bytes_of([first + 1, second + 2]).any()
    read_only = store.add(bytes(PAGE_SIZE))
    with pytest.raises(UsageError, match="read-only"):
        store.write([first, read_only], None)
    assert store.bytes_of([first]).any(), "nothing was written"


@pytest.mark.parametrize("kind", ["memmap", "mmap"])
def test_a_mapped_file_that_shrinks_is_an_error(kind, tmp_path):
    path = tmp_path / "ram"
    path.write_bytes(bytes([7]) * 8 * 4096)
    script = f"""
import mmap, os, numpy as np, pksm
file = open({str(path)!r}, "r+b")
buffer = np.memmap(file, np.uint8) if {kind!r} == "memmap" else mmap.mmap(file.fileno(), 0)
store = pksm.Store(4096)
store.add(buffer)
host = pksm.FlatHost(store)
daemon = pksm.Pksmd(host)
host.add(np.arange(8))
os.truncate({str(path)!r}, 4096)
for call in (daemon.wake, lambda: host.read([5])):
    try:
        call()
    except pksm.BusError as error:
        print("BusError:", error)
os.truncate({str(path)!r}, 8 * 4096)
daemon.wake()
daemon.check()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["BusError"] * 2


def test_shared_memory_is_not_closed_under_a_store():
    from multiprocessing.shared_memory import SharedMemory

    store = Store(PAGE_SIZE)
    shared = SharedMemory(create=True, size=PAGE_SIZE * 4)
    first = store.add(shared.buf)
    with pytest.raises(BufferError):
        shared.close()
    assert not store.bytes_of([first]).any(), "its memory is still there"
    store.close()
    shared.close()
    shared.unlink()
