"""Files whose headers promise more than they hold: what they cost is bounded by what is in the file.

Each is scanned in a process of its own. PKSM_BOMBS_JSON=FILE stores what it took.
"""

import datetime
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from pksm.linux import system

from support import ROOT
from support.cli_runs import environment
from support.writers import kdump, lime
from support.writers.fingerprints import without_records as prints

BASE_MIB, BYTES_PER_BYTE = 256, 256  # of memory: so much, and so much per byte that is in the file
BASE_CPU_S, CPU_S_PER_MIB = 10, 2
STORED = os.environ.get("PKSM_BOMBS_JSON")
SOURCE = {"name": "a", "kind": "raw", "mappings": ["m"], "pages": 0, "zero_pages": 1, "zero": [1], "lost": 0, "out_of_reach": {},
          "facts": {}, "warnings": []}  # fmt: skip


def kdump_head(block, bitmap_blocks, n_frames):
    head = b"KDUMP   " + struct.pack("<i390s6x2q", 6, b"", 0, 0)
    head += struct.pack("<IiiIIIIIIi", 1, block, 1, 2 * bitmap_blocks, min(n_frames, 0xFFFFFFFF), 0, 0, 0, 0, 1)
    return head.ljust(block, b"\0") + struct.pack("<Qii10QQ", 0, 0, 0, *[0] * 10, n_frames).ljust(block, b"\0")


def one_stream_for_all(block, n):
    packed = zlib.compress(b"\1" + bytes(block - 1), 9)
    bitmap_blocks = -(-n // 8 // block) or 1
    at = (2 + 2 * bitmap_blocks) * block + 24 * n
    bitmap = (b"\xff" * (n // 8)).ljust(bitmap_blocks * block, b"\0")
    rows = struct.pack("<qIIQ", at, len(packed), 1, 0) * n
    return kdump_head(block, bitmap_blocks, n) + bitmap * 2 + rows + packed


def flattened_far_away():
    head = kdump_head(4096, (1 << 37) // 4096, 1 << 40)
    return kdump.flatten(head, 4096, extra=[(1 << 56, b"x")])


# what each promises: (bytes of the file, its length where a hole follows, page size)
BOMBS = {
    "kdump: one stream for 2,048 pages of 2 MiB": lambda: (one_stream_for_all(2 << 20, 2048), None, "2M"),
    "kdump: one stream for 500,000 pages": lambda: (one_stream_for_all(4096, 500_000), None, "4K"),
    "kdump, flattened: 2^40 frames in three records": lambda: (flattened_far_away(), None, "4K"),
    "kdump: 2^35 frames in holes": lambda: (kdump_head(4096, 1 << 20, 1 << 35), (3 << 20) << 12, "4K"),
    "raw: a hole of 8 TiB": lambda: (b"x", 1 << 43, "4K"),
    "LiME: a range of 4 TiB in a hole": lambda: (lime.header(0, 1 << 42), (1 << 42) + 32, "4K"),
    "LiME: a range of 2^62 bytes": lambda: (lime.header(0, 1 << 62) + bytes(4096), None, "4K"),
    "fingerprints: 100,000 sources": lambda: (prints({"sources": [SOURCE] * 100_000}), None, "4K"),
    "fingerprints: a name of 5,000,000 letters": lambda: (prints({"sources": [{**SOURCE, "name": "\u202e" * 5_000_000}]}),
                                                          None, "4K"),
    "fingerprints: 2^52 pages of 5,000 sources": lambda: (prints({"sources": [{**SOURCE, "zero": [(1 << 52) - 1]}] * 5_000}),
                                                          None, "4K"),
    "fingerprints: 20,000,000 brackets": lambda: (prints(b"[" * 20_000_000), None, "4K"),
}  # fmt: skip


@pytest.fixture(scope="module")
def costs():
    """Collects rows; stores them at the end."""
    rows = {}
    yield rows
    if STORED:
        revision = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
        document = {
            "schema": "pksm.bombs/1",
            "command": "PKSM_BOMBS_JSON=FILE pytest tests/faults/test_bombs.py",
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "revision": revision.stdout.strip() or None,
            "machine": system.machine(),
            "bombs": rows,
        }
        Path(STORED).write_text(json.dumps(document, indent=1) + "\n")


@pytest.mark.parametrize("name", BOMBS)
def test_what_only_a_header_promises_is_not_paid_for(costs, tmp_path, name):
    data, length, page_size = BOMBS[name]()
    path = tmp_path / "bomb"
    path.write_bytes(data)
    if length:
        try:
            os.truncate(path, length)
        except OSError:
            pytest.skip("this file system has no files of that size")
    in_file = os.stat(path).st_blocks * 512
    measured = [sys.executable, "-I", ROOT / "tests" / "support" / "measured.py"]
    command = [sys.executable, "-m", "pksm", "scan", "--page-size", page_size, "--json", path]
    done = subprocess.run(
        [*measured, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment()
    )
    code, cpu, kib = json.loads(done.stdout)
    said, mib = done.stderr, kib >> 10
    costs[name] = {"file_bytes": in_file, "exit_code": code, "cpu_seconds": round(cpu, 1), "memory_mib": mib}
    assert code in (0, 1, 3) and "Traceback" not in said, said
    assert mib <= BASE_MIB + (BYTES_PER_BYTE * in_file >> 20), said
    assert cpu <= BASE_CPU_S + CPU_S_PER_MIB * in_file / (1 << 20), said
