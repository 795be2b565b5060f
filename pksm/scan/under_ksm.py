"""KSM's own answer to what was found, and what merging within parts alone saves.

At rest KSM tracks every mapping that has opted in by a record of 64 bytes, and keeps a stable page for each
max_page_sharing mappings of a content. A page that is mapped by several processes since a fork is one frame and several
mappings: merging frees frames, and KSM's files count mappings.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pksm.arrays import BoolArray, I64Array, Pages, U32Array
from pksm.documents import KsmAnswer, KsmProcess, UnderKsm, WithinRow
from pksm.policies.ksmd.counters import ITEM_BYTES, STABLE_NODE_BYTES
from pksm.policies.ksmd.tunables import KsmTunables
from pksm.protocols import NO_FRAME, ZERO_FRAME
from pksm.scan.gather import Gathered, Taken
from pksm.scan.settings import Settings
from pksm.scan.unmerged import Unmerged

_DEFAULTS = KsmTunables()


@dataclass(frozen=True)
class Limits:
    """How KSM merges. max_page_sharing: 0 for no limit; by_zero: empty pages go to the zero page."""

    max_page_sharing: int
    by_zero: bool


def answers_to(settings: Settings) -> bool:
    """Return whether KSM is the policy of a scan."""
    return isinstance(settings.choice.settings, KsmTunables)


def answers(before: Unmerged, settings: Settings) -> UnderKsm | None:
    """Return KSM's answer, if it is the policy.

    Args:
        before: what was read, as it would be had KSM merged nothing.
        settings: of the scan.
    """
    chosen = settings.choice.settings
    if not isinstance(chosen, KsmTunables):
        return None
    limits = Limits(chosen.max_page_sharing, bool(chosen.use_zero_pages))
    opted_in, everything = (
        answer(before.gathered, before.contents, limits, settings.page_bytes, only, before.merged)
        for only in (True, False)
    )
    return {
        "max_page_sharing": chosen.max_page_sharing,
        "use_zero_pages": chosen.use_zero_pages,
        "opted_in": opted_in,
        "if_all": everything,
    }


def within(gathered: Gathered, contents: Pages, settings: Settings, name: str) -> WithinRow:
    """Return what merging within such parts alone saves. name: one of settings.WITHIN."""
    chosen = settings.choice.settings
    chosen = chosen if isinstance(chosen, KsmTunables) else _DEFAULTS.with_(use_zero_pages=1)
    limits = Limits(chosen.max_page_sharing, bool(chosen.use_zero_pages))
    return within_limits(gathered, contents, limits, settings.page_bytes, name)


def within_limits(gathered: Gathered, contents: Pages, limits: Limits, page_size: int, name: str) -> WithinRow:
    """Return what merging within such parts alone saves, with KSM's limits."""
    parts = parts_of(gathered, name)
    seen = np.zeros(len(contents), bool)
    all_groups = [_Groups(_mappings(members, contents), limits, seen) for members in parts]
    saved = sum(groups.frames_saved for groups in all_groups)
    records = sum(groups.metadata_bytes for groups in all_groups)
    return {
        "within": name,
        "parts": len(parts),
        "saving_pages": sum(groups.exact_saving for groups in all_groups),
        "ksm_frames_saved": saved,
        "ksm_net_bytes": saved * page_size - records,
    }


def parts_of(gathered: Gathered, name: str) -> list[list[Taken]]:
    """Return the sources by the parts that they are in. name: one of settings.WITHIN."""
    parts: dict[object, list[Taken]] = {}
    for place, taken in enumerate(gathered.taken):
        parts.setdefault(part_of(taken.facts, place, name), []).append(taken)
    return list(parts.values())


def net_bytes_of(taken: Iterable[Taken], contents: Pages, limits: Limits, page_size: int) -> int:
    """Return the bytes that KSM saves in some sources, without the others, less its records."""
    groups = _Groups(_mappings(taken, contents), limits)
    return groups.frames_saved * page_size - groups.metadata_bytes


def part_of(facts: Mapping[str, Any], place: int, name: str) -> object:
    """Return which part a source is in. An image is a guest of its own; processes that are none are the host's.

    Args:
        facts: about the source.
        place: its number.
        name: one of settings.WITHIN.
    """
    if name == "all":
        return "all"
    if name == "process" or "pid" not in facts:
        return place
    return facts.get(name) or ("the host" if name == "vm" else place)


@dataclass(frozen=True)
class _Mapped:
    """Mappings of some sources: pages and their contents, and zero pages without bytes."""

    pages: Pages
    contents: Pages
    zero: int


def _mappings(taken: Iterable[Taken], contents: Pages, opted_in_only: bool = False) -> _Mapped:
    pages, zero = [np.empty(0, np.uint32)], 0
    for one in taken:
        mapped = one.mapped.take(0, len(one.mapped))
        reached = contents[mapped] != NO_FRAME
        allowed = np.array([value is not False or not opted_in_only for value in one.opted_in], bool)
        if not allowed.all() and len(mapped):
            reached &= allowed[_mapping_of(one, len(mapped))]
        pages.append(mapped[reached])
        zero += sum(count for count, may in zip(one.zero_of, allowed.tolist(), strict=True) if may)
    together = np.concatenate(pages)
    return _Mapped(together, contents[together], zero)


def _mapping_of(taken: Taken, n: int) -> U32Array:
    """Return the mapping of each position."""
    lengths = np.diff(np.append(taken.starts, n))
    return np.repeat(taken.segments, lengths)


