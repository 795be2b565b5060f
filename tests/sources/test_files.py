"""Files that are memory: their holes stay holes however they are read, and hugetlbfs is not asked for huge pages."""

import contextlib
import mmap
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm import sources
from pksm.scan import Settings, scan
from pksm.scan.sums import FileSums
from pksm.sources.files import OpenFile, release

from support.writers import elf, kdump, lime, reading

PAGE, BLOCK = 4096, 512
HUGE = 2 << 20


@contextlib.contextmanager
def memory_file(flags=0):
    """Give (descriptor, path) of an empty file that is memory."""
    fd = os.memfd_create("ram", flags)
    try:
        yield fd, f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def held(fd):
    """Bytes of memory that a file takes."""
    return os.fstat(fd).st_blocks * BLOCK


def write_sparse(fd, data, block=PAGE):
    """Write what is not zero, block by block."""
    os.ftruncate(fd, len(data))
    for at in range(0, len(data), block):
        if any(data[at : at + block]):
            os.pwrite(fd, data[at : at + block], at)


def pages(*numbers):
    """Pages with one byte repeated; 0 is a page of zeros."""
    return b"".join(bytes([number]) * PAGE for number in numbers)


RAM = pages(*[1, 1, 0, 2, *[0] * 600, 3, 0, 3, *[0] * 500])


