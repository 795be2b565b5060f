"""Proof of a host of your own against the protocol of pksm/protocols.py."""

from collections.abc import Callable, Sequence

import numpy as np

from pksm.arrays import BoolArray, I64Array, Pages, U8Array
from pksm.errors import PksmError
from pksm.policies.pksmd.daemon import Pksmd
from pksm.policies.strict import StrictHost
from pksm.protocols import BUSY_PAGE, FREE, PageHost, Policy

_A, _B, _C, _ZERO = 1, 2, 3, 0  # contents
_SCRIPT = [_A, _A, _A, _B, _ZERO, _ZERO, _C, _B, _A]


def check_host(
    host: PageHost,
    add: Callable[[U8Array], Pages],
    read: Callable[[], U8Array] | None = None,
    seed: int = 0,
    rounds: int = 20,
    refuses: Callable[[Pages], BoolArray] | None = None,
) -> None:
    """Prove that a PageHost keeps to the protocol, rule by rule of protocols.PageHost.

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
        refuses: refuses(pages) returns which of these pages the host never merges (bool array): those, and no others,
            are refused then. None if it may refuse what it likes, as long as its classes say so.

    Raises:
        AssertionError: it does not, and which rule it breaks with which pages.
    """
    try:
        _Proof(host, add, read, refuses).run(np.random.default_rng(seed), rounds)
    except PksmError as error:
        raise AssertionError(str(error)) from error


class _Books(Policy):
    """A policy that keeps books of what it hears."""

    def __init__(self, host: StrictHost) -> None:
        self.alive: dict[int, None] = {}  # page -> None, in order of birth
        self.freed: list[int] = []
        self.n_born = 0
        host.attach(self)

    def on_new(self, pages: Pages) -> None:
        self.n_born += len(pages)
        self.alive.update(dict.fromkeys(pages.tolist()))

    def on_free(self, pages: Pages) -> None:
        for page in pages.tolist():
            del self.alive[page]
            self.freed.append(page)


