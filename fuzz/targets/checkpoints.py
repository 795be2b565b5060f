"""Checkpoints in which somebody has changed bytes and sealed them anew: an input is a list of changes."""

import os
import struct
import tempfile
import zlib
from functools import cache

import numpy as np

from fuzz.target import Target
from pksm import checkpoints
from pksm.engine.store import Store
from pksm.errors import PksmError
from pksm.hosts.flat import FlatHost
from pksm.policies import registry

PAGE, PAGES = 64, 60
POLICIES = "uksm", "pksmd", "ksmd"
START = struct.Struct("<8sIIQ")  # magic, version, CRC32 of what follows the header's length with it, that length
CHANGE = struct.Struct("<HH")  # where, of 65536ths of the file; and what is put there
WAKES = 3


@cache
def saved(policy: str) -> bytes:
    """Return a checkpoint of a policy that has merged pages, and has others to merge."""
    host = FlatHost(Store(PAGE))
    daemon = registry.make(policy, host)
    pages = host.new(PAGES)
    contents = np.arange(PAGES, dtype=np.uint8) % 25
    host.write(pages, np.repeat(contents, PAGE).reshape(PAGES, PAGE))
    for _ in range(WAKES):
        daemon.wake()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "seed")
        checkpoints.save(path, daemon)
        with open(path, "rb") as file:
            return file.read()


def changed(data: bytes) -> bytes:
    """Return the checkpoint that an input comes to: its first byte says of which policy, the rest are changes."""
    file = bytearray(saved(POLICIES[data[0] % len(POLICIES)] if data else POLICIES[0]))
    room = len(file) - START.size - 2
    for at in range(1, len(data) - CHANGE.size + 1, CHANGE.size):
        where, value = CHANGE.unpack_from(data, at)
        struct.pack_into("<H", file, START.size + where * room // 65536, value)
    magic, version, _, n_header = START.unpack_from(file)
    START.pack_into(file, 0, magic, version, zlib.crc32(file[START.size :]), n_header)
    return bytes(file)


def check_checkpoint(data: bytes) -> None:
    """Load it; what loads is sound, and works on or stops with an error, and touches no memory but its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "input")
        with open(path, "wb") as file:
            file.write(changed(data))
        daemon = checkpoints.load(path)
    daemon.check()
    try:
        for _ in range(WAKES):
            daemon.wake()
    except (PksmError, ValueError, LookupError, AssertionError):
        return  # bytes that no check could have known to be wrong


def seeds() -> list[bytes]:
    """Make inputs that change nothing, and a little."""
    return [bytes([which]) + CHANGE.pack(where, 0) * n for which in range(3) for where, n in ((0, 0), (40000, 1))]


WORDS = [b"\0\0", b"\1\0", b"\xff\xff", b"\xfe\xff", b"\0\x80", b"99", b"-1", b"]]"]
TARGETS = {"checkpoint": Target(check_checkpoint, seeds, WORDS, 64)}
