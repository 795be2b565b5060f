"""The format of checkpoints: a header in JSON that names what there is, and arrays behind it. No code, no pickle.

    8 bytes   PKSMSAVE
    uint32    version of the format, 1
    uint32    CRC-32 of all that follows
    uint64    bytes of the header
    header    JSON, UTF-8: {"pksm": version, "arrays": [[kind, [length, ...]], ...], "tree": node}
    arrays    each from a multiple of 64 bytes on, in this order, to the end of the file

All numbers are little-endian. A node is null, a number, a text or true/false as JSON has it, or a list whose first entry
says what it is: ["l", node, ...] a list, ["t", node, ...] a tuple, ["d", [node, node], ...] a dict, ["a", n] array n,
["o", class, node] an object with its state, ["r", n] the n-th object once more, in the order in which objects begin.
"""

import json
import struct
import zlib
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

import pksm
from pksm.arrays import AnyArray
from pksm.engine import native
from pksm.errors import UsageError

MAGIC, VERSION = b"PKSMSAVE", 1
_FIXED = struct.Struct("<8sIIQ")
_ALIGNMENT = 64
_RECORDS = {
    "node": native.NODE,
    "trees": native.TREES,
    "cost": native.COST,
    "ksm_counts": native.KSM_COUNTS,
    "uksm_work": native.UKSM_WORK,
    "cksm_cursor": native.CKSM_CURSOR,
}
_KINDS: dict[str, np.dtype[Any]] = _RECORDS | {
    kind: np.dtype(kind if kind == "bool" else "<" + kind)
    for kind in ("bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f8")
}
_MOST_DIMENSIONS = 4


def kind_of(array: AnyArray) -> str:
    """Return the kind of an array. UsageError if there is no such kind."""
    for kind, dtype in _KINDS.items():
        if array.dtype == dtype:
            return kind
    raise UsageError(f"arrays of {array.dtype} can't be saved")


def written(tree: Any, arrays: Sequence[AnyArray]) -> list[bytes]:
    """Return the parts of a file, one behind the other."""
    rows = [[kind_of(array), list(array.shape)] for array in arrays]
    header = json.dumps({"pksm": pksm.__version__, "arrays": rows, "tree": tree}, separators=(",", ":")).encode()
    parts, at = [header], _FIXED.size + len(header)
    for array in arrays:
        gap = -at % _ALIGNMENT
        data = np.ascontiguousarray(array).tobytes()
        parts += [bytes(gap), data]
        at += gap + len(data)
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    return [_FIXED.pack(MAGIC, VERSION, crc, len(header)), *parts]


def read(data: bytes, where: str) -> tuple[Any, list[AnyArray]]:
    """Return (tree, arrays) of a file's bytes. UsageError, which names `where`, if they are not a checkpoint."""
    if not data.startswith(MAGIC):
        raise UsageError(f"{where}: not a checkpoint of pksm")
    if len(data) < _FIXED.size:
        raise UsageError(f"{where}: the checkpoint is cut short")
    _, version, crc, n_header = _FIXED.unpack_from(data)
    if version != VERSION:
        raise UsageError(f"{where}: a checkpoint of format {version}, and this pksm reads {VERSION}")
    if zlib.crc32(memoryview(data)[_FIXED.size :]) != crc or n_header > len(data) - _FIXED.size:
        raise UsageError(f"{where}: the checkpoint is damaged or cut short")
    try:
        header = json.loads(data[_FIXED.size : _FIXED.size + n_header])
        rows, tree = header["arrays"], header["tree"]
        return tree, _arrays(data, _FIXED.size + n_header, rows)
    except (ValueError, LookupError, TypeError, AssertionError, RecursionError) as error:
        raise UsageError(f"{where}: not a sound checkpoint: {error or type(error).__name__}") from None


def _arrays(data: bytes, at: int, rows: Any) -> list[AnyArray]:
    """Return the arrays that the header names, which fill the file to its end."""
    arrays = []
    for kind, shape in rows:
        dtype = _KINDS[kind]
        assert isinstance(shape, list) and len(shape) <= _MOST_DIMENSIONS
        assert all(type(length) is int and length >= 0 for length in shape), "a length is not one"
        at += -at % _ALIGNMENT
        count = prod(shape)
        assert count * dtype.itemsize <= len(data) - at, "an array ends behind the end of the file"
        array = np.frombuffer(data, dtype, count, at) if count else np.empty(0, dtype)
        if kind == "bool":  # a byte that is neither 0 nor 1 would be both true and false
            array = np.frombuffer(data, np.uint8, count, at) != 0
        arrays.append(array.reshape(shape).copy())
        at += count * dtype.itemsize
    assert at == len(data), "there is more in the file than arrays"
    return arrays
