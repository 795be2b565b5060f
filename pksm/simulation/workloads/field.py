"""Workloads as they are met in the field: what sharing, duplicates and writes look like there, made from a seed.

Each is a function(pages, seed, page_size) that yields Events; `pages` is about what all of its processes map in the end.
Shares and rates are round numbers that the texts name; they are models, not recordings.
"""

from collections.abc import Iterator

import numpy as np

from pksm.arrays import I64Array
from pksm.simulation.operations import Event

_ZERO, _COMMON = 0, 1  # content ids: the zero page; from here on those that many processes have
_OWN = 1 << 20  # from here on ids that nobody else has
STEP_MS = 500


class _Contents:
    """Content ids from a seed: common ones from a pool, and ones that nothing else has."""

    def __init__(self, seed: int, common: int) -> None:
        self.rng = np.random.default_rng(seed)
        self._common, self._next = max(1, common), _OWN

    def own(self, n: int) -> I64Array:
        """Return n ids that are new."""
        self._next += n
        return np.arange(self._next - n, self._next)

    def mixed(self, n: int, zero: float, common: float) -> I64Array:
        """Return n ids: a part zero, a part of the common pool, the others new."""
        kind, ids = self.rng.random(n), self.own(n)
        is_common = (kind >= zero) & (kind < zero + common)
        ids[is_common] = _COMMON + self.rng.integers(0, self._common, int(is_common.sum()))
        ids[kind < zero] = _ZERO
        return ids

    def somewhere(self, pages: int, n: int) -> int:
        """Return where n pages of so many begin."""
        return int(self.rng.integers(0, max(1, pages - n + 1)))


def _event(ms: int | None, op: str, process: str, **fields: object) -> Event:
    return Event(ms, op, {"process": process, **fields})


def _filled(ms: int | None, process: str, name: str, ids: I64Array) -> Iterator[Event]:
    yield _event(ms, "mmap", process, n=len(ids), name=name, mergeable=True)
    yield _event(None, "write", process, address=name, content=ids)


def _ended(ms: int) -> Iterator[Event]:
    yield Event(ms, "read", {"label": "at the end"})