class _Proof:
    def __init__(
        self,
        host: PageHost,
        add: Callable[[U8Array], Pages],
        read: Callable[[], U8Array] | None,
        refuses: Callable[[Pages], BoolArray] | None,
    ) -> None:
        self.bare, self._add, self._read, self._refuses = host, add, read, refuses
        self.host = StrictHost(host)
        self.size = host.store.page_size
        self.contents = np.zeros((0, self.size), np.uint8)  # what every mapping has to read as

    def run(self, rng: np.random.Generator, rounds: int) -> None:
        self.books = _Books(self.host)
        pages = self.add(_SCRIPT)
        told = list(self.books.alive)
        silent, more = np.setdiff1d(pages, told), np.setdiff1d(told, pages)
        assert not len(silent), f"add: on_new did not name all pages: {silent.tolist()} are missing"
        assert not len(more), f"add: on_new named other pages: {more.tolist()}"
        assert told == pages.tolist(), f"add: on_new named pages in another order: {told}"
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
        assert isinstance(pages, np.ndarray) and pages.dtype == np.uint32, "add gives a uint32 array"
        assert len(pages) == len(ids), f"add: {len(ids)} contents, and {len(pages)} pages"
        other = pages[(self.host.store.bytes_of(pages) != contents).any(axis=1)]
        assert not len(other), f"store: pages born with other bytes: {other.tolist()}"
        self.contents = np.concatenate((self.contents, contents))
        self.check_reading("a birth")
        return pages

    def check_reading(self, what: str) -> None:
        if self._read is not None:
            now = self._read()
            assert now.shape == self.contents.shape, f"read gives {now.shape}, and {self.contents.shape} were born"
            changed = np.flatnonzero((now != self.contents).any(axis=1))
            assert not len(changed), f"{what} has changed what somebody reads: births {changed.tolist()}"

    def check_classes(self) -> None:
        classes = self.host.classes
        if classes is not None:
            alive = np.array(list(self.books.alive))
            taken = alive[classes[alive] != FREE]
            if self._refuses is not None and len(taken):
                taken = taken[~self._refuses(taken.astype(np.uint32))]
            assert not len(taken), f"classes: new pages are free to merge, and these are not: {taken.tolist()}"

    def check_references(self, pages: Pages) -> None:
        anon_vmas = self.host.anon_vma(pages)
        twice = np.repeat(anon_vmas, 2)
        for call in ("get_anon_vma", "put_anon_vma"):
            try:
                getattr(self.host, call)(twice)
            except Exception as error:
                raise AssertionError(f"{call}: references can be taken twice and put twice: {error}") from error
        self.host.is_sharer(pages, anon_vmas)
        for call in ("hold", "forget"):
            assert getattr(self.host, call)(pages[:0]) is None, f"{call} returns nothing"
        assert self.host.set_quirks(frozenset()) is None, "set_quirks returns nothing"

    def counters(self) -> I64Array:
        host = self.host
        return np.array([host.pages_sharing, host.pages_zero_sharing, host.frames_saved])

    def merges(self, call: str, pages: Pages, *kpages: Pages) -> None:
        """One call of merge or merge_zero: what it refuses stays as it was, all else is merged."""
        before, freed = self.counters(), len(self.books.freed)
        involved = np.concatenate((pages, *kpages))
        held = self.host.store.bytes_of(involved)
        refused = getattr(self.host, call)(pages, *kpages)
        if refused is None:
            refused = np.zeros(len(pages), bool)
        self.check_refused(call, pages, refused)
        gone = pages[~refused]
        told = sorted(self.books.freed[freed:])
        assert told == sorted(gone.tolist()), f"{call}: on_free named {told}, and merged were {gone.tolist()}"
        zero = len(gone) if call == "merge_zero" else 0
        grew = (self.counters() - before).tolist()
        due = [len(gone) - zero, zero, len(gone)]
        assert grew == due, f"{call}: pages_sharing, pages_zero_sharing, frames_saved grew by {grew}, not {due}"
        live = np.concatenate((refused, *(np.ones(len(kept), bool) for kept in kpages)))
        changed = involved[live & (self.host.store.bytes_of(involved) != held).any(axis=1)]
        assert not len(changed), f"{call} has changed the bytes of pages that are alive: {changed.tolist()}"
        self.check_reading(call)

    def check_refused(self, call: str, pages: Pages, refused: BoolArray) -> None:
        """Those that the host always refuses, and no others, if it is known which these are."""
        if self._refuses is None:
            return
        due = self._refuses(pages)
        missing, more = pages[due & ~refused], pages[refused & ~due]
        assert not len(missing), f"{call}: pages that are always refused were merged: {missing.tolist()}"
        assert not len(more), f"{call}: pages were refused that are to be merged: {more.tolist()}"

    def unmerge(self) -> None:
        self.host.unmerge_all()
        self.check_unmerged()
        self.check_reading("unmerge_all")
        self.check_contents()

    def check_contents(self) -> None:
        """Unmerged, every mapping has a live page with its bytes."""
        pages = np.array(list(self.books.alive), np.uint32)
        assert len(pages) == len(self.contents), (
            f"unmerge_all: {len(self.contents)} pages were born, and {len(pages)} are alive: on_new names those born anew"
        )
        found = sorted(map(bytes, self.host.store.bytes_of(pages)))
        assert found == sorted(map(bytes, self.contents)), (
            "unmerge_all: the pages alive have other bytes than were born"
        )

    def check_unmerged(self) -> None:
        left = self.counters().tolist()
        assert not any(left), f"unmerge_all has left something merged: sharing, zero, saved are {left}"

    def under_pksmd(self, rng: np.random.Generator, rounds: int) -> None:
        """pksmd takes over: at rest each content has one frame, zero none, but for pages that the host refuses."""
        born = len(self.contents)
        daemon = Pksmd(self.bare, strict=True)
        hears = daemon._host
        assert isinstance(hears, StrictHost)
        alive = np.array(list(self.books.alive), np.uint32)
        hears.on_new(alive[~hears.tracks(alive)])  # what attach has not reported
        told, self.host = self.books.n_born, hears
        for _ in range(rounds):
            ids = rng.integers(0, 5, rng.integers(1, 4))
            if len(self.contents) + len(ids) > 64:
                break
            before = len(daemon.items)
            self.add(ids.tolist())
            assert self.books.n_born == told, "attach: births are still reported to the policy before"
            assert len(daemon.items) == before + len(ids), "attach: births are not reported to the policy attached last"
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
        if self._refuses is not None:
            refused = int(np.count_nonzero(self._refuses(alive)))
        else:
            refused = 0 if classes is None else int(np.count_nonzero(classes[alive] == BUSY_PAGE))
        assert due - refused <= saved <= due, (
            f"pksmd at rest: frames_saved is {saved}, and of {len(self.contents)} pages {due} are to spare"
        )
        assert len(self.contents) > born
        daemon.sysfs["run"] = 2
        self.check_unmerged()
        self.check_reading("unmerge_all")
        daemon.check()
