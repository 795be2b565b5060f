"""Files of every format that a worker reads: the same results as without it."""

import os
from functools import partial

import pytest

from pksm.scan import Settings
from pksm.scan.fingerprints import fingerprint
from pksm.sources import open_target, opened
from pksm.testing import check_source

from support.memory_sources import write_file
from support.sandboxed import PAGE, outcome
from support.writers import elf, kdump, lime

CONTENTS = [(number % 7).to_bytes(8, "little") * (PAGE // 8) for number in range(100)]
MEMORY = b"".join(CONTENTS)
FRAMES = {number: content if any(content) else kdump.ZERO for number, content in enumerate(CONTENTS)}
RANGES = [(0x9000, MEMORY[: 60 * PAGE]), (1 << 33, MEMORY[60 * PAGE :])]


def core(path, notes, **how):
    segments = [(0x100000, CONTENTS[:60], 70, elf.R | elf.W), (0x900000, CONTENTS[60:], 40, elf.R)]
    elf.write_core(path, segments, notes, **how)


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(1 << 24)
        file.seek(5 << 20)
        file.write(MEMORY + b"over")


def keep_fingerprints(path):
    ram = write_file(path.with_name("ram"), CONTENTS, PAGE)
    with opened([partial(open_target, ram)]) as (found, _):
        fingerprint(found, path)


FILES = {
    "raw": lambda path: path.write_bytes(MEMORY + b"over"),
    "raw, sparse": sparse,
    "elfcore": lambda path: core(path, elf.nt_file([(1, 2, b"/x")])),
    "elfcore, of a guest": lambda path: core(path, elf.qemu_note(), align=1, physical=True),
    "elfcore, cut off": lambda path: (core(path, elf.qemu_note()), os.truncate(path, path.stat().st_size - 9999)),
    "lime": lambda path: path.write_bytes(lime.lime(RANGES)),
    "avml": lambda path: path.write_bytes(lime.avml(RANGES)),
    "kdump": lambda path: path.write_bytes(kdump.kdump(FRAMES)),
    "kdump, plain": lambda path: path.write_bytes(kdump.kdump(FRAMES, compress=False)),
    "kdump, flattened": lambda path: path.write_bytes(kdump.flatten(kdump.kdump(FRAMES))),
    "kdump, cut off": lambda path: path.write_bytes(kdump.kdump(FRAMES)[:-999]),
    "fingerprints": keep_fingerprints,
    "gzip": lambda path: path.write_bytes(b"\x1f\x8b\x08\x00" + MEMORY),
    "too short": lambda path: path.write_bytes(b"x"),
    "an empty core": lambda path: path.write_bytes(elf.header(0)),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("view", ["frames", "mappings"])
def test_results_are_those_without_it(tmp_path, sandbox, name, view):
    path, other = tmp_path / "memory", tmp_path / "other"
    FILES[name](path)
    write_file(other, [b"a" * PAGE] * 3, PAGE)
    settings = Settings(view=view)
    for paths in ([path], [path, other]):
        assert outcome(paths, sandbox, settings) == outcome(paths, None, settings)


def test_files_of_all_formats_are_read_by_one_worker(tmp_path, sandbox):
    paths = []
    for number, (name, write) in enumerate(FILES.items()):
        if name != "fingerprints":
            paths.append(tmp_path / f"{number}")
            write(paths[-1])
    assert outcome(paths, sandbox, Settings()) == outcome(paths, None, Settings())
    assert sandbox.worker_number <= 4  # one more each for plug-ins, pyelftools and cramjam, if nobody has loaded these


@pytest.mark.parametrize("name", ["raw", "elfcore", "lime", "avml", "kdump"])
def test_sources_keep_the_contract(tmp_path, sandbox, name):
    path = tmp_path / "memory"
    FILES[name](path)
    starts = {"raw": (0, 60 * PAGE), "kdump": (0, 60 * PAGE), "elfcore": (0x100000, 0x900000)}.get(
        name, (0x9000, 1 << 33)
    )
    numbers = [(starts[0], range(60)), (starts[1], range(60, 100))]
    expected = {start + place * PAGE: CONTENTS[number] for start, part in numbers for place, number in enumerate(part)}
    check_source(lambda: open_target(path, sandbox), expected)


def test_a_file_in_memory_is_copied_through(tmp_path, sandbox):
    fd = os.memfd_create("ram")
    try:
        os.ftruncate(fd, 1 << 24)
        os.pwrite(fd, b"x" * 100, (5 << 20) + 7)
        os.pwrite(fd, MEMORY, 9 << 20)
        path = f"/proc/self/fd/{fd}"
        found = outcome([path], sandbox)
        assert found == outcome([path], None) and found[0]["totals"]["pages"] == 101
    finally:
        os.close(fd)
