"""Guest memory: ELF dumps written for the test, and all that QEMU itself writes of one guest."""

import os
import shutil
import struct
import subprocess

import numpy as np
import pytest

from pksm.errors import PksmError

from support.writers import elf, programs, reading
from support.writers.elf import PAGE

MIB = 1 << 20


def page(number):
    return struct.pack("<Q", number) * 512


SEGMENTS = [(0, [page(1), bytes(PAGE)], 2, 7), (0x100000, [page(2)], 3, 7), (0xFFFC0000, [page(3)], 1, 7)]


def test_dump(tmp_path):
    path = tmp_path / "guest.elf"
    elf.write_core(path, SEGMENTS, elf.qemu_note(), align=1, physical=True)
    result = reading.read(path)
    assert reading.contents(result) == {0: page(1), PAGE: bytes(PAGE), 0x100000: page(2), 0xFFFC0000: page(3)}
    assert reading.states(result) == {"DATA": 4, "EXCLUDED": 2}
    assert (result.source.kind, result.source.lost) == ("qemu", 0)
    (line,) = result.source.warnings
    assert all(
        words in line for words in (str(path), "never touched", "count as zero pages", "scan the hypervisor's process")
    )
    assert {page.mapping for page in result.pages.values()} == {"guest.elf"}


def test_holes_of_the_file_are_zeros_that_a_copy_left_out(tmp_path):
    path = tmp_path / "guest.elf"
    elf.write_core(path, [(0, [page(1)] + [None] * 20, 21, 7)], elf.qemu_note(), physical=True)
    assert reading.states(reading.read(path)) == {"DATA": 1, "ZERO": 20}


def test_physical_without_a_note_of_qemu(tmp_path):
    """QEMU writes none for other machines than x86."""
    path = tmp_path / "guest.elf"
    elf.write_core(path, [(0x40000000, [page(1)], 1, 7)], elf.note(b"CORE", 1, bytes(392)), physical=True)
    assert reading.read(path).source.kind == "qemu"


def test_dump_by_virtual_address_is_refused(tmp_path):
    path = tmp_path / "guest.elf"
    elf.write_core(path, SEGMENTS, elf.qemu_note(), physical=True)
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q", data, 64 + 2 * 56 + 16, 0xFFFF_8880_0010_0000)
    path.write_bytes(data)
    with pytest.raises(PksmError, match="paging=true.*paging=false") as caught:
        reading.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    struct.pack_into("<Q", data, 64 + 2 * 56 + 16, 0x100000)  # as newer ones fill it in without paging
    path.write_bytes(data)
    assert reading.states(reading.read(path)) == {"DATA": 4, "EXCLUDED": 2}


def test_truncated(tmp_path):
    path = tmp_path / "guest.elf"
    elf.write_core(path, SEGMENTS, elf.qemu_note(), align=1, physical=True)
    os.truncate(path, os.path.getsize(path) - PAGE - 1)
    result = reading.read(path)
    assert reading.states(result) == {"DATA": 2, "EXCLUDED": 4} and result.source.lost == 2


# ---- what QEMU writes ----


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    """The directory of the files that QEMU made of one guest (ram, elf, kdump), and its memory by address."""
    directory = tmp_path_factory.mktemp("guest")
    ram, size = directory / "ram", 16 * MIB
    with open(ram, "wb") as file:
        file.truncate(size)
    chance = np.random.default_rng(1)
    memory = np.memmap(ram, np.uint8, "r+").reshape(-1, PAGE)
    memory[2 * MIB // PAGE :: 7] = chance.integers(0, 256, PAGE, np.uint8)
    memory[3 * MIB // PAGE :: 5, :2048] = chance.integers(0, 256, 2048, np.uint8)
    memory.flush()
    try:
        programs.guest_dumps(directory, ram)
    except programs.NotHere as reason:
        pytest.skip(str(reason))
    return directory, {at: ram_page(ram, at) for at in range(MIB, size, PAGE)}


def ram_page(ram, at):
    with open(ram, "rb") as file:
        return os.pread(file.fileno(), PAGE, at)


def above_a_mib(result):
    """{address: bytes} of RAM; below, the dumps hold what the guest's devices lay over it, and above 4 GiB firmware."""
    return {
        at: page.content if page.state == "DATA" else bytes(PAGE)
        for at, page in result.pages.items()
        if MIB <= at < 16 * MIB and page.state in ("DATA", "ZERO")
    }


def test_qemu_ram_file(guest):
    directory, truth = guest
    result = reading.read(directory / "ram")
    assert result.source.kind == "raw"
    found = above_a_mib(result)
    assert found == {at: truth[at] for at in found}
    assert all(not any(truth[at]) for at in truth.keys() - found.keys()), "what is not told is a hole of the file"


def test_qemu_elf_dump(guest):
    directory, truth = guest
    result = reading.read(directory / "elf")
    (line,) = result.source.warnings
    assert result.source.kind == "qemu" and "never touched" in line
    assert above_a_mib(result) == truth


def test_qemu_kdump(guest):
    directory, truth = guest
    result = reading.read(directory / "kdump")
    (line,) = result.source.warnings
    assert result.source.kind == "kdump" and "never touched" in line
    assert above_a_mib(result) == truth
    zero = {at for at in truth if result.pages[at].state == "ZERO"}
    assert zero == {at for at, content in truth.items() if not any(content)}


def test_qemu_kdump_rearranged(guest, tmp_path):
    if not shutil.which("makedumpfile"):
        pytest.skip("makedumpfile is not installed")
    directory, truth = guest
    path = tmp_path / "rearranged"
    with open(directory / "kdump", "rb") as flattened:
        subprocess.run(["makedumpfile", "-R", str(path)], stdin=flattened, check=True, capture_output=True)
    assert path.read_bytes()[:8] == b"KDUMP   "
    assert above_a_mib(reading.read(path)) == truth
