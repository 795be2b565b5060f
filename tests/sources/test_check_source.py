"""check_source: all readers of our own pass it, and what breaks the contract is found and named."""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest

from pksm import sources
from pksm.errors import PksmError, UsageError
from pksm.extents import State, make_runs
from pksm.scan import scan
from pksm.scan.fingerprints import fingerprint
from pksm.sources.base import check_page_size
from pksm.testing import check_source

from support.asleep import wait_until_asleep
from support.memory_sources import GivenSource
from support.writers import elf, kdump, lime

PAGE = 4096


def page(number):
    return number.to_bytes(8, "little") * (PAGE // 8)


CONTENTS = [page(number % 7) for number in range(100)]
MEMORY = b"".join(CONTENTS)


def core(path, notes, **how):
    elf.write_core(path, [(0x100000, CONTENTS[:60], 70, elf.R | elf.W), (0x900000, CONTENTS[60:], 40, elf.R)],
                   notes, **how)  # fmt: skip


def at(*starts):
    """{address: page}: 60 pages from the first address on, 40 from the second."""
    numbers = [(starts[0], range(60)), (starts[1], range(60, 100))]
    return {start + place * PAGE: CONTENTS[number] for start, part in numbers for place, number in enumerate(part)}


IN_ROW = {number * PAGE: content for number, content in enumerate(CONTENTS)}
FRAMES = {number: content if any(content) else kdump.ZERO for number, content in enumerate(CONTENTS)}
READERS = {
    "raw": (lambda path: path.write_bytes(MEMORY + b"over"), IN_ROW),
    "elfcore": (lambda path: core(path, elf.nt_file([(1, 2, b"/x")])), at(0x100000, 0x900000)),
    "elfcore, of a guest": (lambda path: core(path, elf.qemu_note(), align=1, physical=True), at(0x100000, 0x900000)),
    "lime": (
        lambda path: path.write_bytes(lime.lime([(0x9000, MEMORY[: 60 * PAGE]), (1 << 33, MEMORY[60 * PAGE :])])),
        at(0x9000, 1 << 33),
    ),
    "avml": (
        lambda path: path.write_bytes(lime.avml([(0x9000, MEMORY[: 60 * PAGE]), (1 << 33, MEMORY[60 * PAGE :])])),
        at(0x9000, 1 << 33),
    ),
    "kdump": (lambda path: path.write_bytes(kdump.kdump(FRAMES)), IN_ROW),
    "kdump, plain": (lambda path: path.write_bytes(kdump.kdump(FRAMES, compress=False)), IN_ROW),
    "kdump, flattened": (lambda path: path.write_bytes(kdump.flatten(kdump.kdump(FRAMES))), IN_ROW),
}


@pytest.mark.parametrize("name", READERS)
def test_our_readers_keep_the_contract(tmp_path, name):
    write, expected = READERS[name]
    path = tmp_path / "memory"
    write(path)
    check_source(lambda: sources.open_target(path), expected)


def test_every_reader_of_files_is_among_them():
    assert {name.partition(",")[0] for name in READERS} | {"fingerprints"} == set(sources.formats())


@pytest.mark.parametrize("memory_file", [False, True])
def test_a_sparse_file_keeps_the_contract_wherever_it_lies(tmp_path, memory_file):
    fd = os.memfd_create("ram") if memory_file else os.open(tmp_path / "ram", os.O_RDWR | os.O_CREAT)
    try:
        os.ftruncate(fd, 1 << 30)
        os.pwrite(fd, page(1), 5 << 20)
        os.pwrite(fd, page(2), 9 << 20)
        for page_size in (512, PAGE, 64 << 10):
            content = {(5 << 20): page(1), (9 << 20): page(2)}
            expected = {
                address + place: (data + bytes(page_size))[place : place + page_size]
                for address, data in content.items()
                for place in range(0, PAGE, page_size)
            }
            check_source(lambda: sources.open_target(f"/proc/self/fd/{fd}"), expected, page_size)
    finally:
        os.close(fd)


def test_fingerprints_keep_the_contract(tmp_path):
    path = tmp_path / "a.fp"
    made = [GivenSource("one", [(State.DATA, page(1)), (State.ZERO, None), (State.HOLE, None)], [5], [True]),
            GivenSource("two", [(State.DATA, page(1)), (State.EXCLUDED, None)], [5], [False])]  # fmt: skip
    fingerprint(made, path, PAGE)
    check_source(lambda: sources.open_target(path))


def test_a_process_keeps_the_contract():
    code = "memory = bytearray(b'x') * (1 << 20); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        wait_until_asleep(process.pid)
        check_source(lambda: sources.open_pid(process.pid))
    check_source(lambda: sources.run_command(["sleep", "60"], after=0.2), steady=False)


# ---- what breaks it ----


class Good(sources.Source):
    """Three pages, a hole, and what a test wants to be otherwise."""

    kind = "good"

    def __init__(self):
        super().__init__("good")
        self.mappings = [sources.Mapping("heap", 0x1000, 0x9000)]

    def runs(self):
        return make_runs([State.DATA, State.HOLE], 0, [0x1000, 0x5000], [3, 1])

    def regions(self, page_size, allocate, progress):
        check_page_size(page_size)
        copies = allocate(3)
        copies.array[:] = np.arange(1, 4, dtype=np.uint8)[:, None]
        progress(3)
        yield sources.Region(self.runs(), copies=copies)


def test_the_smallest_source_passes():
    expected = {0x1000 + number * PAGE: bytes([number + 1]) * PAGE for number in range(3)}
    check_source(Good, expected)
    for wrong, words in (
        ({**expected, 0x1000: bytes(PAGE)}, "0x1000 holds other bytes"),
        ({**expected, 0x8000: bytes(PAGE)}, "0x8000 is missing"),
        ({0x1000: expected[0x1000]}, "no page at 0x2000"),
    ):
        with pytest.raises(AssertionError, match=words):
            check_source(Good, wrong)


class NotASource:
    name, kind = "x", "x"

    def close(self):
        pass


class Nameless(Good):
    def __init__(self):
        super().__init__()
        self.name = "two\nlines"


class OutOfOrder(Good):
    def runs(self):
        return super().runs()[::-1].copy()


class Overlapping(Good):
    def runs(self):
        return make_runs([State.DATA, State.HOLE], 0, [0x1000, 0x3000], [3, 1])


class BehindItsBuffer(Good):
    def runs(self):
        return make_runs([State.DATA], 0, [0x1000], [4])


class OfNoMapping(Good):
    def runs(self):
        return make_runs([State.DATA], 1, [0x1000], [3])


class OutsideOfItsMapping(Good):
    def runs(self):
        return make_runs([State.DATA], 0, [0x8000], [3])


class OfNoState(Good):
    def runs(self):
        return make_runs([7], 0, [0x1000], [3])


class Empty(Good):
    def runs(self):
        return make_runs([State.DATA, State.HOLE], 0, [0x1000, 0x5000], [3, 0])


class Silent(Good):
    def regions(self, page_size, allocate, progress):
        return super().regions(page_size, allocate, lambda pages: None)


class OwnMemory(Good):
    def regions(self, page_size, allocate, progress):
        return super().regions(page_size, lambda n: sources.Allocation(np.empty((n, page_size), np.uint8)), progress)


class Changing(Good):
    count = 0

    def regions(self, page_size, allocate, progress):
        for region in super().regions(page_size, allocate, progress):
            Changing.count += 1
            region.buffer[:] = Changing.count
            yield region


class Lying(Good):
    def facts(self):
        return {"out_of_reach": {"not_resident": 5}}


class LongLines(Good):
    def __init__(self):
        super().__init__()
        self.warnings = ["two\nlines"]


class HalfFrames(Good):
    def regions(self, page_size, allocate, progress):
        for region in super().regions(page_size, allocate, progress):
            region.frames = np.zeros(3, np.uint64)
            yield region


class AnyPageSize(Good):
    def regions(self, page_size, allocate, progress):
        yield sources.Region(make_runs([State.HOLE], 0, [0x1000], [1]))


class ClosesOnce(Good):
    closed = False

    def close(self):
        assert not self.closed, "closed twice"
        self.closed = True


BROKEN = {
    NotASource: "not a pksm.sources.Source", Nameless: "printable", OutOfOrder: "not sorted", Overlapping: "twice",
    BehindItsBuffer: "behind the 3 pages", OfNoMapping: "of mapping 1", OutsideOfItsMapping: "outside of their mapping",
    OfNoState: "in a state", Empty: "no pages", Silent: "progress", OwnMemory: "not what allocate", Changing: "other bytes",
    Lying: "names 5 pages", LongLines: "one line", HalfFrames: "together", AnyPageSize: "not refused",
    ClosesOnce: "closed twice",
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_what_breaks_the_contract_is_named(broken):
    with pytest.raises(AssertionError, match=BROKEN[broken]):
        check_source(broken)


@pytest.mark.parametrize("broken", [BehindItsBuffer, OfNoMapping, OfNoState, HalfFrames])
def test_a_scan_does_not_read_what_such_a_reader_gives(broken):
    """Its error is its own: the other sources count."""
    with contextlib.closing(broken()) as bad, contextlib.closing(Good()) as good:
        result = scan([bad, good])
    assert result["partial"] and result["totals"]["pages"] == 3
    (line,) = result["warnings"]
    assert line.startswith("good: ") and "its reader is at fault" in line
    with pytest.raises(PksmError, match="at fault"):
        scan([broken()])


def test_a_page_size_that_cannot_be_is_one_of_the_arguments():
    with pytest.raises(UsageError) as caught:
        check_page_size(3000)
    assert caught.value.argument == "page_size"
