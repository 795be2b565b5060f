"""Proof of a host of your own against the protocol of pksm/protocols.py."""

from collections.abc import Callable, Sequence

import numpy as np

from pksm.arrays import I64Array, Pages, U8Array
from pksm.engine import native
from pksm.policies.pksmd.daemon import Pksmd
from pksm.protocols import PageHost, Policy

_A, _B, _C, _ZERO = 1, 2, 3, 0  # contents
_SCRIPT = [_A, _A, _A, _B, _ZERO, _ZERO, _C, _B, _A]


def check_host(
    host: PageHost,
    add: Callable[[U8Array], Pages],
    read: Callable[[], U8Array] | None = None,
    seed: int = 0,
    rounds: int = 20,
) -> None:
    """Prove that a PageHost keeps to the protocol.

    First each call by itself, watched by a policy that only keeps books; then `rounds` births at random under pksmd,
    until it rests, against brute force. All pages are unmerged at the end.

    Args:
        host: with room for 64 pages and none alive; its policy is replaced.
        add: add(contents) makes pages live with these bytes (uint8 array (n, page_size)), one mapping each, and
            returns their page numbers (uint32).
        read: read() returns what every mapping reads as, in the order of birth (uint8 array); None leaves that
            unchecked.
        seed: of the births at random.
        rounds: how many there are.

    Raises:
        AssertionError: it does not, and why.
    """
    _Proof(host, add, read).run(np.random.default_rng(seed), rounds)


class _Books(Policy):
    """A policy that keeps books of what it is told."""

    def __init__(self, host: PageHost) -> None:
        self._host = host
        self.alive: dict[int, None] = {}  # page -> None, in order of birth
        self.freed: list[int] = []
        host.attach(self)

    def on_new(self, pages: Pages) -> None:
        for page in self._sound(pages, "on_new"):
            assert page not in self.alive, f"on_new told of page {page}, which was alive already"
            self.alive[page] = None

    def on_free(self, pages: Pages) -> None:
        for page in self._sound(pages, "on_free"):
            assert page in self.alive, f"on_free told of page {page}, which was not alive"
            del self.alive[page]
            self.freed.append(page)

    def _sound(self, pages: Pages, call: str) -> list[int]:
        assert isinstance(pages, np.ndarray) and pages.dtype == np.uint32, f"{call} takes a uint32 array"
        self._host.store.check_pages(pages)
        return pages.tolist()


