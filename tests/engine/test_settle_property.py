"""settle in C against the model's and against brute force: verdicts, trees, flags and counters."""

import os

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from pksm import errors
from pksm.engine import native

from model import oracle
from model.checksums import xxh3_64
from model.settle import Choice, Class, Stage, Verdict
from support.twins import ORDERS, PAGE_SIZE, Twins, contents, sparse_twins, weak

STAGES = {
    "pksm": (Stage.ZERO, Stage.STABLE, Stage.UNSTABLE),
    "ksm": (Stage.UNCHANGED, Stage.ZERO, Stage.STABLE, Stage.UNSTABLE),
    "old-ksm": (Stage.STABLE, Stage.UNCHANGED, Stage.UNSTABLE),
    "unstable-only": (Stage.UNSTABLE,),
    "zero-before-unchanged": (Stage.ZERO, Stage.STABLE, Stage.UNCHANGED, Stage.UNSTABLE),
}
choices = st.fixed_dictionaries(
    {
        "zero_on_differ": st.sampled_from([Choice.RETRY, Choice.SUCCESS]),
        "on_differ": st.sampled_from([Choice.RETRY, Choice.SUCCESS]),
        "on_stale": st.sampled_from([Choice.SKIP, Choice.STOP]),
        "on_unusable": st.sampled_from([Choice.SKIP, Choice.STOP]),
        "distrust": st.booleans(),
        "busy_waits": st.booleans(),
        "unfit_aside": st.booleans(),
        "mlock_hangs": st.booleans(),
    }
)
windows = st.sampled_from([1, 2, 16, 64])
ids_or_all = st.one_of(st.none(), st.lists(st.integers(1, 25), min_size=1, max_size=40))
rounds = st.lists(
    st.fixed_dictionaries(
        {
            "write": st.dictionaries(st.integers(0, 19), st.integers(0, 7), max_size=8),  # page: which content
            "classes": st.dictionaries(st.integers(0, 19), st.sampled_from(list(Class)), max_size=5),
            "mlocked": st.lists(st.integers(0, 7), max_size=2),
            "delete": st.lists(st.integers(1, 25), max_size=3),
            "bury": st.booleans(),
            "refuse_zero": st.lists(st.integers(1, 25), max_size=1),
            "forget_checksum": st.lists(st.integers(1, 25), max_size=3),
            "unlink": st.booleans(),  # before: a window works together only on items that are in no tree
            "settle": ids_or_all,
            "cut": st.integers(1, 30),
        }
    ),
    min_size=2,
    max_size=8,
)


@pytest.fixture(scope="module")
def every_cpu_level():
    """Let tests of this module select a CPU level; the one that was chosen for the run is back afterwards."""
    yield
    native.select_cpu(os.environ.get("PKSM_CPU") or native.cpu_levels()[-1])


@pytest.mark.parametrize("order", ORDERS)
@given(
    data=st.data(),
    stages=st.sampled_from(sorted(STAGES)),
    choices=choices,
    pool=st.lists(contents, min_size=2, max_size=8, unique=True),
    rounds=rounds,
    window=windows,
    level=st.sampled_from(native.cpu_levels()),
)
def test_native_is_the_model(order, data, stages, choices, pool, rounds, window, level, every_cpu_level):
    """The model settles one by one; so must the core with many searches in flight, where pksm.h says so."""
    native.select_cpu(level)
    both = data.draw(sparse_twins(order, st.sampled_from(pool), min_pages=8, max_pages=20, more_items=5))
    rules = both.rules(STAGES[stages], window=window, **choices)
    items, stable = both.model.items, both.model.stable
    both.settle(rules, list(both.ids))
    for round in rounds:
        protected = {items[id].page for id in stable}  # pages of the stable tree can't be written to
        for page, content in round["write"].items():
            if page < len(both.bytes) and page not in protected and (window == 1 or order != "content"):
                both.write(page, pool[content % len(pool)])
        for id in both.known(round["delete"]):
            if window == 1 or both.model.tree_of(id) is None:  # when a window unlinks deleted items is its own affair
                both.delete(id)
        for id in both.known(round["refuse_zero"]):
            both.refuse_zero(id)
        for id in both.known(round["forget_checksum"]):
            both.forget_checksum(id)
        ids = both.known(both.ids if round["settle"] is None else round["settle"])
        if round["unlink"]:
            both.unlink([id for id in ids if id not in stable])
        answers, revisit = both.settle(rules, ids, round["classes"], round["cut"], round["mlocked"])
        for verdict, _ in answers:
            event(verdict.name)
        event(f"revisit: {bool(revisit)}")
        both.check()
        if round["bury"]:
            for id in both.ids:
                if items[id].deleted:
                    both.bury(id)
            both.check()


