"""The jobs of the engine itself: settling in C alone, and pksmd from the birth of all pages to rest."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import Pages, U8Array, U32Array
from pksm.bench.yardsticks import Job, WrongAnswer, check_counts, check_same
from pksm.engine import native
from pksm.engine.checksums import strategies
from pksm.engine.settle import Rules, Verdict
from pksm.errors import UsageError
from pksm.hosts.flat import FlatHost
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import WINDOW, Pksmd
from pksm.policies.pksmd.items import Items, forest_for
from pksm.policies.registry import choose_one
from pksm.protocols import NO_FRAME, ZERO_FRAME

if TYPE_CHECKING:
    from pksm.bench.yardsticks import Ground
    from pksm.policies.base import Policy
    from pksm.policies.pksmd.tunables import Tunables
    from pksm.policies.registry import Choice
    from pksm.simulation.workloads.loads import Load


BATCH = 65536  # pages per wake-up, as a scan has it
# The recheck of unshared pages depends on time, not on work: it is put off, so that every page is summed once.
PERIOD_SECONDS = 100_000_000


def settings(order: str = "checksum-content", batch: int = BATCH, checksum: str = strategies.DEFAULT) -> Tunables:
    """Return the tunables that the engine is measured with: preset `fixed`, without the periodic recheck."""
    return tunables.preset("fixed").with_(
        order=order, pages_to_scan=batch, checksum=checksum, period_seconds=PERIOD_SECONDS
    )


def settle_job(ground: Ground, tunables_: Tunables) -> Job:
    """Return the job of the engine's C part alone: checksums, searches and trees, batch by batch; nothing is merged."""
    strategy, n_pages = strategies.make(tunables_.checksum, ground.store.page_size), len(ground.pages)
    chosen = Rules(strategy, order=tunables_.order, distrust=tunables_.order != "content", window=WINDOW)
    rules = chosen.pack(ground.store.page_size)

    def prepare() -> tuple[Items, U32Array, U8Array, U32Array]:
        items = Items(n_pages + 1, forest=0 if tunables_.order == "content" else forest_for(n_pages))
        ids = items.allocate(ground.pages, native.INITCHECKSUM)
        return items, ids, np.full(n_pages, 255, np.uint8), np.full(n_pages, 1, np.uint32)

    def work(prepared: tuple[Items, U32Array, U8Array, U32Array]) -> tuple[Items, U32Array, U8Array, U32Array]:
        items, ids, verdicts, others = prepared
        cost = np.zeros(1, native.COST)
        for start in range(0, n_pages, tunables_.pages_to_scan):
            part = slice(start, start + tunables_.pages_to_scan)
            done = native.settle(ground.store.view, items.table, rules, None, ids[part], cost)
            verdicts[part], others[part] = done.verdicts, done.others
        return prepared

    def check(worked: tuple[Items, U32Array, U8Array, U32Array]) -> int:
        items, ids, verdicts, others = worked
        zero, merged = verdicts == Verdict.ZERO, (verdicts == Verdict.JOINED) | (verdicts == Verdict.PAIRED)
        n_zero, n_merged = int(np.count_nonzero(zero)), int(np.count_nonzero(merged))
        check_counts(ground.load, zero=n_zero, duplicates=n_merged)
        check_same(ground.load, items.page[others[merged]], items.page[ids[merged]], ground.first)
        return n_zero + n_merged

    return Job(
        engine="settle in C",
        load=ground.load.name,
        pages=n_pages,
        prepare=prepare,
        work=work,
        check=check,
        order=tunables_.order,
        batch=tunables_.pages_to_scan,
        checksum=tunables_.checksum,
    )


