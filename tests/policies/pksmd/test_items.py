"""The item table: ids, their pages, and columns that move when it grows."""

import numpy as np
import pytest

from pksm.engine import native
from pksm.errors import ItemError, TreeError
from pksm.policies.pksmd.items import Items


def uint32(values):
    return np.array(values, np.uint32)


def test_items_start_at_one_and_are_blank():
    items = Items()
    ids = items.allocate(uint32([40, 7, 9]))
    assert ids.tolist() == [1, 2, 3] and ids.dtype == np.uint32
    assert items.page[ids].tolist() == [40, 7, 9]
    assert len(items) == 3
    for column in (items.flags, items.checksum, items.link, items.list_stamp, items.del_stamp):
        assert not column[ids].any()
    items.check("checksum")


def test_pages_find_their_items():
    items = Items()
    items.allocate(uint32([40, 7, 9]))
    assert items.item_of(uint32([9, 40])).tolist() == [3, 1]
    assert items.item_of(uint32([8, 7, 41, 1 << 20])).tolist() == [2], "pages without an item are passed over"
    assert not len(items.item_of(uint32([])))
    assert not len(Items().item_of(uint32([0])))


def test_given_back_ids_live_again_blank():
    items = Items()
    ids = items.allocate(uint32(range(10)))
    items.checksum[ids], items.link[ids] = 5, 6
    items.set_flags(ids, native.INITCHECKSUM | native.ZERO_REFUSED)
    gone = ids[2:5]
    items.detach(items.page[gone])
    assert not len(items.item_of(uint32([2, 3, 4])))
    items.free(gone)
    assert len(items) == 7
    items.check("checksum")
    again = items.allocate(uint32([100, 101, 102, 103]))
    assert set(again[:3].tolist()) == set(gone.tolist()) and again[3] == 11
    for column in (items.flags, items.checksum, items.link, items.list_stamp, items.del_stamp):
        assert not column[again].any()
    assert (items.checksum[ids[5:]] == 5).all()
    items.check("checksum")


def test_a_page_may_live_again_before_its_old_item_is_gone():
    items = Items()
    (old,) = items.allocate(uint32([3]))
    items.detach(items.page[uint32([old])])
    items.set_flags(uint32([old]), native.DELLIST)
    (new,) = items.allocate(uint32([3]))
    assert new != old and items.page[old] == items.page[new] == 3
    assert items.item_of(uint32([3])).tolist() == [new]
    items.check("checksum")


@pytest.mark.parametrize("steps", [[1] * 50, [7, 300, 1], [1000], [5000]])
def test_growth_moves_columns_and_keeps_what_is_in_them(steps):
    items, start = Items(capacity=4), 0
    for n in steps:
        ids = items.allocate(np.arange(start, start + n, dtype=np.uint32))
        start += n
        items.checksum[ids] = ids * 3
        items.del_stamp[ids] = ids + 1
        items.check("checksum")
    ids = np.arange(1, start + 1)
    assert (items.page[ids] == ids - 1).all()
    assert (items.checksum[ids] == ids * 3).all() and (items.del_stamp[ids] == ids + 1).all()


def test_reserved_room_is_not_left():
    items = Items()
    items.reserve(10_000)
    before = items.table
    items.allocate(np.arange(10_000, dtype=np.uint32))
    assert items.table is before, "it has grown"
    items.allocate(uint32([10_000]))
    assert items.table is not before
    assert items.nbytes < 10_001 * 48 * 2


def test_nbytes_is_all_of_it():
    items = Items(capacity=1000)
    assert items.nbytes == 1000 * (32 + 4 + 4)
    items.allocate(np.arange(900, dtype=np.uint32))
    assert items.nbytes >= 1000 * (32 + 4 + 4) + 900 * 4


def test_a_page_has_one_item():
    items = Items()
    items.allocate(uint32([3, 4]))
    with pytest.raises(ItemError, match="alive"):
        items.allocate(uint32([5, 4]))
    assert len(items) == 2
    items.check("checksum")
    with pytest.raises(ItemError, match="twice"):
        items.allocate(uint32([8, 9, 8]))


@pytest.mark.parametrize(
    "flag",
    [native.STABLE, native.UNSTABLE, native.NEWLIST, native.RESCAN, native.CHECKSUM_LIST, native.DELLIST],
)
def test_what_is_in_a_tree_or_on_a_list_stays(flag):
    items = Items()
    ids = items.allocate(uint32([3, 4, 5]))
    items.detach(items.page[ids])
    items.set_flags(ids[1:2], flag)
    with pytest.raises(ItemError):
        items.free(ids)
    assert len(items) == 3 and items.page[ids].tolist() == [3, 4, 5]


def test_flags_are_set_and_cleared_alone():
    items = Items()
    ids = items.allocate(uint32(range(4)))
    items.set_flags(ids, native.RESCAN | native.INITCHECKSUM)
    items.clear_flags(ids[:2], native.RESCAN)
    assert items.flags[ids].tolist() == [native.INITCHECKSUM] * 2 + [native.RESCAN | native.INITCHECKSUM] * 2


def broken(what):
    items = Items()
    ids = items.allocate(uint32([0, 1, 2, 3]))
    items.detach(items.page[ids[3:]])
    items.free(ids[3:])
    if what == "nil":
        items._nodes[0]["page"] = 1
    elif what == "free twice":
        items._free = uint32([4, 4])
        items._n_free = 2
    elif what == "free and flagged":
        items.set_flags(ids[3:], native.INITCHECKSUM)
    elif what == "page goes elsewhere":
        items.page[ids[0]] = 9
    elif what == "free with a page":
        items.page[ids[3]] = 3
        items._item_of_page[3] = ids[3]
    elif what == "no page and not deleted":
        items.detach(items.page[ids[:1]])
    elif what == "flag without tree":
        items.set_flags(ids[:1], native.STABLE)
    return items


@pytest.mark.parametrize(
    "what",
    [
        "nil",
        "free twice",
        "free and flagged",
        "page goes elsewhere",
        "free with a page",
        "no page and not deleted",
        "flag without tree",
    ],
)
def test_a_check_finds_what_is_wrong(what):
    broken("nothing").check("checksum")
    with pytest.raises((AssertionError, TreeError)):
        broken(what).check("checksum")


def test_a_page_born_twice_at_once_leaves_the_table_as_it_was():
    items = Items()
    items.allocate(uint32([3]))
    with pytest.raises(ItemError, match="twice"):
        items.allocate(uint32([5, 7, 5]))
    assert len(items) == 1 and not len(items.item_of(uint32([5, 7])))
    items.check("checksum")
    assert sorted(items.allocate(uint32([5, 7, 8])).tolist()) == [2, 3, 4]
    items.check("checksum")
