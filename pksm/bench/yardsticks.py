"""What the engine is measured against, on the same bytes: limits of the machine, and other ways to find equal pages.

A job is one thing to measure. Its answer is always checked: the figures of a wrong answer mean nothing.
"""

from __future__ import annotations

import contextlib
import mmap
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pksm.arrays import IntArray, Pages, StructArray, U8Array, U32Array, U64Array
from pksm.engine import memory, native
from pksm.engine.checksums import strategies
from pksm.engine.native.trees import TableView
from pksm.engine.store import Store
from pksm.errors import PksmError, UsageError
from pksm.linux import memory_limits
from pksm.simulation.workloads import make

if TYPE_CHECKING:
    from pksm.simulation.workloads.loads import Load


COPY_BYTES = 1 << 28  # as much is copied and compared, at most: far more than a cache holds
CALLS = 100_000
BYTES_ABOUT_A_PAGE = 160  # what making a load takes meanwhile, or an engine and the check of its answer
MOST_PAGES = (1 << 32) - (1 << 24)  # they have numbers of 32 bits, and so have their copies


class WrongAnswer(PksmError):
    """What was measured gave a wrong answer, so its figures mean nothing."""


class Ground:
    """Touched memory that holds one load at a time, and a copy of its first COPY_BYTES.

    huge: on huge pages where the kernel has them, else on none.
    bytes: uint8 (n_pages, page_size); pages: their page numbers, from first on; load: what is in it, None before the
    first fill; copy, copy_pages: the same of the copy.
    """

    load: Load = None  # type: ignore[assignment]  # whoever measures has filled it

    def __init__(self, n_pages: int, page_size: int = 4096, huge: bool = True) -> None:
        check_pages(n_pages)
        n_copied = _n_copied(n_pages, page_size)
        memory_limits.require(needed_bytes(n_pages, page_size), "measure fewer pages")
        self.store = Store(page_size)
        allocate = self.store.allocate if huge else partial(_allocate_small, self.store)
        self.first, self.bytes = allocate(n_pages)
        self.pages = _numbers(self.first, n_pages)
        first_copy, self.copy = allocate(n_copied)
        self.copy_pages = _numbers(first_copy, n_copied)

    def fill(self, name: str, seed: int = 0) -> None:
        """Write the load of this name over what was there."""
        self.fill_by(lambda out: make(name, out, seed))

    def fill_by(self, write: Callable[[U8Array], Load]) -> None:
        """Let write(uint8 (n_pages, page_size)) write a load over what was there."""
        self.load = write(self.bytes)
        np.copyto(self.copy, self.bytes[: len(self.copy)])


def check_pages(n_pages: int) -> None:
    """Raise UsageError unless a load can have so many pages."""
    if not 1 <= n_pages <= MOST_PAGES:
        raise UsageError(f"{n_pages:,} pages: a load has from 1 to {MOST_PAGES:,}", "n_pages")


def needed_bytes(n_pages: int, page_size: int) -> int:
    """Return the bytes that a Ground takes, with what the jobs keep about its pages."""
    return (n_pages + _n_copied(n_pages, page_size)) * page_size + n_pages * BYTES_ABOUT_A_PAGE