class _Groups:
    """Mappings by content, merged as KSM does.

    Attributes:
        frames_saved, exact_saving: frames that KSM frees, and that merging all equal pages would.
        items, shared, sharing, zero: mappings that are tracked, stable pages, mappings on them beyond the first of
            each, and mappings of the zero page.
    """

    def __init__(
        self, mapped: _Mapped, limits: Limits, seen: BoolArray | None = None, merged: BoolArray | None = None
    ) -> None:
        """seen: pages that count no more as frames, for another part has them, too; those of this one are added. merged:
        as of answer()."""
        frames = np.unique(mapped.pages, return_index=True)[1]
        if seen is not None:
            frames = frames[~seen[mapped.pages[frames]]]
            seen[mapped.pages[frames]] = True
        self.values, mappings = np.unique(mapped.contents, return_counts=True)
        frames_of = np.bincount(np.searchsorted(self.values, mapped.contents[frames]), minlength=len(self.values))
        mappings, frames_of = mappings.astype(np.int64), frames_of.astype(np.int64)
        if mapped.zero:
            self.values, mappings, frames_of = _with_zero(self.values, mappings, frames_of, mapped.zero)
        self.is_zero = self.values == ZERO_FRAME
        by_zero = self.is_zero & limits.by_zero
        merges = frames_of > 1
        if merged is not None:
            merges[np.searchsorted(self.values, mapped.contents[merged[mapped.pages]])] = True
        self.merges: BoolArray = merges & ~by_zero
        copies = np.ones(len(mappings), np.int64)
        if limits.max_page_sharing:
            copies = -(-mappings // limits.max_page_sharing)
            alone = mappings % limits.max_page_sharing == 1  # the last one finds no page to hang on, and no other
        else:
            alone = np.zeros(len(mappings), bool)
        copies = np.minimum(copies, np.maximum(frames_of, 1))
        self.zero = int(mappings[by_zero].sum())
        self.items = int(mappings.sum()) - self.zero
        self.shared = int((copies - alone)[self.merges].sum())
        self.sharing = int((mappings - copies)[self.merges].sum())
        self.frames_saved = int((frames_of - copies)[self.merges].sum() + frames_of[by_zero].sum())
        self.exact_saving = int(np.maximum(frames_of - 1 + self.is_zero, 0).sum())

    @property
    def metadata_bytes(self) -> int:
        """Bytes of KSM's records."""
        return ITEM_BYTES * self.items + STABLE_NODE_BYTES * self.shared


def _with_zero(values: Pages, mappings: I64Array, frames: I64Array, zero: int) -> tuple[Pages, I64Array, I64Array]:
    """Return the columns with so many more zero pages, each a frame of its own."""
    at = int(np.searchsorted(values, ZERO_FRAME))
    if at == len(values) or values[at] != ZERO_FRAME:
        values = np.insert(values, at, np.uint32(ZERO_FRAME))
        mappings, frames = np.insert(mappings, at, 0), np.insert(frames, at, 0)
    mappings[at] += zero
    frames[at] += zero
    return values, mappings, frames


def answer(
    gathered: Gathered,
    contents: Pages,
    limits: Limits,
    page_size: int,
    opted_in_only: bool,
    merged: BoolArray | None = None,
) -> KsmAnswer:
    """Return what KSM's files would show at rest.

    Args:
        gathered: what was read.
        contents: the column that distinguishes contents.
        limits: how KSM merges.
        page_size: bytes.
        opted_in_only: only mappings that have opted in; else as if all had.
        merged: which pages are frames on which the kernel's KSM has merged some already, by page number; None: none are.
    """
    groups = _Groups(_mappings(gathered.taken, contents, opted_in_only), limits, merged=merged)
    merging = np.zeros(len(contents), bool)
    kept = groups.values[groups.merges & ~groups.is_zero]
    merging[kept] = True
    zero_merges = bool((groups.merges & groups.is_zero).any())
    rows = [
        _process(one, _mappings([one], contents, opted_in_only), merging, zero_merges, limits, page_size)
        for one in gathered.taken
    ]
    return {
        "rmap_items": groups.items,
        "pages_shared": groups.shared,
        "pages_sharing": groups.sharing,
        "ksm_zero_pages": groups.zero,
        "general_profit": (groups.sharing + groups.zero) * page_size - ITEM_BYTES * groups.items,
        "frames_saved": groups.frames_saved,
        "net_bytes": groups.frames_saved * page_size - groups.metadata_bytes,
        "processes": rows,
    }


def _process(
    taken: Taken, mapped: _Mapped, merging: BoolArray, zero_merges: bool, limits: Limits, page_size: int
) -> KsmProcess:
    is_zero = mapped.contents == ZERO_FRAME
    n_zero = int(np.count_nonzero(is_zero)) + mapped.zero
    by_zero = n_zero if limits.by_zero else 0
    merged = int(np.count_nonzero(merging[mapped.contents[~is_zero]])) + (n_zero if zero_merges else 0)
    items = len(mapped.pages) + mapped.zero - by_zero
    row: KsmProcess = {
        "name": taken.name,
        "ksm_rmap_items": items,
        "ksm_merging_pages": merged,
        "ksm_zero_pages": by_zero,
        "ksm_process_profit": (merged + by_zero) * page_size - ITEM_BYTES * items,
    }
    if "pid" in taken.facts:
        row["pid"] = taken.facts["pid"]
    return row
