"""Headers of images changed at random: whatever comes of it is an error of ours or sane runs, within time and memory.

Fingerprints are scanned, for their tables hold what the report is made of.

The default profile tries fewer changes than `--hypothesis-profile=long`, which has TRIES for each kind of image.
A single change that failed is tried again with: python tests/sources/images/test_reader_mutations_property.py KIND NUMBER
"""

import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from support.hostile_files import check, check_fingerprints  # noqa: E402
from support.writers import elf, kdump, lime, programs  # noqa: E402
from support.writers.fingerprints import fingerprints, sealed, table_bytes, with_table  # noqa: E402

KINDS = ("core", "guest", "lime", "avml", "kdump", "flattened", "fingerprints")
TRIES = 20_000
# pyelftools takes 2 ms to read the headers of one core, and what QEMU flattens is large.
QUICK_TRIES = {
    "core": 2_000,
    "guest": 2_000,
    "lime": 5_000,
    "avml": 5_000,
    "kdump": 4_000,
    "flattened": 2_000,
    "fingerprints": 1_000,
}
MEMORY_BYTES, SECONDS = 192 << 20, 5
# What stands in the table of a file of fingerprints, where something else should.
VALUES = [None, True, -1, 0, 1, 7, 2**31, 2**52 - 1, 2**52, 2**64, 1e300, float("inf"), "", "x", "\ud800\n", [], ["x"],
          {}, {"x": 1}, {"racy": "many"}]  # fmt: skip
# Of what QEMU writes: the headers of records, and in them those of the dump and of its list of pages.
QEMU_KDUMP = [(4096, 4576), (4576, 4696), (262 << 10, 266 << 10)]
LAST = "last-change"
PAGE = 4096
FIELDS = [0, 1, 2, 4, 32, 255, 256, 4095, 4096, 4097, 1 << 15, (1 << 16) - 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1,
          1 << 32, 1 << 40, 1 << 47, 1 << 57, (1 << 62) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 4096,
          (1 << 64) - 1]  # fmt: skip


def page(number):
    return struct.pack("<Q", number) * 8 + bytes(PAGE - 64) if number else bytes(PAGE)


def text_page(number):
    return np.random.default_rng(number).integers(0, 256, PAGE, np.uint8).tobytes()


def fingerprints_of(sources):
    """Return a file of fingerprints, and where its headers are."""
    data = fingerprints(sources)
    table_end = 64 + table_bytes(data)
    return data, [(0, 64), (table_end, len(data))]


def with_changed_table(data, chance):
    """Return fingerprints with something else somewhere in their table."""
    table = json.loads(data[64 : 64 + table_bytes(data)])
    place, key = table, chance.choice(["sources", "sources", "sources", *table])
    while place[key] and isinstance(place[key], (dict, list)) and chance.random() < 0.9:
        place = place[key]
        key = chance.choice(list(place)) if isinstance(place, dict) else chance.randrange(len(place))
    if isinstance(place, dict) and chance.random() < 0.2:
        value = place.pop(key)
        if chance.random() < 0.5:
            place[chance.choice(["x", "pages", "command", "user", "name", "duplicates", "racy", "pid"])] = value
    else:
        place[key] = chance.choice(VALUES)
    return with_table(data, json.dumps(table).encode())