def _n_copied(n_pages: int, page_size: int) -> int:
    return min(n_pages, max(1, COPY_BYTES // page_size))


def _allocate_small(store: Store, n_pages: int) -> tuple[int, U8Array]:
    """As Store.allocate, but on pages of the ordinary size."""
    mapping = mmap.mmap(-1, n_pages * store.page_size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(AttributeError, OSError):  # a kernel without huge pages has no use for the advice
        mapping.madvise(mmap.MADV_NOHUGEPAGE)
    array = np.frombuffer(mapping, np.uint8).reshape(n_pages, store.page_size)
    return store.add(array, writable=True), array


def _numbers(first: int, n_pages: int) -> U32Array:
    return np.arange(first, first + n_pages, dtype=np.uint32)


@dataclass(frozen=True)
class Job:
    """Something to measure, as often as wanted.

    prepare() makes what one run needs; work(that) is the run, and nothing else is timed; check(what work returned)
    raises WrongAnswer, or returns the number of pages merged away (None where nothing is merged); steps(what work
    returned) returns the seconds of its parts, {name: (wall, CPU)}; clock() is that of CPU time, where it is not ours.
    """

    engine: str
    load: str
    pages: int  # that a run goes through; for `call`, calls
    prepare: Callable[[], Any]
    work: Callable[[Any], Any]
    check: Callable[[Any], int | None]
    order: str | None = None
    batch: int | None = None  # pages per wake-up
    threads: int = 1
    steps: Callable[[Any], dict[str, tuple[float, float]]] = lambda answer: {}
    checksum: str | None = None
    clock: Callable[[], float] | None = None
    is_of_pages: bool = True  # else its time is not to be held against reading them


def limits(ground: Ground) -> list[Job]:
    """Return the jobs that show the limits of this machine: read, memcpy, memcmp, and an empty call from Python."""
    view, copied = ground.store.view, ground.pages[: len(ground.copy_pages)]
    words = ground.bytes.reshape(len(ground.bytes), -1).view(np.uint64)

    def job(engine: str, pages: int, work: Callable[[], Any], is_right: Callable[[Any], bool]) -> Job:
        def check(answer: object) -> None:
            if not is_right(answer):
                raise WrongAnswer(f"{engine} of load {ground.load.name}: a wrong result")

        of_pages = engine != "call"
        return Job(engine, ground.load.name, pages, lambda: None, lambda _: work(), check, is_of_pages=of_pages)

    return [
        job(
            "read",
            len(ground.pages),
            lambda: native.yardstick_read(view, ground.pages),
            lambda total: total == int(np.add.reduce(np.add.reduce(words, axis=1))),
        ),
        job(
            "memcpy",
            len(copied),
            lambda: native.yardstick_memcpy(view, copied, ground.copy),
            lambda _: np.array_equal(ground.copy, ground.bytes[: len(copied)]),
        ),
        job(
            "memcmp",
            len(copied),
            lambda: native.yardstick_memcmp(view, copied, ground.copy_pages),
            lambda equal: equal == len(copied),
        ),
        job(
            "call",
            CALLS,
            lambda: native.yardstick_calls(CALLS),
            lambda last: last == 1,
        ),
    ]


def checksum_job(ground: Ground, name: str = strategies.DEFAULT, threads: int = 1) -> Job:
    """Return the job that sums every page, in ascending order, and does no more; each thread sums a range."""
    strategy = strategies.make(name, ground.store.page_size)
    view, pages = ground.store.view, ground.pages
    threads = min(threads, len(pages))
    bounds = [len(pages) * part // threads for part in range(threads + 1)]
    ranges = [slice(*pair) for pair in pairwise(bounds)]

    def work(sums: U64Array) -> U64Array:
        if threads == 1:
            return native.checksum_pages(view, strategy, pages, out=sums)
        with ThreadPoolExecutor(threads) as pool:
            deque(pool.map(lambda part: native.checksum_pages(view, strategy, pages[part], out=sums[part]), ranges), 0)
        return sums

    return Job(
        engine="checksum",
        load=ground.load.name,
        pages=len(pages),
        prepare=lambda: np.full(len(pages), 1, np.uint64),  # touched
        work=work,
        check=lambda sums: check_sums(ground.load, sums, strategies.is_exact(name)),
        threads=threads,
        checksum=name,
    )


def table_job(ground: Ground, name: str = strategies.DEFAULT) -> Job:
    """Return the job that finds equal pages by a hash table of checksums, confirmed by the bytes, all in C."""
    strategy, n_pages = strategies.make(name, ground.store.page_size), len(ground.pages)
    assert isinstance(strategy, native.Function)  # bench() has asked

    def prepare() -> tuple[StructArray, U32Array]:
        slots, kept = memory.zeros(1 << (2 * n_pages).bit_length(), native.SLOT), np.full(n_pages, 1, np.uint32)
        slots["used"] = 0  # touched
        return slots, kept

    def work(prepared: tuple[StructArray, U32Array]) -> U32Array:
        slots, kept = prepared
        native.yardstick_table(ground.store.view, strategy, ground.pages, slots, kept)
        return kept

    return Job(
        engine="hash table",
        load=ground.load.name,
        pages=n_pages,
        prepare=prepare,
        work=work,
        check=lambda kept: check_kept(ground.load, kept, ground.first),
        checksum=name,
    )


def ksm_job(ground: Ground) -> Job:
    """Return the job of KSM's one-at-a-time twin: its two trees with memcmp at every node, all in C, on our nodes.

    It does less than ksmd: no checksum, one scan for its two, and no page tables.
    """
    n_pages = len(ground.pages)

    def prepare() -> tuple[TableView, U32Array]:
        nodes, kept = memory.zeros(n_pages + 1, native.NODE), np.full(n_pages, 1, np.uint32)
        nodes["page"] = 0  # touched
        return native.TableView(nodes, np.zeros(1, native.TREES)), kept

    def work(prepared: tuple[TableView, U32Array]) -> U32Array:
        table, kept = prepared
        native.yardstick_ksm(ground.store.view, ground.pages, table, kept)
        return kept

    return Job(
        engine="ksm twin",
        load=ground.load.name,
        pages=n_pages,
        prepare=prepare,
        work=work,
        check=lambda kept: check_kept(ground.load, kept, ground.first),
        order="content",
    )


def check_counts(load: Load, **found: int) -> None:
    """Raise WrongAnswer unless these counts are what the load expects."""
    expected = load.expected()
    for name, count in found.items():
        if count != expected[name]:
            raise WrongAnswer(f"load {load.name}: {name} should be {expected[name]}, found {count}")


def check_sums(load: Load, sums: U64Array, exact: bool) -> None:
    """Raise WrongAnswer unless pages of equal content have equal sums, and, if exact, the others others."""
    _, one_page_each, content = np.unique(load.contents, return_index=True, return_inverse=True)
    if not np.array_equal(sums, sums[one_page_each][content]):
        raise WrongAnswer(f"load {load.name}: equal pages have different checksums")
    check_counts(load, pages=len(sums))
    if exact:
        check_counts(load, distinct=len(np.unique(sums)))


def check_kept(load: Load, kept: Pages, first: int) -> int:
    """Return the number of pages merged away; WrongAnswer unless exactly the equal pages have the same kept page.

    kept: page numbers, one for each page of the load, the first of which is page number `first`.
    """
    distinct = len(np.unique(kept))
    check_counts(load, pages=len(kept), distinct=distinct)
    check_same(load, kept, np.arange(first, first + len(kept)), first)
    return len(kept) - distinct


def check_same(load: Load, kept: IntArray, pages: IntArray, first: int) -> None:
    """Raise WrongAnswer unless kept[i] is a page of the load with the content of pages[i]."""
    of_kept, of_pages = kept.astype(np.int64) - first, pages.astype(np.int64) - first
    if len(kept) and not 0 <= of_kept.min() <= of_kept.max() < len(load.contents):
        raise WrongAnswer(f"load {load.name}: a page was merged into one that is not of the load")
    if not np.array_equal(load.contents[of_kept], load.contents[of_pages]):
        raise WrongAnswer(f"load {load.name}: pages of different content share a frame")
