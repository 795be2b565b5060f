"""Sources for tests: regions as given, and files written from page contents."""

import itertools
import os

import numpy as np

from pksm.extents import State, make_runs
from pksm.linux.proc.smaps import Mapping
from pksm.sources.base import Region, Source


class GivenSource(Source):
    """A source of given pages.

    pages: a list of (state, content); content: bytes of one page, None where the state has none. frames, exclusive:
    one entry for each DATA page, or None. cuts: positions in pages where a new region starts; each page is mapped by
    the mapping named in `names`, or all by one. then: called when all was read, before the source ends.
    """

    kind = "given"

    def __init__(self, name, pages, frames=None, exclusive=None, names=None, cuts=(), then=None):
        super().__init__(name)
        self._pages, self._frames, self._exclusive, self._cuts, self._then = pages, frames, exclusive, cuts, then
        names = names or ["heap"] * len(pages)
        known = list(dict.fromkeys(names))
        self.mappings = [Mapping(name, 0, 0) for name in known]
        self._mapping = [known.index(name) for name in names]
        self.closed = False

    def regions(self, page_size, allocate, progress):
        edges = [0, *self._cuts, len(self._pages)]
        done = 0
        for start, end in itertools.pairwise(edges):
            states = [state for state, _ in self._pages[start:end]]
            contents = [content for state, content in self._pages[start:end] if state == State.DATA]
            runs = make_runs(states, self._mapping[start:end], np.arange(start, end) * page_size, [1] * (end - start))
            if not contents:
                yield Region(runs)
                continue
            copies = allocate(len(contents))
            copies.array[:] = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, page_size)
            part = slice(done, done + len(contents))
            done += len(contents)
            frames = None if self._frames is None else np.array(self._frames[part], np.uint64)
            exclusive = None if self._exclusive is None else np.array(self._exclusive[part], bool)
            progress(len(contents))
            yield Region(runs, copies=copies, frames=frames, exclusive=exclusive)
        if self._then:
            self._then()

    def close(self):
        self.closed = True


class Process(GivenSource):
    """A process of a command and a user."""

    def __init__(self, name, command, user, *contents):
        super().__init__(name, data(*contents))
        self._facts = {"pid": 1, "command": command, "user": user}

    def facts(self):
        return dict(self._facts)


def data(*contents):
    """Pages for GivenSource."""
    return [(State.DATA, content) for content in contents]


def write_file(path, pages, page_size):
    """Write pages (bytes, or None for a hole) to a file, holes as holes of the file."""
    with open(path, "wb") as file:
        for number, content in enumerate(pages):
            if content is not None:
                file.seek(number * page_size)
                file.write(content)
        file.truncate(len(pages) * page_size)
    return os.fspath(path)
