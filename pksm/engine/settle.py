"""Settling: the rules that a batch of items goes by, its verdicts, and taking verdicts back.

A preset is data here: which stages in which order, which tree order, what happens when something does not fit. The
work itself is csrc/settle.c and stages.c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pksm.arrays import BoolArray, Ids, Pages, U8Array, U32Array
from pksm.engine import native
from pksm.engine.cost import Cost
from pksm.engine.items import ItemTable
from pksm.engine.native.trees import Answers, PackedRules
from pksm.engine.store import Store

Verdict = native.Verdict

_FLAGS = ("busy_waits", "unfit_aside", "mlock_hangs", "distrust")


@dataclass(frozen=True)
class Rules:
    """How a batch is settled.

    stages: of native.STAGES, in order of work; order: of native.ORDERS, for both trees; checksum: a native.Function, or
    something with its of(data), and then every item is summed before it is settled, and there is no distrust.
    zero_lost: a page that only looks zero to the checksum counts as merged (else it goes on).
    differ_is_success: in order `checksum`, equal checksums with other bytes count as merged (else DIFFERENT).
    stop_at_deleted: a search ends at a deleted item (else it is taken out and the search goes on).
    stop_at_unusable: a search ends at an item whose page is not anonymous (else as above).
    busy_waits: a busy page is not looked at (else only its match shows).
    unfit_aside: an unstable item that can't be merged makes room for one that can.
    mlock_hangs: merging an mlocked page into one that is not never ends.
    distrust: an unstable item that collides is summed anew, and taken out if its page has changed.
    window: searches in flight at a time, 1 to 64; in order `content` only 1 is exact while pages change.
    """

    checksum: native.AnyChecksum
    stages: tuple[str, ...] = ("zero", "stable", "unstable")
    order: str = "checksum-content"
    zero_lost: bool = False
    differ_is_success: bool = False
    stop_at_deleted: bool = False
    stop_at_unusable: bool = False
    busy_waits: bool = True
    unfit_aside: bool = False
    mlock_hangs: bool = False
    distrust: bool = True
    window: int = 32

    def pack(self, page_size: int) -> PackedRules:
        """Return the rules as the C core takes them, for pages of page_size bytes."""
        in_c = self.checksum if isinstance(self.checksum, native.Function) else None
        return native.PackedRules(
            stages=self.stages,
            order=self.order,
            checksum=in_c,
            zero_checksum=self.checksum.of(bytes(page_size)),
            zero_on_differ=native.SUCCESS if self.zero_lost else native.RETRY,
            on_differ=native.SUCCESS if self.differ_is_success else native.RETRY,
            on_stale=native.STOP if self.stop_at_deleted else native.SKIP,
            on_unusable=native.STOP if self.stop_at_unusable else native.SKIP,
            flags=[name for name in _FLAGS if getattr(self, name) and (in_c or name != "distrust")],
            window=self.window,
        )


class Part:
    """The items of a batch with one verdict, in order of arrival; uint32 each.

    positions: in the batch; ids; others: the item each verdict names (0: none); pages, other_pages: theirs.
    """

    __slots__ = ("_rows",)

    def __init__(self, rows: U32Array) -> None:
        self._rows = rows

    @property
    def positions(self) -> U32Array:
        row: U32Array = self._rows[0]
        return row

    @property
    def ids(self) -> Ids:
        row: Ids = self._rows[1]
        return row

    @property
    def others(self) -> Ids:
        row: Ids = self._rows[2]
        return row

    @property
    def pages(self) -> Pages:
        row: Pages = self._rows[3]
        return row

    @property
    def other_pages(self) -> Pages:
        row: Pages = self._rows[4]
        return row

    def __len__(self) -> int:
        columns: int = self._rows.shape[1]
        return columns

    def twice(self) -> U32Array:
        """Return ids, and once more."""
        return np.concatenate((self.ids, self.ids))

    def both_pages(self) -> U32Array:
        """Return pages, and then other_pages."""
        return self._rows[3:].ravel()

    def only(self, mask: BoolArray | None) -> Part:
        """Return those where the bool mask is set; all when it is None."""
        return self if mask is None else Part(np.ascontiguousarray(self._rows[:, mask]))


class Settled:
    """Verdicts of one batch, or of its beginning if bytes were gone.

    ids: uint32, in order of arrival, those with a verdict; verdicts: uint8 and others: uint32, the item each names (0:
    none), of these; revisit: uint32, unstable items that were taken out because their page had changed; error: the
    BusError that ended it, or None.
    """

    def __init__(self, ids: Ids, answers: Answers) -> None:
        self.ids, self._answers = ids, answers
        self._rows, self._starts = answers.rows, answers.starts
        self.revisit, self.error = answers.revisit, answers.error

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.count(verdict):,} {verdict.name}" for verdict in Verdict if self.count(verdict))
        return f"<Settled: {len(self.ids):,} items, {counts or 'none'}>"

    @property
    def verdicts(self) -> U8Array:
        return self._answers.verdicts

    @property
    def others(self) -> U32Array:
        return self._answers.others

    @property
    def all_wait(self) -> bool:
        """True if every item waits in the unstable tree: nothing is to be carried out."""
        return self._starts[Verdict.WAITING + 1] == len(self.ids)

    @property
    def only_merges(self) -> bool:
        """True if every item waits, or is to be merged."""
        return self._starts[Verdict.PAIRED + 1] == len(self.ids)

    def of(self, verdict: Verdict) -> Part:
        """Return the Part of the batch that has this verdict."""
        return Part(self._rows[:, self._starts[verdict] : self._starts[verdict + 1]])

    def count(self, verdict: Verdict) -> int:
        """Return how many items have this verdict."""
        return self._starts[verdict + 1] - self._starts[verdict]

    def named_by(self, positions: U32Array) -> U32Array:
        """Return the positions whose verdicts name an item at one of these, and so stand or fall with it."""
        return np.flatnonzero(np.isin(self.others, self.ids[positions])).astype(np.uint32)


def settle(
    store: Store,
    items: ItemTable,
    rules: PackedRules,
    ids: Ids,
    classes: U8Array | None = None,
    *,
    cost: Cost,
    ahead: native.Ahead | None = None,
) -> Settled:
    """Settle items in order of arrival and return Settled.

    store: Store; items: ItemTable; rules: native.PackedRules; ids: uint32; classes: uint8 by page number or None;
    cost: Cost, added to; ahead: sums that others make meanwhile. If bytes are gone, the Settled is short and has the error; the item that met it is in no tree.
    It is short, too, when its last verdict is HANGS.
    """
    answers = native.settle(store.view, items.table, rules, classes, ids, cost.counts, ahead)
    parts, done = [answers], answers.done
    while done < len(ids) and not answers.error and not answers.hangs:  # C stops early when `revisit` is full
        answers = native.settle(store.view, items.table, rules, classes, ids[done:], cost.counts)
        parts.append(answers)
        done += answers.done
    return joined(items, ids[:done] if done < len(ids) else ids, parts)


def joined(items: ItemTable, ids: Ids, parts: list[Answers]) -> Settled:
    """Return the Settled of these items (uint32) whose answers came in parts, one at least."""
    if len(parts) == 1:
        return Settled(ids, parts[0])
    verdicts = np.concatenate([part.verdicts for part in parts])
    others = np.concatenate([part.others for part in parts])
    revisit = np.concatenate([part.revisit for part in parts])
    return Settled(ids, native.sorted_answers(items.table, ids, verdicts, others, revisit, parts[-1].error))


def class_of(classes: U8Array | None, pages: Pages) -> U8Array:
    """Return the class of each of the pages, uint8, without the bit that says it is mlocked.

    Args:
        classes: as of a host: by page number, or None: all are native.FREE.
        pages: page numbers.
    """
    if classes is None:
        return np.zeros(len(pages), np.uint8)
    return without_mlocked(classes[pages])


def without_mlocked(classes: U8Array) -> U8Array:
    """Return classes without the bit that says a page is mlocked."""
    return classes & np.uint8(native.MLOCKED - 1)


def undo_pairs(store: Store, items: ItemTable, rules: PackedRules, pairs: Part, *, cost: Cost) -> None:
    """Take PAIRED verdicts back: the items leave the stable tree; twins that still live return to the unstable one."""
    twins = items.where(pairs.others, native.DELLIST, 0)
    native.unlink(items.table, pairs.ids)
    native.relink(store.view, items.table, rules.order, twins, cost.counts)