def written_core(tmp_path, **how):
    elf.write_core(tmp_path / "core", [(1 << 20, [RAM[at : at + PAGE] for at in range(0, len(RAM), PAGE)],
                                        len(RAM) // PAGE, elf.R | elf.W)], **how)  # fmt: skip
    return (tmp_path / "core").read_bytes()


FORMATS = {
    "raw": lambda tmp_path: RAM,
    "lime": lambda tmp_path: lime.lime([(0, RAM)]),
    "core": lambda tmp_path: written_core(tmp_path, notes=b""),
    "core, unaligned": lambda tmp_path: written_core(tmp_path, notes=b"", align=1),
    "guest": lambda tmp_path: written_core(tmp_path, notes=elf.qemu_note(), align=1, physical=True),
    "kdump": lambda tmp_path: kdump.kdump(
        {number: RAM[number * PAGE : (number + 1) * PAGE] for number in range(len(RAM) // PAGE)}, compress=False
    ),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("page_size", [512, PAGE, 4 * PAGE, HUGE])
def test_holes_are_not_touched(tmp_path, name, page_size):
    data = FORMATS[name](tmp_path)
    if name == "kdump" and page_size != PAGE:
        pytest.skip("a kdump has pages of one size")
    with memory_file() as (fd, path):
        write_sparse(fd, data)
        before = held(fd)
        assert before < len(data) // 8, "these tests need memfds with holes"
        result = reading.read(path, page_size)
        assert held(fd) == before
        start = 1 << 20 if name.startswith(("core", "guest")) else 0
        for address, page in result.pages.items():
            content = RAM[address - start : address - start + page_size]
            if page.state == "DATA":
                assert page.content == content
            else:
                assert not any(content)
        assert any(page.state != "DATA" for page in result.pages.values()) or page_size == HUGE
        with contextlib.closing(sources.open_target(path)) as source:
            scan([source], Settings(page_size=page_size))
        assert held(fd) == before


def test_sums_of_holes_are_those_of_zeros(tmp_path):
    with memory_file() as (fd, path):
        write_sparse(fd, RAM)
        before = held(fd)
        (tmp_path / "plain").write_bytes(RAM)
        for page_size in (512, PAGE, 16 * PAGE):
            sums = [
                np.concatenate([part for _, part in FileSums(file, "xxh64", page_size).parts(100)])
                for file in (path, tmp_path / "plain")
            ]
            assert np.array_equal(*sums) and len(sums[0]) == len(RAM) // page_size
        assert held(fd) == before


@given(
    blocks=st.lists(st.booleans(), min_size=3, max_size=40),
    page_size=st.sampled_from([512, PAGE, 2 * PAGE, 8 * PAGE]),
    skew=st.sampled_from([0, 32, 512, 3000]),
)
def test_any_pattern_of_holes_at_any_offset(blocks, page_size, skew):
    """A LiME range that begins anywhere in the file: each page is data, or it lies in a hole and reads as zeros."""
    data = b"".join(bytes([number + 1] * PAGE) if block else bytes(PAGE) for number, block in enumerate(blocks))
    size = len(data) - skew - 32
    size -= size % page_size
    if size <= 0:
        return
    with memory_file() as (fd, path):
        os.ftruncate(fd, 32 + skew + size)
        whole = bytearray(max(len(data), 32 + skew + size))
        whole[: len(data)] = data
        head = lime.header(0, skew) if skew else b""
        image = head + bytes(skew) + lime.header(1 << 30, size)
        image += bytes(whole[len(image) : len(image) + size])
        write_sparse(fd, image)
        before = held(fd)
        result = reading.read(path, page_size)
        assert held(fd) == before
        found = {address - (1 << 30): page for address, page in result.pages.items() if address >= 1 << 30}
        start = len(image) - size
        assert sorted(found) == list(range(0, size, page_size))
        for address, page in found.items():
            content = image[start + address : start + address + page_size]
            assert page.content == content if page.state == "DATA" else not any(content)


def test_what_is_no_memory_is_mapped_without_a_copy(tmp_path):
    path = tmp_path / "lime"
    with open(path, "wb") as file:
        write_sparse(file.fileno(), lime.lime([(0, RAM)]))
    with contextlib.closing(OpenFile(path)) as file:
        if file.fills_holes:
            pytest.skip("temporary files are memory here")
    assert all(region.copies is None for region in reading.read(path).regions)


# ---- hugetlbfs ----


@contextlib.contextmanager
def huge_file(size):
    """Give (descriptor, path) of a file of huge pages; skip where none can be had."""
    knob = Path("/proc/sys/vm/nr_hugepages")
    wanted = size // HUGE
    before = int(knob.read_text())
    if "Hugepagesize:       2048 kB" not in Path("/proc/meminfo").read_text():
        pytest.skip("huge pages here are not of 2 MiB")
    try:
        knob.write_text(str(before + wanted))
    except OSError:
        pytest.skip("takes root, to set huge pages aside")
    try:
        with memory_file(os.MFD_HUGETLB) as (fd, path):
            os.ftruncate(fd, size)
            yield fd, path
    except OSError as error:
        pytest.skip(f"no huge pages to be had: {error}")
    finally:
        knob.write_text(str(before))


def fill(fd, size, contents):
    """Write {offset: bytes} through a mapping, which takes the huge pages."""
    with mmap.mmap(fd, size) as memory:
        for at, content in contents.items():
            memory[at : at + len(content)] = content


@pytest.mark.kernel
@pytest.mark.parametrize("page_size", [PAGE, HUGE])
def test_huge_pages_that_are_holes_are_not_zero_pages(page_size):
    size = 8 * HUGE
    with huge_file(size) as (fd, path):
        fill(fd, size, {2 * HUGE: pages(1, 2), 3 * HUGE: b"\0", 6 * HUGE + 5 * PAGE: pages(1)})
        assert held(fd) == 3 * HUGE
        result = reading.read(path, page_size)
        assert held(fd) == 3 * HUGE, "reading takes no huge page"
        counts, a_huge = reading.states(result), HUGE // page_size
        assert counts == {"DATA": 3 * a_huge, "HOLE": 5 * a_huge}
        zero = sum(page.state == "DATA" and not any(page.content) for page in result.pages.values())
        assert zero == (3 * a_huge - 3 if page_size == PAGE else 1)
        assert any("hugetlbfs does not report" in warning for warning in result.source.warnings)
        assert {address: page.content for address, page in result.pages.items() if address == 2 * HUGE} == {
            2 * HUGE: (pages(1, 2) + bytes(HUGE))[:page_size]
        }


@pytest.mark.kernel
def test_images_on_hugetlbfs_are_copied():
    memory = (pages(*range(1, 200)) * 2).ljust(2 * HUGE - 32, b"\0")
    image = lime.lime([(0, memory)])
    with huge_file(len(image)) as (fd, path):
        fill(fd, len(image), {0: image[:HUGE]})
        assert held(fd) == HUGE
        result = reading.read(path)
        assert held(fd) == HUGE
        assert {page.state for page in result.pages.values()} == {"DATA"}
        assert (
            b"".join(page.content for _, page in sorted(result.pages.items()))
            == memory[: (2 * HUGE // PAGE - 1) * PAGE]
        )
        assert any("copied instead of mapped" in warning for warning in result.source.warnings)


def resident(view):
    """Pages of this view's mapping that are in our memory."""
    address, found = view.ctypes.data, 0
    with open("/proc/self/smaps") as file:
        for line in file:
            first = line.split()[0]
            if "-" in first and not first.endswith(":"):
                low, high = (int(end, 16) for end in first.split("-"))
                inside = low <= address < high
            elif first == "Rss:" and inside:
                found = int(line.split()[1]) * 1024 // mmap.PAGESIZE
    return found


def test_released_views_take_no_memory_and_read_as_before(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(bytes(range(256)) * 16 * 64)
    file = OpenFile(str(path))
    view = file.view[4096:-4096]
    before = int(view.sum())
    assert resident(view) >= 60
    release([view[:4096], view[4096:]])
    assert resident(view) == 0
    assert int(view.sum()) == before
    file.close()


def test_what_is_not_of_a_file_is_not_released():
    anonymous = mmap.mmap(-1, 4096)
    anonymous[:3] = b"abc"
    view = np.frombuffer(anonymous, np.uint8)
    shown = view[:]
    shown.flags.writeable = False
    release([shown, np.zeros(3, np.uint8), np.frombuffer(b"abc", np.uint8)])
    assert bytes(shown[:3]) == b"abc"
