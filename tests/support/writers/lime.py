"""LiME images, and AVML's compressed form of them."""

import struct

import cramjam


def header(start, size, magic=b"EMiL", version=1):
    """One header; `size` in bytes, the end it holds is the last address."""
    return struct.pack("<4sIQQQ", magic, version, start, start + size - 1, 0)


def lime(ranges):
    """An image of ranges [(address, bytes)]."""
    return b"".join(header(start, len(data)) + data for start, data in ranges)


def avml(ranges, skip_zero_blocks=False):
    """The same compressed, in blocks of at most 16 MiB; AVML leaves out those that are all zero."""
    parts = []
    for start, data in ranges:
        for at in range(0, len(data), 16 << 20):
            block = data[at : at + (16 << 20)]
            if skip_zero_blocks and not any(block):
                continue
            stream = bytes(cramjam.snappy.compress(block))
            parts += [header(start + at, len(block), b"AVML", 2), stream, struct.pack("<Q", len(stream))]
    return b"".join(parts)
