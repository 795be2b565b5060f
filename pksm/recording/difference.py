"""What happened between two looks at an address space: its mappings, and its pages."""

from dataclasses import dataclass, field

import numpy as np

from pksm.arrays import BoolArray, I8Array, I64Array, U64Array
from pksm.linux.written import inside
from pksm.recording.events import MOST_NAME, Block, Kind, Operation
from pksm.recording.hashing import Snapshot
from pksm.recording.places import among, places


@dataclass
class Layout:
    """The mappings of an address space by address: page numbers of their starts and ends, names, and who opted in."""

    starts: I64Array = field(default_factory=lambda: np.empty(0, np.int64))
    ends: I64Array = field(default_factory=lambda: np.empty(0, np.int64))
    mergeable: BoolArray = field(default_factory=lambda: np.empty(0, bool))
    names: list[str] = field(default_factory=list)

    def holds(self, pages: I64Array) -> BoolArray:
        """Return which pages lie in a mapping. pages: sorted."""
        return inside(pages, np.stack([self.starts, self.ends], axis=1))

    def maps_as(self, other: "Layout") -> bool:
        """Return whether the same pages lie in mappings of the same bounds."""
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)


def mappings(old: Layout, new: Layout) -> list[Operation]:
    """Return the operations that turn one layout into the other: first what is unmapped."""
    cuts: I64Array = np.unique(np.concatenate([old.starts, old.ends, new.starts, new.ends]))
    if len(cuts) < 2:
        return []
    low, high = cuts[:-1], cuts[1:]
    (was, _), (state, which) = _at(old, low), _at(new, low)
    kept = (was != state) & ((was >= 0) | (state >= 0))
    change = np.where(state < 0, 0, np.where(was < 0, 1, 2))  # unmap, map, advise
    operations: list[list[Operation]] = [[], [], []]
    picked = np.flatnonzero(kept)
    if not len(picked):
        return []
    joined = (low[picked][1:] == high[picked][:-1]) & (change[picked][1:] == change[picked][:-1])
    joined &= (which[picked][1:] == which[picked][:-1]) | (change[picked][1:] == 0)
    heads = np.append(0, np.flatnonzero(~joined) + 1)[: len(picked)]
    tails = np.append(heads[1:], len(picked)) - 1
    for head, tail in zip(picked[heads].tolist(), picked[tails].tolist(), strict=True):  # once per mapping
        first, n = int(low[head]), int(high[tail] - low[head])
        if change[head] == 0:
            operations[0].append(("unmap", first, n))
        elif change[head] == 1:
            operations[1].append(("map", first, n, new.names[which[head]][:MOST_NAME], bool(state[head])))
        else:
            operations[2].append(("advise", first, n, bool(state[head])))
    return [*operations[0], *operations[1], *operations[2]]


def _at(layout: Layout, places: I64Array) -> tuple[I8Array, I64Array]:
    """Return (state, mapping) at these pages: -1 for not mapped, 0, 1 for opted in."""
    at = np.searchsorted(layout.starts, places, "right") - 1
    state = np.full(len(places), -1, np.int8)
    held = layout.holds(places)
    state[held] = layout.mergeable[at[held]]
    return state, np.where(held, at, -1)


@dataclass
class Seen:
    """An address space as it was seen: mappings, pages, which of them KSM has merged, and numbers of pages known written."""

    layout: Layout = field(default_factory=Layout)
    pages: Snapshot = field(default_factory=Snapshot.empty)
    merged: BoolArray = field(default_factory=lambda: np.empty(0, bool))
    written: U64Array = field(default_factory=lambda: np.empty(0, np.uint64))


