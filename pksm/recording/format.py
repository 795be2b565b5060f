"""Segments of a recording: blocks of events as bytes, column by column, and back.

    u32       bytes of the header
    header    JSON, UTF-8: {"fresh": id, "blocks": [[ms, space, [operation, ...], events], ...]}
    kinds     u8 for each event
    pages     u64 for each event: its distance from the event before, in a block's first from page 0
    contents  u32 for each event that has one: 0 for the next fresh id, else the id and 1

Numbers are little-endian. Columns of wider ones are shuffled: first the lowest bytes of all, then the next ones. Fresh
ids count up from `fresh`, one for each 0. The container deflates all of it.
"""

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from pksm.arrays import AnyArray, U8Array, U32Array, U64Array
from pksm.errors import PksmError
from pksm.recording.events import MOST_MS, MOST_SPACES, PAGE_LIMIT, WITH_CONTENT, Block, Kind, Operation, fault_of

MOST_EVENTS = 1 << 19  # in a segment
MOST_HEADER = 1 << 20  # bytes
_LENGTH = struct.Struct("<I")


def header_of(block: Block, n_events: int) -> list[Any]:
    """Return the entry of a block in a segment's header."""
    return [block.ms, block.space, [list(operation) for operation in block.operations], n_events]


def written(blocks: Sequence[Block], fresh: int) -> tuple[bytes, int]:
    """Return a segment of blocks, and the next fresh id behind it.

    blocks: of MOST_EVENTS at most, with headers of MOST_HEADER bytes; fresh: the next fresh id before it.
    """
    entries = [header_of(block, len(block.pages)) for block in blocks]
    header = json.dumps({"fresh": fresh, "blocks": entries}, separators=(",", ":")).encode()
    pages = np.concatenate([np.empty(0, np.uint64), *(np.diff(block.pages, prepend=np.uint64(0)) for block in blocks)])
    kinds = np.concatenate([np.empty(0, np.uint8), *(block.kinds for block in blocks)])
    contents = np.concatenate([np.empty(0, np.uint32), *(block.contents for block in blocks)])
    codes, n_fresh = _codes_of(contents, fresh)
    parts = [_LENGTH.pack(len(header)), header, kinds.tobytes(), _shuffled(pages), _shuffled(codes)]
    return b"".join(parts), fresh + n_fresh


def _codes_of(contents: U32Array, fresh: int) -> tuple[U32Array, int]:
    """Return the codes of content ids, and how many of them are fresh."""
    highest = np.maximum.accumulate(np.append(fresh - 1, contents.astype(np.int64)))[:-1]
    skips = np.flatnonzero(contents > highest + 1)
    is_fresh = contents == highest + 1
    is_fresh[skips[0] if len(skips) else len(contents) :] = False  # from there on, ids do not come in their order
    return np.where(is_fresh, 0, contents + np.uint32(1)).astype(np.uint32), int(np.count_nonzero(is_fresh))


def _shuffled(column: U64Array | U32Array) -> bytes:
    rows = np.ascontiguousarray(column).view(np.uint8).reshape(-1, column.itemsize)
    return rows.T.tobytes()


def _unshuffled(data: memoryview, dtype: type, count: int) -> AnyArray:
    planes = np.frombuffer(data, np.uint8).reshape(np.dtype(dtype).itemsize, count)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(count)


def read(data: bytes, where: str) -> list[Block]:
    """Return the blocks of a segment. PksmError, which names `where`, if it is not sound."""
    try:
        return _read(memoryview(data))
    except (ValueError, LookupError, TypeError, AssertionError, RecursionError, struct.error, OverflowError) as error:
        raise PksmError(f"{where}: not a sound segment of a recording: {error or type(error).__name__}") from None


def _read(data: memoryview) -> list[Block]:
    (n_header,) = _LENGTH.unpack_from(data)
    assert n_header <= min(MOST_HEADER, len(data) - _LENGTH.size), "its header is too long"
    rest = data[_LENGTH.size + n_header :]
    header = json.loads(str(data[_LENGTH.size : _LENGTH.size + n_header], "utf-8"))
    assert isinstance(header, dict) and isinstance(header["blocks"], list), "its header is not one"
    fresh = _whole(header["fresh"], 1 << 32)
    entries = [_entry(entry) for entry in header["blocks"]]
    n_events = sum(entry[3] for entry in entries)
    assert n_events <= MOST_EVENTS and n_events * 9 <= len(rest), "there are fewer events than it says"
    kinds: U8Array = np.frombuffer(rest[:n_events], np.uint8).copy()
    assert not len(kinds) or int(kinds.max()) < len(Kind), "an event of no known kind"
    with_content = WITH_CONTENT[kinds]
    n_contents = int(np.count_nonzero(with_content))
    assert len(rest) == n_events * 9 + n_contents * 4, "its columns are not as long as they should be"
    deltas = _unshuffled(rest[n_events : n_events * 9], np.uint64, n_events)
    contents = _ids_of(_unshuffled(rest[n_events * 9 :], np.uint32, n_contents), fresh)
    assert not len(deltas) or int(deltas.max()) < PAGE_LIMIT, "a page number beyond all memory"
    return _blocks(entries, kinds, deltas, contents, np.append(0, np.cumsum(with_content)))


def _blocks(
    entries: list[tuple[int, int, tuple[Operation, ...], int]],
    kinds: U8Array,
    deltas: U64Array,
    contents: U32Array,
    reached: AnyArray,
) -> list[Block]:
    blocks, at, before = [], 0, 0
    for ms, space, operations, n in entries:
        assert ms >= before, "time goes back"
        pages = np.cumsum(deltas[at : at + n], dtype=np.uint64)
        assert not n or int(pages.max()) < PAGE_LIMIT, "a page number beyond all memory"
        assert (deltas[at + 1 : at + n] != 0).all() or _distinct(deltas[at : at + n], kinds[at : at + n]), (
            "events of one page are out of order"
        )
        part = contents[reached[at] : reached[at + n]]
        blocks.append(Block(ms, space, operations, pages, kinds[at : at + n], part))
        at, before = at + n, ms
    return blocks


def _distinct(deltas: U64Array, kinds: U8Array) -> bool:
    """Return whether events of one page are in the order of their kinds."""
    again = np.flatnonzero(deltas[1:] == 0) + 1
    return bool((kinds[again] > kinds[again - 1]).all())


def _ids_of(codes: U32Array, fresh: int) -> U32Array:
    is_fresh = codes == 0
    ids = np.where(is_fresh, np.cumsum(is_fresh) + (fresh - 1), codes.astype(np.int64) - 1)
    assert not len(ids) or int(ids.max()) < 1 << 32, "a content beyond all ids"
    return ids.astype(np.uint32)


def _entry(entry: Any) -> tuple[int, int, tuple[Operation, ...], int]:
    ms, space, operations, n_events = entry
    assert isinstance(operations, list), "operations are a list"
    found = tuple(tuple(operation) for operation in operations)
    for operation in found:
        fault = fault_of(operation)
        assert not fault, fault
    return _whole(ms, MOST_MS), _whole(space, MOST_SPACES), found, _whole(n_events, MOST_EVENTS + 1)


def _whole(value: Any, limit: int) -> int:
    assert type(value) is int and 0 <= value < limit, "a number that cannot be"
    return value
