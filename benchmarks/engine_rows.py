"""Targets of the engine: pksmd beside reading and the hash table, ksmd beside its twin and the kernel's, growth, frees."""

import gc
import time
from contextlib import ExitStack
from statistics import median

import numpy as np
from findings import Target, by_engine, ratios

from pksm import FlatHost, Ksmd, Pksmd, Store
from pksm.bench import beside_kernel, engine_jobs
from pksm.bench.measuring import measure
from pksm.bench.yardsticks import Ground, WrongAnswer, ksm_job, limits, table_job
from pksm.errors import UnsupportedError
from pksm.linux import system
from pksm.policies.ksmd import tunables as ksm_tunables

SMALL_WAKE_UP = 100
GROWTH_PAGE, TINY_PAGE = 64, 8  # bytes: nothing but trees and lists; a number
TARGETS = {
    "pksmd-a": Target("pksmd over read, load a", "x", 2.2, 2.0),
    "pksmd-e": Target("pksmd over read, load e", "x", 2.2, 2.0),
    "pksmd-p": Target("pksmd over read, load p", "x", 2.2, 2.0),
    "pksmd-f": Target("pksmd over read, load f", "x", 3.0, 2.7),
    "pksmd-b": Target("pksmd over read, load b", "x", 3.9, 3.4),
    "table-f": Target("pksmd over the hash table in C, load f", "x", 1.5, 1.25),
    "table-b": Target("pksmd over the hash table in C, load b", "x", 1.7, 1.25),
    "twin-e": Target("KSM's twin over ksmd's merging scan, load e", "x", 1.5, 4, more=True),
    "twin-f": Target("KSM's twin over ksmd's merging scan, load f", "x", 1, 1.6, more=True),
    "twin-a": Target("KSM's twin over ksmd's merging scan, load a", "x", 1, 1.5, more=True),
    "twin-b": Target("KSM's twin over ksmd's merging scan, load b", "x", 1, 1.5, more=True),
    "kernel-f": Target("the kernel's ksmd over ours, both scans, load f", "x", 4, 6, more=True),
    "kernel-e": Target("the kernel's ksmd over ours, both scans, load e", "x", 6, 12, more=True),
    "kernel-b": Target("the kernel's ksmd over ours, both scans, load b", "x", 3.5, 5, more=True),
    "wake-up": Target(f"ksmd in wake-ups of {SMALL_WAKE_UP} pages, fixed part", "us", 130, 90),
    "growth-a": Target("pksmd's growth, pages of 64 bytes, load a", "x", 1.8, 1.5),
    "growth-f": Target("pksmd's growth, pages of 64 bytes, load f", "x", 2.2, 1.8),
    "free": Target("free of a tenth of the pages tracked (FlatHost)", "s", 0.5, 0.3),
}


def _ns(rows, engine, pages):
    return 1e9 * median(rows[engine]) / pages


def merging(findings, pages):
    """pksmd beside reading and beside the hash table, on each load."""
    loads = [load for load in "aepfb" if findings.wants(f"pksmd-{load}", f"table-{load}")]
    if not loads:
        return
    with system.pinned():
        ground = Ground(pages)
        for load in loads:
            ground.fill(load)
            jobs = [limits(ground)[0], table_job(ground), engine_jobs.pksmd_job(ground, engine_jobs.settings())]
            rows = by_engine(measure(jobs, findings.repeats))
            remark = ", ".join(f"{name} {_ns(rows, name, pages):.0f}" for name in ("read", "hash table", "pksmd"))
            findings.add(f"pksmd-{load}", ratios(rows, "pksmd", "read"), f"{remark} ns per page")
            if load in "fb":
                findings.add(f"table-{load}", ratios(rows, "pksmd", "hash table"), f"{remark} ns per page")


