"""Images of snapshots: what is compared equals the slow twin, whatever is zero, missing or unknown in them."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pksm.errors import PksmError, UsageError
from pksm.extents import State, make_runs
from pksm.fleet import compare_snapshots
from pksm.fleet.snapshots import RUN_BYTES
from pksm.linux.proc.smaps import Mapping
from pksm.sources.base import Region, Source

from model import fleet as model
from support.documents import faults
from support.memory_sources import GivenSource, data

PAGE = 512
LETTERS = {"0": (State.DATA, bytes(PAGE)), "z": (State.ZERO, None), "h": (State.HOLE, None),
           "?": (State.EXCLUDED, None)}  # fmt: skip
IMAGES = st.integers(1, 30).flatmap(
    lambda pages: st.lists(st.text("0zh?aab", min_size=pages, max_size=pages), min_size=1, max_size=5)
)


def source(name, text, cuts=()):
    return GivenSource(name, [LETTERS.get(one, (State.DATA, one.encode() * PAGE)) for one in text], cuts=cuts)


def openers(images, cuts=()):
    return [partial(source, f"{number}.img", text, cuts) for number, text in enumerate(images)]


def contents(text):
    """Zero is zero, however it is known."""
    return [None if one == "?" else one.replace("z", "0").replace("h", "0") for one in text]


@given(IMAGES, st.integers(0, 30))
def test_the_document(images, cut):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pksm.fleet.snapshots.RUN_BYTES", (2 * PAGE, 5 * PAGE))
        document = compare_snapshots(openers(images, [cut] if cut < len(images[0]) else []), PAGE)
    assert list(faults(document)) == []
    twin = model.snapshots([contents(text) for text in images], [2, 5])
    names = ("same_offset_pages", "any_offset_pages", "run_64k_pages", "run_2m_pages")
    _, of_first = twin["first"]
    for one, text, (same, anywhere, runs) in zip(document["snapshots"], images, of_first, strict=True):
        assert tuple(one[name] for name in names) == (same, anywhere, *runs)
        assert (one["zero_pages"], one["unknown_pages"]) == (sum(c in "0zh" for c in text), text.count("?"))
    for base in document["bases"]:
        memory, found = twin[base["name"]]
        assert (base["memory_pages"], base["same_offset_pages"]) == (memory, sum(one[0] for one in found))
        assert base["any_offset_pages"] == sum(one[1] for one in found)
        assert (base["run_64k_pages"], base["run_2m_pages"]) == tuple(sum(one[2][k] for one in found) for k in (0, 1))
    assert document["separate_pages"] == sum(map(len, images)) == len(images) * document["pages"]
    assert document["partial"] == any("?" in text for text in images)


def test_runs_are_of_64_kib_and_2_mib():
    assert RUN_BYTES == (64 << 10, 2 << 20)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=6))
def test_images_of_other_addresses_than_most_are_left_out(lengths):
    document = compare_snapshots(openers(["ab0"[:pages] for pages in lengths]), PAGE)
    most = max(lengths, key=lengths.count)
    assert document["pages"] == most and len(document["snapshots"]) == lengths.count(most)
    assert len(document["warnings"]) == len(lengths) - lengths.count(most)
    assert all(f"pages, others {most}: left out" in line for line in document["warnings"])
    assert document["partial"] == bool(document["warnings"])


class Apart(Source):
    """Pages at the addresses that are given, one region each."""

    def __init__(self, name, pages):
        super().__init__(name)
        self._pages = pages
        self.mappings = [Mapping("ram", 0, 0)]

    def regions(self, page_size, allocate, progress):
        for address, letter in self._pages:
            copies = allocate(1)
            copies.array[:] = ord(letter)
            yield Region(make_runs(State.DATA, 0, [address * page_size], np.ones(1, np.int64)), copies=copies)


def test_pages_are_compared_by_their_addresses():
    """In whatever order they come; and where the addresses differ, the image is left out."""
    images = [[(0, "a"), (9, "b")], [(9, "b"), (0, "c")], [(0, "a"), (8, "b")]]
    document = compare_snapshots([partial(Apart, f"{k}", pages) for k, pages in enumerate(images)], PAGE)
    assert [one["same_offset_pages"] for one in document["snapshots"]] == [2, 1]
    assert document["warnings"] == ["2: covers pages at other addresses: left out"]
    twice = [partial(Apart, "twice", [(1, "a"), (1, "b")])]
    with pytest.raises(PksmError, match="twice: has several pages at one address"):
        compare_snapshots(twice, PAGE)


def test_what_cannot_be_read_is_named_and_left_out():
    def fails():
        raise PksmError("1.img: is gone")

    def breaks():
        return GivenSource("2.img", data(b"a" * PAGE), then=lambda: 1 / 0)

    document = compare_snapshots([partial(source, "0.img", "ab"), fails, breaks, partial(source, "3.img", "a0")], PAGE)
    assert [one["path"] for one in document["snapshots"]] == ["0.img", "3.img"] and document["partial"]
    assert (
        document["warnings"][0] == "1.img: is gone"
        and "its reader failed with ZeroDivisionError" in document["warnings"][1]
    )
    with pytest.raises(PksmError, match=r"1\.img: is gone; 1 more could not be read"):
        compare_snapshots([fails, fails], PAGE)
    with pytest.raises(UsageError, match="name the images"):
        compare_snapshots([], PAGE)
    with pytest.raises(UsageError, match="page_size: page size 100"):
        compare_snapshots([fails], 100)


def test_sources_are_closed():
    made = []

    def opened(name):
        made.append(source(name, "ab"))
        return made[-1]

    compare_snapshots([partial(opened, "0.img"), partial(opened, "1.img")], PAGE)
    assert [one.closed for one in made] == [True, True]