def zygote(pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """A zygote with a prepared heap forks an app every 2 s, as Android does: eight of them. Each writes to a tenth of the
    inherited heap, mostly what the others write there, too, and fills a heap of its own. Later every app rewrites some of
    it, and one in four is ended."""
    apps, heap = 8, max(8, pages // 4)
    own = max(1, 3 * pages // 4 // apps)
    contents = _Contents(seed, pages // 16)
    yield _event(0, "spawn", "zygote")
    yield from _filled(0, "zygote", "heap", contents.mixed(heap, 0.1, 0.1))
    inherited = contents.own(max(1, heap // 10))
    at = contents.somewhere(heap, len(inherited))
    for number in range(apps):
        app, ms = f"app {number}", 2000 * (number + 1)
        yield _event(ms, "fork", "zygote", child=app)
        written = np.where(contents.rng.random(len(inherited)) < 0.7, inherited, contents.own(len(inherited)))
        yield _event(None, "write", app, address="heap", first=at, content=written)
        yield from _filled(None, app, "own", contents.mixed(own, 0.15, 0.35))
    for step in range(40):
        ms = 2000 * apps + STEP_MS * (step + 1)
        n = max(1, own // 50)
        for number in range(apps):
            if step < 20 or number % 4:
                where = contents.somewhere(own, n)
                yield _event(
                    ms, "write", f"app {number}", address="own", first=where, content=contents.mixed(n, 0.1, 0.3)
                )
        if step == 20:
            for number in range(0, apps, 4):
                yield _event(ms, "exit", f"app {number}")
    yield from _ended(2000 * apps + STEP_MS * 41)


def browser(pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """A browser opens ten tabs, one every 3 s, each a fork of its zygote: a third of a tab's memory is what other tabs have
    (scripts, decoded images), a fifth is zero. The two tabs in front rewrite 2 % of theirs every half second; those in the
    background stand still, and the oldest is closed for each new one beyond eight."""
    tabs, base = 10, max(4, pages // 10)
    own = max(1, 9 * pages // 10 // 8)
    contents = _Contents(seed, own // 2)
    yield _event(0, "spawn", "zygote")
    yield from _filled(0, "zygote", "heap", contents.mixed(base, 0.05, 0.1))
    for number in range(tabs):
        opened = 3000 * (number + 1)
        yield _event(opened, "fork", "zygote", child=f"tab {number}")
        yield from _filled(None, f"tab {number}", "page", contents.mixed(own, 0.2, 0.33))
        if number >= 8:
            yield _event(None, "exit", f"tab {number - 8}")
        for ms in range(opened + STEP_MS, opened + 3000, STEP_MS):
            for front in range(max(0, number - 1), number + 1):
                n = max(1, own // 50)
                where = contents.somewhere(own, n)
                yield _event(
                    ms, "write", f"tab {front}", address="page", first=where, content=contents.mixed(n, 0.1, 0.2)
                )
    yield from _ended(3000 * (tabs + 1) + 10_000)


def vm_boots(pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """Four guests of one image boot 5 s apart. A guest touches a quarter of its memory at once: kernel and services, of which
    four fifths are those of the image. Over ten seconds its page cache grows to another half, three quarters of it the
    image's; a tenth of the guest is zeroed, written and freed again while it boots; a quarter it never touches."""
    guests, whole = 4, max(8, pages // 4)
    contents = _Contents(seed, 1)
    image = _COMMON + np.arange(whole)
    begun, grown = whole // 4, whole // 2
    events: list[tuple[int, int, Event]] = []

    def at(ms: int, event: Event) -> None:
        events.append((ms, len(events), event))

    for number in range(guests):
        guest, boot = f"guest {number}", 5000 * number
        at(boot, _event(boot, "spawn", guest))
        at(boot, _event(boot, "mmap", guest, n=whole, name="ram", mergeable=True))
        ids = np.where(contents.rng.random(begun) < 0.8, image[:begun], contents.own(begun))
        at(boot, _event(boot, "write", guest, address="ram", content=ids))
        part = max(1, grown // 20)
        for step in range(20):
            ms, first = boot + STEP_MS * (step + 1), begun + step * part
            if first + part <= begun + grown:
                of_image = contents.rng.random(part) < 0.75
                ids = np.where(of_image, image[first : first + part], contents.own(part))
                at(ms, _event(ms, "write", guest, address="ram", first=first, content=ids))
            n = max(1, whole // 100)
            where = begun + contents.somewhere(max(1, step * part), n) if step else 0
            churned = contents.mixed(n, 0.5, 0.0)
            at(ms, _event(ms, "write", guest, address="ram", first=min(where, whole - n), content=churned))
    for _, _, event in sorted(events, key=lambda one: one[:2]):
        yield event
    yield from _ended(5000 * (guests - 1) + 30_000)


def database(pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """Two replicas of a database with the same data: three fifths of each are tables, equal in both and at rest; a fifth are
    buffers that both rewrite at random, 5 % of them every half second, in different orders; a fifth are private."""
    each = max(10, pages // 2)
    tables, buffers = 3 * each // 5, each // 5
    contents = _Contents(seed, 1)
    data = _COMMON + np.arange(tables)
    for name in ("primary", "replica"):
        yield _event(0, "spawn", name)
        yield from _filled(0, name, "tables", data)
        yield from _filled(0, name, "buffers", contents.own(buffers))
        yield from _filled(0, name, "private", contents.mixed(each - tables - buffers, 0.1, 0.0))
    n = max(1, buffers // 20)
    for ms in range(STEP_MS, 60_000, STEP_MS):
        for name in ("primary", "replica"):
            where = contents.somewhere(buffers, n)
            yield _event(ms, "write", name, address="buffers", first=where, content=contents.own(n))
    yield from _ended(60_000)


def functions(pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """Short-lived functions, as a serverless host runs them: every 250 ms one starts, lives for 2 s on the median (log-normal),
    and ends. Nine tenths of its memory are those of its runtime, of which there are three. Do duplicates die before they
    are merged?"""
    each, kinds = max(4, pages // 12), 3
    contents = _Contents(seed, 1)
    runtimes = [_COMMON + kind * each + np.arange(each) for kind in range(kinds)]
    due: list[tuple[int, int, str, I64Array | None]] = []
    for number, ms in enumerate(range(0, 60_000, 250)):
        kind = int(contents.rng.integers(0, kinds))
        ids = np.where(contents.rng.random(each) < 0.9, runtimes[kind], contents.own(each))
        lives = int(2000 * np.exp(0.8 * contents.rng.standard_normal()))
        due.append((ms, 2 * number, f"call {number}", ids))
        due.append((ms + max(1, lives), 2 * number + 1, f"call {number}", None))
    for ms, _, name, started in sorted(due, key=lambda one: one[:2]):
        if ms >= 60_000:
            break
        if started is None:
            yield _event(ms, "exit", name)
        else:
            yield _event(ms, "spawn", name)
            yield from _filled(ms, name, "heap", started)
    yield from _ended(60_000)


def cow_storm(pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """Four processes with the same memory come to rest, all merged. Then, every second, all write to the same quarter of it
    within 100 ms, each its own contents, and a second later write back what was there: every merge is undone by copies."""
    each, contents = max(8, pages // 4), _Contents(seed, 1)
    data = _COMMON + np.arange(each)
    names = [f"p{number}" for number in range(4)]
    for name in names:
        yield _event(0, "spawn", name)
        yield from _filled(0, name, "heap", data)
    yield Event(None, "until_rest", {})
    yield Event(None, "read", {"label": "merged"})
    n = each // 4
    for _ in range(10):
        first = contents.somewhere(each, n)
        for back in (False, True):
            for name in names:
                ids = data[first : first + n] if back else contents.own(n)
                yield _event(None, "write", name, address="heap", first=first, content=ids)
                yield Event(None, "wait", {"ms": 25})
            yield Event(None, "wait", {"ms": 900})
    yield Event(None, "read", {"label": "after the storm"})


def swapping(pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """Memory pressure: two processes with half of their memory in common. Every 2 s the host swaps out a part of the colder
    one, merged pages too, which come back one by one when they are read; what came back is a page of its own again."""
    each, contents = max(10, pages // 2), _Contents(seed, pages // 4)
    for name in ("hot", "cold"):
        yield _event(0, "spawn", name)
        common = _COMMON + np.arange(each // 2)
        yield from _filled(0, name, "heap", np.concatenate((common, contents.mixed(each - each // 2, 0.1, 0.2))))
    n = max(1, each // 8)
    for ms in range(2000, 30_000, 2000):
        first = contents.somewhere(each, n)
        yield _event(ms, "swap_out", "cold", address="heap", first=first, n=n)
        where = contents.somewhere(each, max(1, n // 4))
        yield _event(ms, "write", "hot", address="heap", first=where, content=contents.mixed(max(1, n // 4), 0.1, 0.3))
        yield _event(ms + 1000, "read", "cold", address="heap", first=first, n=max(1, n // 2))
    yield from _ended(40_000)


MAKERS = {
    "zygote": zygote,
    "browser": browser,
    "vm-boots": vm_boots,
    "database": database,
    "functions": functions,
    "cow-storm": cow_storm,
    "swapping": swapping,
}