def scanning(findings, pages):
    """ksmd beside KSM's twin in C and beside the running kernel's, all on the same bytes."""
    with system.pinned(), ExitStack() as stack:
        ground, kernel = None, None
        for load in "efab":
            beside = load != "a" and findings.wants(f"kernel-{load}")
            if not beside and not findings.wants(f"twin-{load}"):
                continue
            ground = ground or Ground(pages)
            ground.fill(load)
            if beside and kernel is None:
                try:
                    kernel = stack.enter_context(beside_kernel.KernelJobs())
                except UnsupportedError as reason:
                    print(f"not measured: {', '.join(n for n in TARGETS if n.startswith('kernel-'))}: {reason}")
                    findings.wanted -= {name for name in TARGETS if name.startswith("kernel-")}
            jobs = [limits(ground)[0], ksm_job(ground), beside_kernel.ksmd_flat_job(ground)]
            if beside and kernel:
                jobs.append(kernel.job(ground))
            rows = by_engine(measure(jobs, findings.repeats))
            remark = f"{', '.join(f'{name} {_ns(rows, name, pages):.0f}' for name in rows)} ns per page"
            findings.add(f"twin-{load}", ratios(rows, "ksm twin", "ksmd: merging scan"), remark)
            if "kernel's ksmd" in rows:
                findings.ours_s = kernel.cpu_s
                findings.add(f"kernel-{load}", ratios(rows, "kernel's ksmd", "ksmd"), remark)


def waking(findings, pages):
    """What a small wake-up of ksmd costs besides its pages: two scans in small ones, less the same in one each."""
    if not findings.wants("wake-up"):
        return
    settings = ksm_tunables.preset("ksm-6.11").with_(smart_scan=0, max_page_sharing=0)
    with system.pinned():
        ground = Ground(pages)
        ground.fill("f")

        def two_scans(batch):
            gc.collect()
            host = FlatHost(ground.store, static=True)
            ksmd = Ksmd(host, settings.with_(pages_to_scan=batch))
            host.add(ground.pages)
            began, wakes = time.process_time(), 0
            while ksmd.full_scans < 2:
                ksmd.wake()
                wakes += 1
            return time.process_time() - began, wakes

        def fixed_us():
            (small_s, wakes), (big_s, few) = two_scans(SMALL_WAKE_UP), two_scans(1 << 30)
            return 1e6 * (small_s - big_s) / max(1, wakes - few)

        findings.add("wake-up", findings.samples(fixed_us), findings.read())


def growing(findings, pages):
    """How pksmd's time per page grows from few pages to very many, without bytes to speak of."""
    many = 16 * pages
    few = max(64, many >> 8)
    for load in "af":
        if not findings.wants(f"growth-{load}"):
            continue
        with system.pinned():
            grounds = [Ground(size, GROWTH_PAGE) for size in (few, many)]
            for ground in grounds:
                ground.fill(load)
            jobs = [engine_jobs.pksmd_job(ground, engine_jobs.settings()) for ground in grounds]
            # the first is over in a moment: its median of a few stands beside each run of the second
            small = [by_engine(measure(jobs[:1], 5))["pksmd"] for _ in range(min(3, findings.repeats))]
            big = by_engine(measure(jobs[1:], len(small)))["pksmd"]
            samples = [(one / many) / (median(times) / few) for one, times in zip(big, small, strict=True)]
            del grounds, jobs
        ns = (
            f"{few:,} pages {1e9 * median(map(median, small)) / few:.0f} ns, {many:,} {1e9 * median(big) / many:.0f} ns"
        )
        findings.add(f"growth-{load}", samples, f"{ns}; {findings.read()}")


def freeing(findings, pages):
    """How long it takes until a tenth of all pages are gone from a FlatHost and from pksmd."""
    if not findings.wants("free"):
        return
    tracked = 10 * pages
    with system.pinned():
        store = Store(TINY_PAGE)
        first, memory = store.allocate(tracked)
        memory.view(np.uint64)[:, 0] = np.arange(1, tracked + 1)
        host = FlatHost(store, static=True)
        pksmd = Pksmd(host, engine_jobs.settings())
        host.add(np.arange(first, first + tracked, dtype=np.uint32))
        while not pksmd.at_rest:
            pksmd.wake()
        order = np.random.default_rng(0).permutation(tracked).astype(np.uint32) + np.uint32(first)
        parts = iter(np.array_split(order, 10)[: min(5, findings.repeats)])

        def free():
            part = next(parts)
            began = time.process_time()
            host.free(part)
            while not pksmd.at_rest:
                pksmd.wake()
            pksmd.wake()
            return time.process_time() - began

        samples = [free() for _ in range(min(5, findings.repeats))]
        if host.to_dict()["pages"] != tracked - sum(len(part) for part in np.array_split(order, 10)[: len(samples)]):
            raise WrongAnswer("other pages are left than should be")
        findings.add("free", samples, f"{tracked:,} pages at first; {findings.read()}")
