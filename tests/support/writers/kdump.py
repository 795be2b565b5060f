"""kdump-compressed dumps, and makedumpfile's flattened form of any file."""

import struct
import zlib

ZLIB, LZO, SNAPPY, ZSTD = 1, 2, 4, 0x20
INCOMPLETE = 8
ZERO, LEFT_OUT = "zero", "left out"


def kdump(
    pages, n_frames=None, block=4096, compress=True, level=0, status=ZLIB, version=6, split=0, flags=None,
    system=b"", machine=b"",
):  # fmt: skip
    """A dump of {page frame: bytes, ZERO or LEFT_OUT}; ZERO pages share one place in the file, as writers do it.

    flags: what every page says of its compression (the bytes stay as they are). system, machine: of its utsname.
    """
    n_frames = n_frames or max(pages) + 1
    bitmap_blocks = -(-n_frames // 8 // block) or 1
    memory, dumped = bytearray(bitmap_blocks * block), bytearray(bitmap_blocks * block)
    for frame, page in pages.items():
        memory[frame // 8] |= 1 << frame % 8
        if page is not LEFT_OUT:
            dumped[frame // 8] |= 1 << frame % 8
    stored = [pages[frame] for frame in sorted(pages) if pages[frame] is not LEFT_OUT]
    list_at = (2 + 2 * bitmap_blocks) * block
    zero_at = list_at + 24 * len(stored)
    at = zero_at + block
    rows, data = [], [bytes(block)]
    for page in stored:
        if page is ZERO:
            rows.append(struct.pack("<qIIQ", zero_at, block, 0, 0))
            continue
        packed = zlib.compress(page, 1) if compress else page
        if len(packed) >= block:
            packed, kind = page, 0
        else:
            kind = ZLIB
        rows.append(struct.pack("<qIIQ", at, len(packed), kind if flags is None else flags, 0))
        data.append(packed)
        at += len(packed)
    head = b"KDUMP   " + struct.pack("<i65s195x65s65x6x2q", version, system, machine, 0, 0)
    head += struct.pack("<IiiIIIIIIi", status, block, 1, 2 * bitmap_blocks, min(n_frames, 0xFFFFFFFF), 0, 0, 0, 0, 1)
    sub = struct.pack("<Qii10QQ", 0, level, split, *[0] * 10, n_frames)
    return b"".join([head.ljust(block, b"\0"), sub.ljust(block, b"\0"), memory, dumped, *rows, *data])


def flatten(data, record=16 << 10, order=None, extra=()):
    """The flattened form: records of at most `record` bytes in the order given, and behind them [(offset, bytes)]."""
    records = [(at, data[at : at + record]) for at in range(0, len(data), record)]
    if order is not None:
        records = [records[place] for place in order(len(records))]
    parts = [b"makedumpfile".ljust(16, b"\0") + struct.pack(">2q", 1, 1)]
    parts[0] = parts[0].ljust(4096, b"\0")
    for at, content in [*records, *extra]:
        parts.append(struct.pack(">2q", at, len(content)) + content)
    return b"".join([*parts, struct.pack(">2q", -1, -1)])