def blocks(ms: int, space: int, begun: list[Operation], old: Seen, new: Seen) -> list[Block]:
    """Return what happened between two looks, as one block or two.

    Args:
        ms: the time of the second.
        space: its number.
        begun: what comes before all else: that it has started.
        old: as it was.
        new: as it is.
    """
    operations = mappings(old.layout, new.layout)
    pages, kinds, contents = _events(old, new)
    made = Block(ms, space, (*begun, *operations), pages, kinds, contents)
    gone = made.of(Kind.DEATH)
    if not gone.any() or not any(operation[0] == "unmap" for operation in operations):
        return [made] if made.operations or len(pages) else []
    first = Block(ms, space, tuple(begun), pages[gone], kinds[gone])  # pages go before what they lie in
    return [first, Block(ms, space, tuple(operations), pages[~gone], kinds[~gone], contents)]


def _events(old: Seen, new: Seen) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (pages, kinds, contents) of all that happened to pages."""
    before, after = old.pages, new.pages
    here, where, came, gone = _suspects(old, new)
    both, now, merged, was_merged = after.pages[here], after.contents[here], new.merged[here], old.merged[where]
    rewritten = now != before.contents[where]
    told = among(both, new.written) & ~rewritten & ~merged & ~was_merged
    own = moved = np.zeros(len(both), bool)
    if after.frames is not before.frames:
        frame, was_at = after.frames[here], before.frames[where]
        moved = (frame != was_at) & (frame != 0) & (was_at != 0) & ~rewritten
        own = (
            moved & after.exclusive[here] & ~before.exclusive[where] & ~merged
        )  # a copy on write that says what it said
    own = own | told
    parts = [
        (after.pages[came], Kind.BIRTH, after.contents[came]),
        (before.pages[gone], Kind.DEATH, None),
        (both[rewritten], Kind.WRITE, now[rewritten]),
        (both[own], Kind.SAME, None),
        (both[moved & ~own & ~(merged & ~was_merged)], Kind.MOVED, None),
        (after.pages[new.merged][~_was(old, after.pages[new.merged])], Kind.MERGED, None),
        (both[was_merged & ~merged], Kind.UNMERGED, None),
    ]
    pages = np.concatenate([part[0] for part in parts])
    kinds = np.repeat(np.array([part[1] for part in parts], np.uint8), [len(part[0]) for part in parts])
    contents = np.concatenate(
        [np.zeros(len(part[0]), np.uint32) if part[2] is None else part[2].astype(np.uint32) for part in parts]
    )
    if (pages[1:] <= pages[:-1]).any():  # more than writes alone
        order = np.lexsort((kinds, pages))
        pages, kinds, contents = pages[order], kinds[order], contents[order]
    return pages, kinds, contents[(kinds == Kind.BIRTH) | (kinds == Kind.WRITE)]


def _suspects(old: Seen, new: Seen) -> tuple[I64Array, I64Array, I64Array, I64Array]:
    """Return the places of all pages to which anything may have happened.

    Returns:
        (those that stay: in the new and in the old, those that came: in the new, those that have gone: in the old).
    """
    before, after = old.pages, new.pages
    none = np.empty(0, np.int64)
    if after.changed is not None and after.pages is before.pages:
        picked = after.changed
        if old.merged.any():
            picked = np.union1d(picked, np.flatnonzero(old.merged))
        return picked, picked, none, none
    at, found = places(before.pages, after.pages)
    _, stays = places(after.pages, before.pages)
    here: I64Array | slice = slice(None)
    where: I64Array | slice = here
    if not (found.all() and stays.all()):
        here, where = np.flatnonzero(found), at[found]
    differs = (after.contents[here] != before.contents[where]) | (after.frames[here] != before.frames[where])
    differs |= old.merged[where] | among(after.pages, new.written)[here]
    picked = np.flatnonzero(differs)
    if isinstance(here, slice) or isinstance(where, slice):
        return picked, picked, none, none
    return here[picked], where[picked], np.flatnonzero(~found), np.flatnonzero(~stays)


def _was(old: Seen, pages: np.ndarray) -> BoolArray:
    """Return which of these pages KSM had merged."""
    at, found = places(old.pages.pages, pages)
    was = np.zeros(len(pages), bool)
    was[found] = old.merged[at[found]]
    return was