def images(kind, directory):
    """Yield small images of a kind: (bytes, [(start, end) of a header]); one in seven is of a real program."""
    written = list(written_images(kind, directory))
    try:
        real = [real_image(kind, directory)]
    except programs.NotHere:
        real = []
    yield from written * (6 // len(written)) + real


def real_image(kind, directory):
    """Return the beginning of an image that the kernel or QEMU made, where they can."""
    if kind == "core":
        child = subprocess.Popen([sys.executable, "-c", "input()"], cwd=directory, stdin=subprocess.PIPE)
        try:
            path, size = programs.kernel_core(child, directory), 64 << 10
        finally:
            child.kill()
            child.communicate()
        hot = [(0, 64), (64, 20 << 10)]
    elif kind in ("guest", "flattened"):
        ram = Path(directory) / "ram"
        with open(ram, "wb") as file:
            file.truncate(1 << 20)
        programs.guest_dumps(directory, ram)
        name, size, hot = ("elf", 64 << 10, [(0, 1200)]) if kind == "guest" else ("kdump", 1 << 20, QEMU_KDUMP)
        path = Path(directory) / name
    else:
        raise programs.NotHere("no program on most machines makes such images")
    with open(path, "rb") as file:
        return file.read(size), hot


def written_images(kind, directory):
    path = Path(directory) / "image"
    if kind == "fingerprints":
        facts = {"pid": 7, "command": "bash", "user": "root", "racy": 1, "frozen": False, "ksm_merged": None}
        yield fingerprints_of({"one": (facts, [1, 2, 2, 0, 9]), "two": ({}, [0, 9, 4, 4])})
        yield fingerprints_of({"one": ({**facts, "racy": None, "ksm_merged": 5}, [3]), "two": (facts, [])})
    elif kind == "core":
        base = 0x5555_0000_0000
        mapped = [(base, base + 3 * PAGE, b"/usr/bin/one"), (base + 8 * PAGE, base + 9 * PAGE, b"/dev/zero (deleted)")]
        notes = elf.nt_file(mapped) + elf.nt_auxv({25: 0x7FFF_0000_0100, 33: 0x7FFF_8000_0000})
        segments = [(base, [page(1)], 3, elf.R), (base + 8 * PAGE, [page(2)], 1, elf.R | elf.W),
                    (base + 16 * PAGE, [page(3), None, page(4)], 3, elf.R | elf.W), (base + 32 * PAGE, [], 4, 0),
                    (0x7FFF_0000_0000, [None, page(5)], 2, elf.R | elf.W)]  # fmt: skip
        for align in (PAGE, 1):
            elf.write_core(path, segments, notes, align)
            data = path.read_bytes()
            yield data, [(0, 64 + 56 * 6 + len(notes))]
    elif kind == "guest":
        segments = [(0, [page(1), page(2)], 2, 7), (0x10000, [page(0), page(3)], 3, 7), (0xFFFC0000, [page(4)], 1, 7)]
        notes = elf.qemu_note()
        elf.write_core(path, segments, notes, 1, physical=True)
        yield path.read_bytes(), [(0, 64 + 56 * 4 + len(notes))]
    elif kind == "lime":
        ranges = [(0x1000, page(1) + page(2)), (0x9000, page(3)), (0x100000, page(0) + page(4))]
        yield lime.lime(ranges), [(0, 32), (32 + 2 * PAGE, 64 + 2 * PAGE), (64 + 3 * PAGE, 96 + 3 * PAGE)]
    elif kind == "avml":
        ranges = [(0x1000, page(1) * 20), (0x100000, page(0) + text_page(4))]
        data = lime.avml(ranges)
        second = data.index(b"AVML", 4)
        yield data, [(0, 64), (second - 8, second + 64), (len(data) - 8, len(data))]
    else:
        pages = {1: page(1), 2: kdump.ZERO, 3: text_page(3), 5: kdump.ZERO, 9: kdump.LEFT_OUT, 70: page(2)}
        for compress in (True, False):
            data = kdump.kdump(pages, compress=compress, level=31)
            hot = [(0, 16), (408, 464), (PAGE, PAGE + 104), (2 * PAGE, 2 * PAGE + 16), (3 * PAGE, 3 * PAGE + 16),
                   (4 * PAGE, 4 * PAGE + 24 * 5)]  # fmt: skip
            if kind == "flattened":
                data = kdump.flatten(data, 3000, extra=[(0, data[:PAGE])])
                hot = [(0, 32)] + [(4096 + record * 3016, 4096 + record * 3016 + 16) for record in range(7)]
            yield data, hot


def changed(data, hot, chance):
    """Return a copy of an image with one to four changes, most of them in its headers."""
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        if not data:
            break
        low, high = chance.choice(hot) if chance.random() < 0.9 else (0, len(data))
        at = min(chance.randrange(low, high), max(0, len(data) - 1))
        size = chance.choice((1, 2, 4, 4, 8, 8))
        at -= at % size if chance.random() < 0.8 else 0
        order = "little" if chance.random() < 0.9 else "big"
        what = chance.random()
        old = int.from_bytes(data[at : at + size], order)
        if what < 0.25:
            old ^= 1 << chance.randrange(8 * size)
        elif what < 0.6:
            old = chance.choice([*FIELDS, len(data), len(data) - 1])
        elif what < 0.8:
            old += chance.choice((-PAGE, -64, -8, -1, 1, 8, 64, PAGE))
        elif what < 0.9:
            old = chance.getrandbits(8 * size)
        elif what < 0.95:
            del data[chance.randrange(len(data)) :]
            continue
        elif what < 0.975:
            del data[at : at + size]
            continue
        else:
            data[at:at] = data[at : at + chance.choice((1, 8, 32, PAGE))]
            continue
        data[at : at + size] = (old % (1 << 8 * size)).to_bytes(size, order)
    return bytes(data)


def try_one(kind_images, kind, number, path, fd):
    data, hot = kind_images[number % len(kind_images)]
    chance = random.Random(f"{kind} {number}")
    if kind == "fingerprints" and number % 2:
        data = with_changed_table(data, chance)
    else:
        data = changed(data, hot, chance)
        data = sealed(data) if kind == "fingerprints" else data
    os.ftruncate(fd, 0)
    os.ftruncate(fd, len(data))
    for at in range(0, len(data), PAGE):  # pages of zeros stay holes
        block = data[at : at + PAGE]
        if block.strip(b"\0"):
            os.pwrite(fd, block, at)
    signal.alarm(SECONDS)
    try:
        look = check_fingerprints if kind == "fingerprints" else check
        return look(path) if data else "error"
    finally:
        signal.alarm(0)


def main(kind, numbers, directory):
    """Try the changes `numbers` and print what came of them; the first one that fails ends it."""
    kind_images = list(images(kind, directory))
    fd = os.memfd_create("image")
    path = f"/proc/self/fd/{fd}"
    try_one(kind_images, kind, 0, path, fd)  # loads all modules
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY_BYTES,) * 2)
    counts = {"error": 0, "runs": 0}
    last = os.open(Path(directory) / LAST, os.O_CREAT | os.O_WRONLY)
    for number in numbers:
        os.pwrite(last, b"%8d" % number, 0)
        counts[try_one(kind_images, kind, number, path, fd)] += 1
    print(json.dumps(counts))


@pytest.mark.parametrize("kind", KINDS)
def test_changed_headers(kind, tmp_path):
    tries = TRIES if settings().max_examples >= 5000 else QUICK_TRIES[kind]
    command = [sys.executable, __file__, kind, f"0-{tries}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if done.returncode:
        command[-1] = (tmp_path / LAST).read_text().strip()
        pytest.fail(f"try again with: {' '.join(command)}\nexit code {done.returncode}\n{done.stderr}")
    counts = json.loads(done.stdout)
    assert sum(counts.values()) == tries
    assert min(counts.values()) > tries // 50, f"changes that are all refused, or all harmless, prove little: {counts}"


if __name__ == "__main__":
    first, _, stop = sys.argv[2].partition("-")
    main(sys.argv[1], range(int(first), int(stop or int(first) + 1)), os.getcwd())