def pksmd_job(ground: Ground, tunables_: Tunables, threads: int = 1) -> Job:
    """Return the job of the engine proper: from the birth of all pages until pksmd is at rest. Its steps are timed."""
    most_wakes = 100 + 10 * -(-len(ground.pages) // tunables_.pages_to_scan)

    def prepare() -> tuple[FlatHost, Pksmd]:
        gc.collect()
        host = FlatHost(ground.store, static=True)
        return host, Pksmd(host, tunables_, threads=threads, forest=forest_for(len(ground.pages)))

    def work(prepared: tuple[FlatHost, Pksmd]) -> tuple[FlatHost, Pksmd]:
        host, pksmd = prepared
        lap = pksmd.cost.laps()
        host.add(ground.pages)
        lap("add")
        wakes = 0
        while not pksmd.at_rest and wakes < most_wakes:
            pksmd.wake()
            wakes += 1
        return prepared

    def check(worked: tuple[FlatHost, Pksmd]) -> int:
        host, pksmd = worked
        if not pksmd.at_rest:
            where = f"load {ground.load.name}, order {tunables_.order}"
            raise WrongAnswer(f"{where}: not at rest after {most_wakes} wake-ups")
        return check_frames(ground.load, host.frame_of[ground.pages], ground.first)

    return Job(
        engine="pksmd",
        load=ground.load.name,
        pages=len(ground.pages),
        prepare=prepare,
        work=work,
        check=check,
        order=tunables_.order,
        batch=tunables_.pages_to_scan,
        threads=threads,
        steps=_steps,
        checksum=tunables_.checksum,
    )


def policy_choice(name: str, batch: int = BATCH) -> Choice:
    """Return a policy as it is measured: its preset, with so many pages per wake-up where it has that setting.

    UsageError for an unknown policy or preset, or one that never merges.
    """
    chosen = choose_one(name)
    changes = {"pages_to_scan": batch, "period_seconds": PERIOD_SECONDS}
    known = {setting: value for setting, value in changes.items() if setting in chosen.spec.settings.entries()}
    if not known:
        raise UsageError(f"{name}: has no pages_to_scan, so there is nothing to measure", "policies")
    return choose_one(name, known)


def policy_job(ground: Ground, choice: Choice) -> Job:
    """Return the job of any policy on pages that are mapped once each, from their birth until it is at rest.

    It may merge less than there is, as its preset has it; what it merges must be equal.
    """
    batch = choice.settings.as_dict()["pages_to_scan"]
    most_wakes = 1000 + 20 * -(-len(ground.pages) // batch)

    def prepare() -> tuple[FlatHost, Policy]:
        gc.collect()
        host = FlatHost(ground.store, static=True)
        return host, choice.make(host)

    def work(prepared: tuple[FlatHost, Policy]) -> tuple[FlatHost, Policy]:
        host, policy = prepared
        host.add(ground.pages)
        wakes = 0
        while not policy.at_rest and wakes < most_wakes:
            policy.wake()
            wakes += 1
        return prepared

    def check(worked: tuple[FlatHost, Policy]) -> int:
        host, policy = worked
        if not policy.at_rest:
            raise WrongAnswer(f"load {ground.load.name}, {choice.name}: not at rest after {most_wakes} wake-ups")
        frames = host.frame_of[ground.pages]
        zero, alive = frames == ZERO_FRAME, frames != NO_FRAME
        check_counts(ground.load, pages=int(np.count_nonzero(alive)))
        if ground.load.contents[zero].any():
            raise WrongAnswer(f"load {ground.load.name}, {choice.name}: pages that are not zero became the zero page")
        check_same(ground.load, frames[~zero], ground.pages[~zero], ground.first)
        return int(host.frames_saved)

    settings_ = choice.settings.as_dict()
    return Job(
        engine=choice.name,
        load=ground.load.name,
        pages=len(ground.pages),
        prepare=prepare,
        work=work,
        check=check,
        order=settings_.get("order"),
        batch=batch,
        checksum=settings_.get("checksum"),
    )


def _steps(worked: tuple[FlatHost, Pksmd]) -> dict[str, tuple[float, float]]:
    """Return {step: (wall, CPU seconds)} of a pksmd that has worked."""
    cost = worked[1].cost
    return {name: (cost.wall_s[name], cpu_s) for name, cpu_s in cost.cpu_s.items()}


def check_frames(load: Load, frames: Pages, first: int) -> int:
    """Return the number of pages merged away; WrongAnswer unless exactly the equal pages share a frame.

    frames: FlatHost.frame_of of the load's pages, the first of which is page number `first`.
    """
    zero, alive = frames == ZERO_FRAME, frames != NO_FRAME
    distinct, n_alive = len(np.unique(frames[alive])), int(np.count_nonzero(alive))
    n_zero = int(np.count_nonzero(zero))
    duplicates = n_alive - distinct - max(0, n_zero - 1)
    check_counts(load, pages=n_alive, zero=n_zero, distinct=distinct, duplicates=duplicates)
    if load.contents[zero].any():
        raise WrongAnswer(f"load {load.name}: pages of different content share a frame")
    kept = frames[alive & ~zero]
    check_same(load, kept, first + np.flatnonzero(alive & ~zero), first)
    return n_alive - len(np.unique(kept))
