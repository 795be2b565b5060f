"""uksm's state: what it is made of, and how one that goes on is made of it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from pksm.engine import native
from pksm.engine.memory import grown
from pksm.engine.state import State, below, column, number
from pksm.policies.base import replace_engine
from pksm.policies.uksm import governors
from pksm.policies.uksm.ladder import Rung
from pksm.policies.uksm.slots import Slot, Slots
from pksm.policies.uksm.spec import UksmSettings
from pksm.policies.uksm.strength import MOST_STEP, PRE_STILL, STAY, Strength
from pksm.policies.uksm.tables import Tables
from pksm.protocols import VmaHost

_NUMBERS = (
    *("quarters", "page_ns", "eval_round", "sleep_times", "_scanned", "_sleep_ms", "_pause_ms"),
    *("_virtual", "_hashed_before", "_pte_changes", "_pending"),
)
_LONGEST_MS, _MOST_MEAN_NS = 1 << 32, 2 * governors.MOST_PAGE_NS
_BOUNDS = {  # of numbers that anything is divided or multiplied by
    "page_ns": (1, _MOST_MEAN_NS),
    "_sleep_ms": (0, _LONGEST_MS),
    "_pause_ms": (0, _LONGEST_MS),
    "_virtual": (-(1 << 62), 1 << 62),
    "_pte_changes": (-1, 1 << 62),
}
_OF_RUNG = ("current", "offset", "step", "quota", "finished", "raw_ratio", "pages", "n")
_OF_SLOT = tuple(one.name for one in fields(Slot) if one.name != "key")
_BY_NUMBER = ("mm", "first")
_LEAST = -(1 << 62)
_MOST_STRIDE = 1 << 40


def state_of(daemon: Any) -> State:
    """Return a Uksm's state."""
    tables, slots = daemon._tables, daemon.slots
    random = daemon._course._random.bit_generator.state
    return {
        "policy": "uksm",
        "page_size": daemon._host.store.page_size,
        "tunables": daemon._tunables.as_dict(),
        "words": tables._words.copy(),
        "random": [
            str(random["state"]["state"]),
            str(random["state"]["inc"]),
            random["has_uint32"],
            random["uinteger"],
        ],
        "cost": daemon.cost.state(),
        "items": tables.items.state(),
        "work": tables.work.copy(),
        "spare": tables._spare[: int(tables.work["n_spare"][0])].copy(),
        "kept_of_page": tables.kept_of_page.copy(),
        "heads": [tree.heads.copy() for tree in tables.trees],
        "in_trees": [len(tree) for tree in tables.trees],
        "strength": {name: int(value) for name, value in vars(tables.strength).items()},
        "permutation": slots.permutation[: slots._top].copy(),
        "item_at": slots.item_at[: slots._top].copy(),
        "by_number": [getattr(slots, name).copy() for name in _BY_NUMBER],
        "joined": [[kept.copy(), slot, step] for kept, slot, step in daemon._judge._joined],
        "numbers": list(slots._numbers),
        "bases": [[n, *bases] for n, bases in slots._spare.items()],
        "slots": [[list(key), *(getattr(one, name) for name in _OF_SLOT)] for key, one in slots.by_key.items()],
        "rungs": [
            [*(int(getattr(rung, name)) for name in _OF_RUNG), *(one.number if one else 0 for one in rung.slots)]
            for rung in daemon.rungs
        ],
        **{name: int(getattr(daemon, name)) for name in _NUMBERS},
    }


