"""Stories for recordings: blocks that could have happened, and what there is after them, in plain dicts."""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from pksm.recording import Writer
from pksm.recording.events import Block, Kind


class World:
    """Address spaces as dicts: {number: ({page: content}, {mapped pages})}, changed by steps that are drawn."""

    def __init__(self):
        self.spaces = {}
        self.next_space = 0
        self.next_content = 1
        self.peak = 0
        self.few = False

    def copy_of_pages(self):
        return {number: dict(pages) for number, (pages, _) in self.spaces.items()}


@contextlib.contextmanager
def recorded(blocks, end_ms=None, **said):
    """Give the path of a recording of these blocks. end_ms: it was ended as it should; said: of itself, besides."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pksmrec"
        writer = Writer(path, {"page_size": 4096, **said})
        for one in blocks:
            writer.add(one)
        writer.close(None if end_ms is None else {"ms": end_ms})
        yield path


def block(ms, space, operations=(), events=()):
    """A Block of events (page, kind, content or None)."""
    events = sorted(events, key=lambda event: event[:2])
    contents = [content for _, kind, content in events if kind in (Kind.BIRTH, Kind.WRITE)]
    return Block(
        ms,
        space,
        tuple(operations),
        np.array([page for page, _, _ in events], np.uint64),
        np.array([kind for _, kind, _ in events], np.uint8),
        np.array(contents, np.uint32),
    )


@st.composite
def stories(draw, most_blocks=12, few=False):
    """Return [(block, {space: {page: content}} after it)], and the most pages there were at a time. few: contents."""
    world, story, ms = World(), [], 0
    world.few = few
    for _ in range(draw(st.integers(0, most_blocks))):
        ms += draw(st.integers(0, 1000))
        done = _step(draw, world, ms)
        story.append((done, world.copy_of_pages()))
    return story, world.peak


def _step(draw, world, ms):
    alive = sorted(world.spaces)
    choice = draw(st.sampled_from(["start", "fork", "exit", "change", "change", "change"])) if alive else "start"
    if choice == "exit":
        space = draw(st.sampled_from(alive))
        del world.spaces[space]
        return block(ms, space, [("exit",)])
    operations = []
    if choice in ("start", "fork"):
        space = world.next_space
        world.next_space += draw(st.integers(1, 3))
        if choice == "start":
            operations.append(("start", draw(st.integers(0, 99)), draw(st.text(max_size=5))))
            world.spaces[space] = ({}, set())
        else:
            parent = draw(st.sampled_from(alive))
            operations.append(("fork", parent, 7, "child"))
            pages, mapped = world.spaces[parent]
            world.spaces[space] = (dict(pages), set(mapped))
        _note_peak(world)
    else:
        space = draw(st.sampled_from(alive))
    pages, mapped = world.spaces[space]
    operations += _mappings(draw, pages, mapped)
    events = _events(draw, world, pages, mapped)
    _note_peak(world)
    return block(ms, space, operations, events)


def _note_peak(world):
    world.peak = max(world.peak, sum(len(pages) for pages, _ in world.spaces.values()))


def _mappings(draw, pages, mapped):
    operations = []
    for _ in range(draw(st.integers(0, 3))):
        first, n = draw(st.integers(0, 40)), draw(st.integers(1, 8))
        wanted = set(range(first, first + n))
        if not wanted & mapped:
            mapped |= wanted
            operations.append(("map", first, n, draw(st.text(max_size=3)), draw(st.booleans())))
        elif wanted <= mapped and not wanted & set(pages):
            mapped -= wanted
            operations.append(("unmap", first, n))
        elif wanted <= mapped:
            operations.append(("advise", first, n, draw(st.booleans())))
    return operations


def _events(draw, world, pages, mapped):
    events, before = [], dict(pages)
    for page in sorted(mapped):
        if not draw(st.booleans()):
            continue
        if page in before:
            kinds = [Kind.WRITE, Kind.SAME, Kind.DEATH, Kind.MOVED, Kind.MERGED, Kind.UNMERGED, Kind.ACCESSED]
            kind = draw(st.sampled_from(kinds))
        else:
            kind = Kind.BIRTH
        content = None
        if kind in (Kind.BIRTH, Kind.WRITE):
            others = st.integers(0, 4 if world.few else 1 << 31)
            content = draw(st.one_of(st.just(world.next_content), others))
            world.next_content = max(world.next_content, content + 1)
            pages[page] = content
        elif kind == Kind.DEATH:
            del pages[page]
        events.append((page, kind, content))
    return events


def as_dicts(state):
    """{space: {page: content}} of a State."""
    return {
        number: dict(zip(space.pages.tolist(), space.contents.tolist(), strict=True))
        for number, space in state.spaces.items()
    }


def same(one, other):
    """Whether two lists of blocks say the same, however they are cut."""
    return joined(one) == joined(other)


def joined(blocks):
    """Blocks as lists of plain values; those of one space and sample are one."""
    rows = []
    for part in blocks:
        contents = iter(part.contents.tolist())
        events = [
            (page, kind, next(contents) if kind in (Kind.BIRTH, Kind.WRITE) else None)
            for page, kind in zip(part.pages.tolist(), part.kinds.tolist(), strict=True)
        ]
        if rows and rows[-1][:2] == [part.ms, part.space] and not (rows[-1][3] and part.operations):
            rows[-1][2] += part.operations
            rows[-1][3] += events
        else:
            rows.append([part.ms, part.space, list(part.operations), events])
    return rows
