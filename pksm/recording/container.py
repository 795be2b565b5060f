"""The container of recordings: a zip file that is only ever appended to.

Each member is complete in itself: its local header has the sizes and the CRC, so what is whole can be found by walking
from one to the next, whatever became of the process that wrote them. The directory of the zip file is written last, for
unzip and its like; nothing here reads it.
"""

import os
import struct
import sys
import zlib
from typing import Any, BinaryIO, NamedTuple

from pksm.errors import PksmError, UnsupportedError, UsageError
from pksm.sources.images import extras

extras.preload("cramjam")  # at once: a sandbox can load nothing

MOST_BYTES = 32 << 20  # of a member, as it is written and in the file
_MOST_MEMBERS = 1 << 22
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR64 = struct.Struct("<4sIQI")
_OFFSET64 = struct.Struct("<HHQ")  # the extra field of a member that begins behind 4 GiB
_SIGNATURE, _CENTRAL_SIGNATURE = b"PK\x03\x04", b"PK\x01\x02"
_VERSION, _DAY = 45, 0x21  # 1 January 1980: members have times of their own
ZLIB, ZSTD = 8, 93  # methods of the zip format
METHODS = {"zlib": ZLIB, "zstd": ZSTD}
_LEVEL = 3  # of zstd
_MODE = 0o100600 << 16
_HUGE, _MANY = 0xFFFFFFFF, 0xFFFF
_MOST_NAME = 200


class Member(NamedTuple):
    """Where a member is: its name, the CRC-32 and length of its bytes, their length in the file, its offset, the method."""

    name: str
    crc: int
    size: int
    packed: int
    offset: int
    method: int = ZLIB

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + _LOCAL.size + len(self.name) + self.packed


def check_method(name: str) -> int:
    """Return the method of a name in METHODS. Raises UsageError for another, UnsupportedError if its library is missing."""
    if name not in METHODS:
        raise UsageError(f"choose from {', '.join(METHODS)}", "compression")
    if METHODS[name] == ZSTD:
        _cramjam()
    return METHODS[name]


def _cramjam(where: str = "") -> Any:
    library = sys.modules.get("cramjam")
    if library is None:
        raise UnsupportedError(f"{where}zstd needs the package cramjam: pip install 'pksm[images]'")
    return library


def packed(name: str, data: bytes, offset: int, method: int = ZLIB) -> tuple[Member, bytes]:
    """Return a member with these bytes, to be appended at an offset, and all that is to be written."""
    assert len(data) <= MOST_BYTES and name.isascii() and len(name) <= _MOST_NAME
    if method == ZSTD:
        body = bytes(_cramjam().zstd.compress(data, _LEVEL))
    else:
        deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = deflate.compress(data) + deflate.flush()
    member = Member(name, zlib.crc32(data), len(data), len(body), offset, method)
    head = _LOCAL.pack(_SIGNATURE, _VERSION, 0, method, 0, _DAY, member.crc, member.packed, member.size, len(name), 0)
    return member, head + name.encode() + body


def directory(members: list[Member], offset: int) -> bytes:
    """Return the directory of members, to be written at an offset, which ends the file."""
    rows = [_row(member) for member in members]
    size = sum(map(len, rows))
    many, huge = len(members) >= _MANY, offset >= _HUGE or size >= _HUGE
    tail = b""
    if many or huge:
        end64 = _END64.pack(
            b"PK\x06\x06", _END64.size - 12, _VERSION, _VERSION, 0, 0, len(members), len(members), size, offset
        )
        tail = end64 + _LOCATOR64.pack(b"PK\x06\x07", 0, offset + size, 1)
    count = min(len(members), _MANY)
    tail += _END.pack(b"PK\x05\x06", 0, 0, count, count, min(size, _HUGE), min(offset, _HUGE), 0)
    return b"".join(rows) + tail


def _row(member: Member) -> bytes:
    extra = _OFFSET64.pack(1, 8, member.offset) if member.offset >= _HUGE else b""
    return (
        _CENTRAL.pack(
            _CENTRAL_SIGNATURE, 3 << 8 | _VERSION, _VERSION, 0, member.method, 0, _DAY, member.crc, member.packed,
            member.size, len(member.name), len(extra), 0, 0, 0, _MODE, min(member.offset, _HUGE),
        )
        + member.name.encode()
        + extra
    )  # fmt: skip


def walk(file: BinaryIO) -> tuple[list[Member], bool]:
    """Return the members that lie whole in a file, one behind the other, and whether a directory follows the last."""
    end, members, at = file.seek(0, os.SEEK_END), list[Member](), 0
    while len(members) < _MOST_MEMBERS:
        file.seek(at)
        head = file.read(_LOCAL.size + _MOST_NAME)
        if head.startswith(_CENTRAL_SIGNATURE) or (head.startswith(b"PK\x05\x06") and members):
            return members, _is_directory(file, members, at, end)
        member = _member(head, at)
        if member is None or member.end > end:
            break
        members.append(member)
        at = member.end
    return members, False


def _is_directory(file: BinaryIO, members: list[Member], at: int, end: int) -> bool:
    """Return whether the rest of the file is the directory of these members."""
    expected = directory(members, at)
    if len(expected) != end - at:
        return False
    file.seek(at)
    return file.read(len(expected)) == expected


def _member(head: bytes, at: int) -> Member | None:
    if len(head) < _LOCAL.size or not head.startswith(_SIGNATURE):
        return None
    _, _, flags, method, _, _, crc, n_packed, size, n_name, n_extra = _LOCAL.unpack_from(head)
    name = head[_LOCAL.size : _LOCAL.size + n_name]
    plain = n_name <= _MOST_NAME and len(name) == n_name and name.isascii() and name.decode("ascii").isprintable()
    if flags or method not in METHODS.values() or n_extra or not plain or max(size, n_packed) > MOST_BYTES:
        return None
    return Member(name.decode("ascii"), crc, size, n_packed, at, method)


def unpacked(file: BinaryIO, member: Member, where: str) -> bytes:
    """Return the bytes of a member.

    Raises:
        PksmError: they are not what its header says; the message names `where`.
        UnsupportedError: the library that unpacks them is missing.
    """
    file.seek(member.end - member.packed)
    body = file.read(member.packed)
    if member.method == ZSTD:
        data = _unzstd(_cramjam(f"{where}: "), body, member.size)
    else:
        data = _inflated(body, member.size)
    if data is None or len(data) != member.size or zlib.crc32(data) != member.crc:
        raise PksmError(f"{where}: {member.name} is damaged")
    return data


def _inflated(body: bytes, size: int) -> bytes | None:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflate.decompress(body, size + 1)
    except zlib.error:
        return None
    return data if inflate.eof and not inflate.unused_data else None


def _unzstd(library: Any, body: bytes, size: int) -> bytes | None:
    data = bytearray(size)
    try:
        n_bytes = library.zstd.decompress_into(body, data)
    except library.DecompressionError:  # more than that, too
        return None
    return bytes(data) if n_bytes == size else None
