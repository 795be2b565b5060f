"""What the simulated machine must reach: pksmd over page tables and a reverse map, and the machine's own operations.

The pages are those of a load, page i in frame i, all written before the clock starts. Memory: twice that of the pages.
"""

import gc
import time
from functools import partial
from statistics import median

import numpy as np

from pksm.bench import engine_jobs
from pksm.bench.yardsticks import Ground, Job, WrongAnswer
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine import Machine
from pksm.hosts.machine.page_tables import maps_frame, value_of
from pksm.policies.pksmd.daemon import Pksmd
from pksm.protocols import ZERO_FRAME

PAGES = 1 << 18
FORKS = 8
LOADS = ("f", "b")
MOST_WAKES = 1000


def job(ground, engine, start):
    """Return the job of waking pksmd until it rests. start: returns (host, pksmd, page -> frame when asked)."""

    def prepare():
        gc.collect()
        return start(ground)

    def work(prepared):
        _, pksmd, _ = prepared
        wakes = 0
        while not pksmd.at_rest and wakes < MOST_WAKES:
            pksmd.wake()
            wakes += 1
        return prepared

    def check(worked):
        host, pksmd, frames = worked
        if not pksmd.at_rest:
            raise WrongAnswer(f"{engine}, load {ground.load.name}: not at rest after {MOST_WAKES} wake-ups")
        return check_saved(ground, host, frames())

    def steps(worked):
        cost = worked[1].cost
        return {name: (cost.wall_s[name], cpu_s) for name, cpu_s in cost.cpu_s.items()}

    return Job(engine, ground.load.name, len(ground.pages), prepare, work, check, batch=engine_jobs.BATCH, steps=steps)


def check_saved(ground, host, frames):
    """Return the pages merged away; WrongAnswer unless they are the load's copies, each frame of which is saved.

    frames: by page of the load, ZERO_FRAME for the zero page.
    """
    merged = engine_jobs.check_frames(ground.load, frames, 0)
    if host.frames_saved != merged:
        raise WrongAnswer(f"load {ground.load.name}: {host.frames_saved} frames saved, but {merged} pages merged away")
    return merged


def flat(ground):
    host = FlatHost(ground.store, static=True)
    pksmd = Pksmd(host, engine_jobs.settings())
    host.add(ground.pages)
    return host, pksmd, lambda: host.frame_of[ground.pages]


def machine(ground, forks=0):
    """A machine whose one process has written the load, and then forked so often."""
    n = len(ground.pages)
    host = Machine(n)
    pksmd = Pksmd(host, engine_jobs.settings())
    mm = host.spawn()
    address = host.mmap(mm, n)
    host.write(mm, address, ground.bytes)
    children = [host.fork(mm) for _ in range(forks)]

    def frames():
        found = [frames_of(host, one, address // host.page_size, n) for one in (mm, *children)]
        if any(not np.array_equal(found[0], other) for other in found):
            raise WrongAnswer("forks that have not written map other frames than their parent")
        return found[0]

    return host, pksmd, frames


def frames_of(host, mm, first, n):
    """Return the frame of each page, ZERO_FRAME for the zero page: uint32."""
    ptes = host.tables.ptes[host.tables.slots(mm.root, np.arange(first, first + n))]
    return np.where(maps_frame(ptes), value_of(ptes), np.uint32(ZERO_FRAME)).astype(np.uint32)


def over_flat(findings, n):
    """The full machine over flat pages; pages that forks map too over those mapped once."""
    ground = Ground(n)
    for load in LOADS:
        ground.fill(load)
        on_flat, once, forked = findings.measure([
            job(ground, "pksmd, flat", flat),
            job(ground, "pksmd, machine", machine),
            job(ground, f"pksmd, machine, {FORKS} forks", partial(machine, forks=FORKS)),
        ])  # fmt: skip
        remark = f"{once['ns_per_page']:.0f} ns per page, flat {on_flat['ns_per_page']:.0f}"
        ratio = once["ns_per_page"] / on_flat["ns_per_page"]
        findings.at_most(f"load {load}, full machine over flat", "x", (1.8, 1.4), ratio, remark)
        ratio, remark = forked["ns_per_page"] / once["ns_per_page"], f"{forked['ns_per_page']:.0f} ns per page"
        findings.at_most(f"load {load}, mapped by {FORKS} forks over once", "x", (2, 1.5), ratio, remark)


def operations(findings, n):
    """Write fault, fork, copy on write, and munmap, of pages whose frames have been used before."""
    times = {}
    for _ in range(findings.options.repeats):
        for name, seconds in operation_times(n).items():
            times.setdefault(name, []).append(seconds)
        gc.collect()
    for name, seconds in times.items():
        findings.at_most(f"{name} of {n:,} pages", "s", (0.3, 0.15), median(seconds))


def operation_times(n):
    """Return {operation: seconds} of a machine that is gone afterwards."""
    host = Machine(2 * n)
    pksmd = Pksmd(host, engine_jobs.settings())
    mm = host.spawn()
    address = host.mmap(mm, 2 * n)
    host.touch(mm, address, 2 * n, write=True)
    host.munmap(mm, address, 2 * n)
    pksmd.wake()
    address = host.mmap(mm, n)
    children = []
    times = {}
    for name, operation in {
        "write fault": lambda: host.touch(mm, address, n, write=True),
        "fork": lambda: children.append(host.fork(mm)),
        "copy on write": lambda: host.touch(children[0], address, n, write=True),
        "munmap": lambda: host.munmap(mm, address, n),
    }.items():
        began = time.process_time()
        operation()
        times[name] = time.process_time() - began
    if host.frames_used != n:
        raise WrongAnswer(f"{host.frames_used} frames in use after munmap, not the {n} of the child")
    return times


def idle(findings, n, wake_us):
    """A wake-up with nothing to do on the machine."""
    host = Machine(n)
    pksmd = Pksmd(host, engine_jobs.settings())
    mm = host.spawn()
    host.write(mm, host.mmap(mm, n), np.arange(1, n + 1))
    for _ in range(MOST_WAKES):
        pksmd.wake()
    if not pksmd.at_rest or host.frames_saved:
        raise WrongAnswer("pages that differ were merged, or looked at for ever")
    what = f"idle wake-up on the machine, {n:,} pages"
    findings.at_most(what, "us", (200, 50), wake_us(pksmd))
