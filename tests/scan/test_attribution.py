"""Whose saving it is: shares against plain counting, and what sources have in common."""

import random
from collections import Counter

import pytest

from pksm.extents import State
from pksm.scan import Settings, scan

from support.memory_sources import GivenSource, Process, data

SIZE = 512


def page(text):
    return text.encode().ljust(SIZE, b"\0")


def shares_of(pages, copies, mapped):
    """What these pages have of the saving: copies counts contents, mapped the mappings of each (frame or page)."""
    return sum(
        (1.0 if content == bytes(SIZE) else (copies[content] - 1) / copies[content]) / mapped[frame]
        for content, frame in pages
    )


@pytest.mark.parametrize("seed", range(8))
def test_shares_against_plain_counting(seed):
    rng = random.Random(seed)
    contents = [bytes(SIZE), *(page(f"content {number}") for number in range(20))]
    frames = {number: rng.choice(contents) for number in range(1, 60)}
    sources, told, names = [], [], {}
    for name in "abc":
        numbers = [rng.choice([0, *frames]) for _ in range(rng.randrange(1, 80))]  # 0: a frame of its own
        pages = [(frames[number], number) if number else (rng.choice(contents), (name, at))
                 for at, number in enumerate(numbers)]  # fmt: skip
        names[name] = [rng.choice(["[heap]", "anon", "libc.so.6"]) for _ in pages]
        told.append(pages)
        exclusive = [number == 0 for number in numbers]
        sources.append(GivenSource(name, data(*(content for content, _ in pages)), numbers, exclusive, names[name]))
    result = scan(sources, Settings(page_size=SIZE))
    mapped = Counter(frame for pages in told for _, frame in pages)
    copies = Counter({frame: content for pages in told for content, frame in pages}.values())
    for source, pages in zip(result["sources"], told, strict=True):
        assert abs(source["share_bytes"] - shares_of(pages, copies, mapped) * SIZE) < 1
    assert abs(sum(source["share_bytes"] for source in result["sources"]) - result["saving"]["bytes"]) <= 3
    by_name = {}
    for pages, where in zip(told, names.values(), strict=True):
        for one, name in zip(pages, where, strict=True):
            by_name.setdefault(name, []).append(one)
    assert {row["mapping"] for row in result["by_mapping"]} == set(by_name)
    for row in result["by_mapping"]:
        pages = by_name[row["mapping"]]
        assert row["pages"] == len(pages) and row["zero"] == sum(content == bytes(SIZE) for content, _ in pages)
        assert row["merging"] == sum(copies[content] > 1 or content == bytes(SIZE) for content, _ in pages)
        assert abs(row["share_bytes"] - shares_of(pages, copies, mapped) * SIZE) < 1
    having = [{content for content, _ in pages} - {bytes(SIZE)} for pages in told]
    assert result["matrix"] == [[len(one & other) for other in having] for one in having]


def test_zero_pages_without_bytes_are_their_sources():
    one = GivenSource("one", [(State.ZERO, None)] * 3 + data(page("a")))
    two = GivenSource("two", data(page("a"), page("b")))
    result = scan([one, two], Settings(page_size=SIZE))
    assert [source["share_bytes"] for source in result["sources"]] == [int(3.5 * SIZE), SIZE // 2]


def test_zero_pages_without_bytes_are_their_mappings():
    names = ["x", "y", "y", "x", "z"]
    one = GivenSource("one", [*data(page("a")), *[(State.ZERO, None)] * 3, *data(bytes(SIZE))], names=names, cuts=[2])
    two = GivenSource("two", [(State.ZERO, None)] * 2 + data(page("a")), names=["[heap]", "y", "x"])
    result = scan([one, two], Settings(page_size=SIZE))
    rows = {row["mapping"]: (row["pages"], row["zero"], row["merging"], row["share_bytes"] / SIZE)
            for row in result["by_mapping"]}  # fmt: skip
    assert rows == {"x": (3, 1, 3, 2), "y": (3, 3, 3, 3), "z": (1, 1, 1, 1), "[heap]": (1, 1, 1, 1)}
    assert sum(row["share_bytes"] for row in result["by_mapping"]) == result["saving"]["bytes"]


def test_a_matrix_is_of_two_to_32_sources():
    def of(count):
        return scan([GivenSource(str(n), data(page("a"))) for n in range(count)], Settings(page_size=SIZE))["matrix"]

    assert of(1) is None and of(33) is None
    assert of(32) == [[1] * 32] * 32


def test_processes_are_grouped_by_command_and_by_user():
    sources = [
        Process("1", "web", "ann", page("a"), page("b"), bytes(SIZE)),
        Process("2", "web", "ann", page("a"), page("c")),
        Process("3", "web", "bob", page("a"), page("a")),
        GivenSource("file", data(page("c"))),
    ]
    result = scan(sources, Settings(page_size=SIZE))
    rows = {(row["command"], row["user"]): row for row in result["by_command"]}
    assert {key: (row["processes"], row["pages"], row["zero"], row["saving_pages"]) for key, row in rows.items()} == {
        ("web", "ann"): (2, 5, 1, 2), ("web", "bob"): (1, 2, 0, 1),
    }  # fmt: skip
    assert rows["web", "ann"]["share_bytes"] == (0.75 * 2 + 0.5 + 1) * SIZE
    assert {row["user"]: row["processes"] for row in result["by_user"]} == {"ann": 2, "bob": 1}
