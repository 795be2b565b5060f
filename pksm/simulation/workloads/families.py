"""Workloads of processes that fork, write and go: what a server with workers does to its memory."""

from collections.abc import Iterator

import numpy as np

from pksm.arrays import I64Array
from pksm.simulation.operations import Event

_ZERO, _SHARED = 0, 1  # content ids: the zero page; from here on those that many pages have
CHURN_MS, CHURN_STEP_MS = 30_000, 487  # not in step with wake-ups


def _mixed(rng: np.random.Generator, pages: int, own: int) -> I64Array:
    """Draw content ids: a fifth zero, two fifths of one page in 16 contents, the rest alone.

    own: the first of these.
    """
    kind = rng.random(pages)
    ids = own + np.arange(pages)
    common = (kind >= 0.2) & (kind < 0.6)
    ids[common] = _SHARED + rng.integers(0, max(1, pages // 16), int(common.sum()))
    ids[kind < 0.2] = _ZERO
    return ids


def _at(ms: int | None, op: str, process: str, **fields: object) -> Event:
    return Event(ms, op, {"process": process, **fields})


def _settled(label: str) -> tuple[Event, Event]:
    return Event(None, "until_rest", {}), Event(None, "read", {"label": label})


def fork_family(pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """A process fills its memory and forks three children before anything is merged; then they write, then they go."""
    rng = np.random.default_rng(seed)
    yield _at(0, "spawn", "p0")
    yield _at(0, "mmap", "p0", n=pages, name="heap", mergeable=True)
    yield _at(0, "write", "p0", address="heap", content=_mixed(rng, pages, _SHARED + pages))
    for child in ("p1", "p2", "p3"):
        yield _at(None, "fork", "p0", child=child)
    yield from _settled("forked")
    for child in ("p1", "p2", "p3"):
        n = max(1, pages // 10)
        first = int(rng.integers(0, pages - n + 1))
        yield _at(None, "write", child, address="heap", first=first, content=_mixed(rng, n, _SHARED + pages))
    yield from _settled("written")
    for process in ("p1", "p2", "p3"):
        yield _at(None, "exit", process)
    yield from _settled("alone again")


def churn(pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """A server and its workers for half a minute.

    Pages are rewritten in place, copied on write, written back, freed.
    """
    rng = np.random.default_rng(seed)
    own = _SHARED + pages
    yield _at(0, "spawn", "server")
    yield _at(0, "mmap", "server", n=pages, name="heap", mergeable=True)
    yield _at(0, "write", "server", address="heap", content=_mixed(rng, pages, own))
    workers, born = [], 0
    n = max(1, pages // 100)
    for ms in range(CHURN_STEP_MS, CHURN_MS, CHURN_STEP_MS):
        own += pages
        if ms % (4 * CHURN_STEP_MS) == 0:
            born += 1
            workers.append(f"worker {born}")
            yield _at(ms, "fork", "server", child=workers[-1])
        if len(workers) > 4:
            yield _at(ms, "exit", workers.pop(0))
        for process in ("server", *workers):
            first = int(rng.integers(0, pages - n + 1))
            yield _at(ms, "write", process, address="heap", first=first, content=_mixed(rng, n, own % (1 << 20)))
    yield Event(CHURN_MS, "read", {"label": "half a minute"})


def partly_opted_in(pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """A process opts in to a tenth of its memory, which is half pairs; the other nine tenths have nothing in common."""
    n = max(2, pages // 10)
    yield _at(0, "spawn", "p0")
    yield _at(0, "mmap", "p0", n=n, name="opted in", mergeable=True)
    yield _at(0, "write", "p0", address="opted in", content=_SHARED + np.arange(n) % (n - n // 4))
    yield _at(0, "mmap", "p0", n=max(1, pages - n), name="others")
    yield _at(0, "write", "p0", address="others", content=_SHARED + n + np.arange(max(1, pages - n)))
    yield from _settled("settled")


MAKERS = {"fork-family": fork_family, "opted-in": partly_opted_in, "churn": churn}