def resumed(cls: type[Any], host: VmaHost, state: State) -> Any:
    """Return a Uksm of this class that goes on from a state."""
    page_size = host.store.page_size
    assert state["policy"] == "uksm", f"it is one of {state['policy']}"
    assert state["page_size"] == page_size, f"its pages have {state['page_size']} bytes, and the host's {page_size}"
    words = column(state["words"], np.uint32).copy()
    assert np.array_equal(np.sort(words), np.arange(page_size // 4)), "its hash takes other words than there are"
    tunables = UksmSettings(**state["tunables"] | {"quirks": frozenset(state["tunables"]["quirks"])})
    replace_engine(host)
    daemon = cls(host, tunables, words=words)
    pcg, inc, has_uint32, uinteger = state["random"]
    daemon._course._random.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": int(pcg), "inc": int(inc)},
        "has_uint32": number(has_uint32, 0, 1),
        "uinteger": number(uinteger),
    }
    _restore_tables(daemon._tables, state, host.store.n_pages)
    by_number = _restore_slots(daemon.slots, state)
    below(daemon._tables.column("slot"), len(daemon.slots.mm))
    top = daemon._tables.items._top
    below(daemon.slots.item_at, top)
    daemon._judge._joined = [
        (below(column(kept, np.uint32), top), number(slot, 0, len(daemon.slots.mm) - 1), number(step, 1, _MOST_STRIDE))
        for kept, slot, step in state["joined"]
    ]
    for name in _NUMBERS:
        setattr(daemon, name, number(state[name], *_BOUNDS.get(name, (0,))))
    for rung, row in zip(daemon.rungs, state["rungs"], strict=True):
        most = governors.quota(daemon._sleep_ms, rung.ratio, daemon.page_ns)
        _restore_rung(rung, row, by_number, most)
    assert sum(rung.n for rung in daemon.rungs) == len(by_number), "a slot is on no rung"
    daemon._pending = bool(daemon._pending)
    daemon.cost.restore(state["cost"])
    daemon.check()
    return daemon


def _restore_rung(rung: Rung, row: Any, by_number: dict[int, Slot], most: int) -> None:
    """Be what a row says of a rung. most: the quota that its settings come to."""
    values, places = row[: len(_OF_RUNG)], row[len(_OF_RUNG) :]
    for name, value in zip(_OF_RUNG, values, strict=True):
        setattr(rung, name, type(getattr(rung, name))(number(value)))
    rung.slots = [by_number[number(one)] if one else None for one in places]
    there = {place: slot for place, slot in enumerate(rung.slots) if slot}
    assert 1 <= rung.step <= _MOST_STRIDE, "a stride leads nowhere"
    assert rung.quota <= most, "a rung may visit more than its share"
    assert not there or rung.current in there, "a rung goes on with no slot"
    right = all((slot.rung, slot.place) == (rung.number, place) for place, slot in there.items())
    assert right, "a slot is on another rung than it knows"


def _restore_strength(strength: Strength, state: State) -> None:
    bounds = {"state": (0, PRE_STILL), "step": (0, MOST_STEP), "before": (0, STAY), "words": (1, strength.most)}
    assert state.keys() == vars(strength).keys(), "its strength has other parts"
    assert state["most"] == strength.most, "its highest strength is another"
    for name, value in state.items():
        setattr(strength, name, number(value, *bounds.get(name, (0,))))


def _restore_tables(tables: Tables, state: State, n_pages: int) -> None:
    tables.items.restore(state["items"])
    top = tables.items._top
    below(tables.items.page, max(1, n_pages))
    tables.work[:] = column(state["work"], native.UKSM_WORK)
    spare = below(column(state["spare"], np.uint32), top)
    assert len(spare) == int(tables.work["n_spare"][0]) and not tables.work["n_freed"][0], "ids are lost"
    tables._spare = grown(spare, max(1, len(spare)))
    tables.kept_of_page = below(column(state["kept_of_page"], np.uint32), top).copy()
    _restore_strength(tables.strength, state["strength"])
    tables.trees = [tables._buckets(len(heads)) for heads in state["heads"]]
    assert len(tables.trees) == 4, "there are four trees"
    for tree, heads, n in zip(tables.trees, state["heads"], state["in_trees"], strict=True):
        tree.heads[:] = below(column(heads, np.uint32), top)
        tree.c.n_items = number(n, 0, top)
    tables.set_hash()
    tables._viewed = None


def _restore_slots(slots: Slots, state: State) -> dict[int, Slot]:
    """Return the slots by number."""
    permutation, items = column(state["permutation"], np.uint32), column(state["item_at"], np.uint32)
    assert len(permutation) == len(items), "entries are lost"
    slots._top, size = len(permutation), max(64, len(permutation))
    slots.permutation, slots.item_at = grown(permutation, size), grown(items, size)
    for name, values in zip(_BY_NUMBER, state["by_number"], strict=True):
        setattr(slots, name, column(values, np.int64).copy())
    n = len(slots.mm)
    assert n == len(slots.first) > 0, "slots are lost"
    slots._numbers = [number(one, 1, n - 1) for one in state["numbers"]]
    slots._spare = {number(length): [number(base) for base in bases] for length, *bases in state["bases"]}
    slots.by_key = {}
    for key, *values in state["slots"]:
        born, first, pages = (number(one, _LEAST) for one in key)
        one = Slot(
            **dict(zip(_OF_SLOT, (number(value, -1) for value in values), strict=True)), key=(born, first, pages)
        )
        assert 0 < one.number < n and 0 <= one.base <= slots._top - one.n and one.n > 0, "a slot is nowhere"
        own = (one.first, one.n) == (first, pages) == (slots.first[one.number], pages)
        assert own and one.mm == slots.mm[one.number], "a slot is of another vma"
        below(permutation[one.base : one.base + one.n], one.n)
        slots.by_key[one.key] = one
    by_number = {one.number: one for one in slots.by_key.values()}
    taken = [*by_number, *slots._numbers]
    assert len(by_number) == len(slots.by_key) and len(set(taken)) == len(taken), "slots share a number"
    spare = [(base, length) for length, bases in slots._spare.items() for base in bases]
    parts = sorted([*((one.base, one.n) for one in by_number.values()), *spare])
    ends = [0, *(base + length for base, length in parts)]
    assert all(end <= base for end, (base, _) in zip(ends, parts, strict=False)), "slots share entries"
    assert ends[-1] <= slots._top, "entries are lost"
    return by_number