class _Proof:
    def __init__(self, host: PageHost, add: Callable[[U8Array], Pages], read: Callable[[], U8Array] | None) -> None:
        self.host, self._add, self._read = host, add, read
        self.size = host.store.page_size
        self.contents = np.zeros((0, self.size), np.uint8)  # what every mapping has to read as

    def run(self, rng: np.random.Generator, rounds: int) -> None:
        self.books = _Books(self.host)
        pages = self.add(_SCRIPT)
        assert list(self.books.alive) == pages.tolist(), "add: on_new did not tell of exactly these pages, in order"
        self.check_classes()
        self.check_references(pages)
        self.merges("merge", pages[[1, 2]], pages[[0, 0]])
        self.merges("merge", pages[[3]], pages[[7]])
        self.merges("merge", pages[[8]], pages[[0]])
        self.merges("merge_zero", pages[[4, 5]])
        self.unmerge()
        self.under_pksmd(rng, rounds)

    def add(self, ids: Sequence[int]) -> Pages:
        """Make pages live: content id c is a page of bytes c, except for 0: zero."""
        contents = np.repeat(np.array(ids, np.uint8)[:, np.newaxis], self.size, axis=1)
        pages = self._add(contents)
        assert isinstance(pages, np.ndarray) and pages.dtype == np.uint32 and len(pages) == len(ids)
        assert np.array_equal(self.host.store.bytes_of(pages), contents), "store: pages born with other bytes"
        self.contents = np.concatenate((self.contents, contents))
        self.check_reading("a birth")
        return pages

    def check_reading(self, what: str) -> None:
        if self._read is not None:
            assert np.array_equal(self._read(), self.contents), f"{what} has changed what somebody reads"

    def check_classes(self) -> None:
        classes = self.host.classes
        if classes is not None:
            assert classes.dtype == np.uint8 and len(classes) >= self.host.store.n_pages, "classes: uint8 by page"
            assert (classes[list(self.books.alive)] == native.FREE).all(), "classes: new pages are free to merge"

    def check_references(self, pages: Pages) -> None:
        anon_vmas = self.host.anon_vma(pages)
        sound = isinstance(anon_vmas, np.ndarray) and anon_vmas.dtype == np.uint32 and len(anon_vmas) == len(pages)
        assert sound, "anon_vma gives a uint32 array, one a page"
        twice = np.repeat(anon_vmas, 2)
        self.host.get_anon_vma(twice)
        self.host.put_anon_vma(twice)

    def counters(self) -> I64Array:
        host = self.host
        return np.array([host.pages_sharing, host.pages_zero_sharing, host.frames_saved])

    def merges(self, call: str, pages: Pages, *kpages: Pages) -> None:
        """One call of merge or merge_zero: what it refuses stays as it was, all else is merged."""
        before, freed = self.counters(), len(self.books.freed)
        kept = self.host.store.bytes_of(kpages[0]) if kpages else None
        refused = getattr(self.host, call)(pages, *kpages)
        if refused is None:
            refused = np.zeros(len(pages), bool)
        assert refused.dtype == bool and len(refused) == len(pages), f"{call}: the refused are a bool for each page"
        gone = pages[~refused]
        assert sorted(self.books.freed[freed:]) == sorted(gone.tolist()), f"{call}: on_free told of others than merged"
        zero = len(gone) if call == "merge_zero" else 0
        told = (self.counters() - before).tolist()
        due = [len(gone) - zero, zero, len(gone)]
        assert told == due, f"{call}: pages_sharing, pages_zero_sharing, frames_saved grew by {told}, not {due}"
        if kept is not None:
            assert np.array_equal(self.host.store.bytes_of(kpages[0]), kept), "merge has changed a kept page"
        if refused.any():
            assert self.host.classes is not None, f"{call}: a host that refuses has to say so in classes"
            assert (self.host.classes[pages[refused]] == native.BUSY_PAGE).all(), f"{call}: the refused are not BUSY"
        self.check_reading(call)

    def unmerge(self) -> None:
        self.host.unmerge_all()
        assert not self.counters().any(), "unmerge_all has left something merged"
        self.check_reading("unmerge_all")
        self.check_contents()

    def check_contents(self) -> None:
        """Unmerged, every mapping has a live page with its bytes."""
        pages = np.array(list(self.books.alive), np.uint32)
        found = sorted(map(bytes, self.host.store.bytes_of(pages)))
        assert found == sorted(map(bytes, self.contents)), "the pages alive have other bytes than were born"

    def under_pksmd(self, rng: np.random.Generator, rounds: int) -> None:
        """pksmd takes over: at rest each content has one frame, zero none, but for pages that the host refuses."""
        born = len(self.contents)
        daemon = Pksmd(self.host)
        daemon.on_new(np.array(list(self.books.alive), np.uint32))
        for _ in range(rounds):
            ids = rng.integers(0, 5, rng.integers(1, 4))
            if len(self.contents) + len(ids) > 64:
                break
            self.add(ids.tolist())
            for _ in range(100):
                daemon.wake()
                self.check_reading("pksmd")
                if daemon.at_rest:
                    break
            daemon.check()
        distinct = len({bytes(page) for page in self.contents if page.any()})
        due = len(self.contents) - distinct
        saved = self.host.frames_saved
        classes, alive = self.host.classes, daemon.items.page[daemon.items.tracked()]
        refused = 0 if classes is None else int(np.count_nonzero(classes[alive] == native.BUSY_PAGE))
        assert due - refused <= saved <= due, (
            f"pksmd at rest: frames_saved is {saved}, and of {len(self.contents)} pages {due} are to spare"
        )
        assert len(self.contents) > born
        daemon.sysfs["run"] = 2
        assert not self.counters().any(), "unmerge_all has left something merged"
        self.check_reading("unmerge_all")
        daemon.check()