def settle_until_all_is_told(both, rules, order_of_arrival, cut):
    """Settle every item until it is merged or waits; return the pages merged with the zero page, and groups.

    A merged page is gone: its item is not asked again. Groups: sorted tuples of pages that share one frame.
    """
    zero, groups, todo = [], {}, list(order_of_arrival)
    for _ in range(3):  # STALE at the first visit, or DIFFERENT, or revisited
        answers, revisit = both.settle(rules, todo, cut=cut)
        again = list(revisit)
        for id, (verdict, other) in zip(todo, answers, strict=True):
            page = both.model.items[id].page
            if verdict == Verdict.ZERO:
                zero.append(page)
            elif verdict == Verdict.PAIRED:
                groups[id] = [page, both.model.items[other].page]
            elif verdict == Verdict.JOINED:
                groups[other].append(page)
            elif verdict != Verdict.WAITING:
                again.append(id)
        todo = again
    assert not todo
    return sorted(zero), sorted(tuple(sorted(group)) for group in groups.values())


@pytest.mark.parametrize("stages", ["pksm", "ksm"])
@pytest.mark.parametrize("order", ["content", "checksum-content"])
@given(data=st.data(), distrust=st.booleans(), cut=st.integers(1, 60), window=windows)
def test_all_duplicates_are_shared_whatever_the_checksum(order, stages, data, distrust, cut, window):
    both = data.draw(sparse_twins(order, contents))
    arrival = data.draw(st.permutations(both.ids))
    rules = both.rules(STAGES[stages], distrust=distrust, window=window)
    zero, groups = settle_until_all_is_told(both, rules, arrival, cut)
    both.check()
    answer = oracle.answer(both.model.pages)
    assert groups == sorted(answer.groups)
    assert len(zero) == answer.zero_pages
    assert len(both.model.stable) == answer.pages_shared
    assert len(both.model.unstable) == answer.distinct - answer.pages_shared - bool(zero)


@pytest.mark.parametrize("stages", ["pksm", "ksm"])
@given(data=st.data(), pages=st.lists(contents, min_size=1, max_size=60), cut=st.integers(1, 60), window=windows)
def test_all_duplicates_are_shared_by_a_full_page_checksum_alone(stages, data, pages, cut, window):
    both = Twins(pages, range(len(pages)), "checksum", native.Checksum("xxh3-64"), xxh3_64)
    arrival = data.draw(st.permutations(both.ids))
    zero, groups = settle_until_all_is_told(both, both.rules(STAGES[stages], window=window), arrival, cut)
    both.check()
    answer = oracle.answer(pages)
    assert groups == sorted(answer.groups)
    assert len(zero) == answer.zero_pages


def test_a_weak_checksum_alone_loses_pages():
    """The published fault one-content-per-hash: why the test above needs a full-page checksum."""
    pages = [bytes([i]) + bytes(127) for i in (1, 2, 3, 3)]
    both = Twins(pages, range(4), "checksum", *weak([7]))
    rules = both.rules(STAGES["pksm"], checksum_of_zero=1)
    answers, _ = both.settle(rules, [1, 2, 3, 4])
    assert answers == [(Verdict.WAITING, 0), *[(Verdict.DIFFERENT, 1)] * 3]
    rules = both.rules(STAGES["pksm"], checksum_of_zero=1, on_differ=Choice.SUCCESS)
    answers, _ = both.settle(rules, [2, 3, 4])
    assert answers == [(Verdict.LIMBO, 1), *[(Verdict.LIMBO, 2)] * 2]  # 3 and 4 are equal
    assert list(both.model.stable) == [2] and not len(both.model.unstable)
    both.check()


def test_a_long_revisit_list_is_told_in_parts():
    """One item that meets several outdated ones, with room to tell of one."""
    pages = [bytes([i]) + bytes(127) for i in range(1, 6)]
    both = Twins(pages, range(5), "checksum-content", *weak([1]))
    rules = both.rules(STAGES["unstable-only"], distrust=True)
    both.settle(rules, [1, 2, 3, 4])
    for page in range(4):
        both.write(page, pages[page][:4] + b"\1" * 124)
    answers, revisit = both.settle(rules, [5], cut=1)
    assert answers == [(Verdict.WAITING, 0)]
    assert len(revisit) > 1
    both.check()


def test_what_can_not_be_right_is_refused_and_changes_nothing():
    both = Twins([bytes(PAGE_SIZE)], [0, 0], "content", *weak([0]))
    _, rules = both.rules(STAGES["pksm"])
    for id in (0, 3, 0xFFFFFFFF):
        with pytest.raises(errors.ItemError):
            native.settle(both.store, both.table, rules, None, [1, id], both.cost)
    with pytest.raises(ValueError):
        native.settle(both.store, both.table, rules, np.zeros(0, np.uint8), [1], both.cost)
    with pytest.raises(errors.PageError):
        native.settle(both.store, both.table, both.rules((Stage.ZERO, Stage.UNSTABLE))[1], None, [-1], both.cost)
    _, endless = both.rules(STAGES["pksm"])
    endless.c.stages = bytes([Stage.UNSTABLE] * 8)
    with pytest.raises(ValueError):
        native.settle(both.store, both.table, endless, None, [1], both.cost)
    both.nodes[2]["page"] = 1
    with pytest.raises(errors.PageError):
        native.settle(both.store, both.table, rules, None, [1, 2], both.cost)
    both.nodes[2]["page"] = 0
    both.check()
