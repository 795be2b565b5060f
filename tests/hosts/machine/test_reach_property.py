"""How far the reverse walk gets: the class of every page against a walk in plain Python, whatever happens before."""

import itertools

import numpy as np
from hypothesis import event, example, given
from hypothesis import strategies as st

from pksm.hosts.machine import Machine
from pksm.hosts.machine import frames as flag
from pksm.hosts.machine.mm import GROWSDOWN
from pksm.hosts.machine.page_tables import maps_frame, value_of
from pksm.hosts.machine.quirks import Quirks

from model.settle import Class
from model.walk import Vma, class_of
from support.machines import SIZE

PAGES = 12
REGIONS = (0x100 * SIZE, 0x10000 * SIZE)
WALKS = ("walk-stops", "split-vma", "multi-mapped-kpage", "partial-merge-leak")
ranges = st.tuples(st.sampled_from(REGIONS), st.integers(0, PAGES - 1), st.integers(1, PAGES)).map(
    lambda found: (found[0], found[1], min(found[2], PAGES - found[1]))
)
steps = st.tuples(
    st.sampled_from(["write", "write", "fork", "fork", "munmap", "dontneed", "protect", "allow", "exit", "look"])
    | st.sampled_from(["swap_out", "touch", "migrate"]),
    st.integers(0, 3),
    ranges,
)


def chain_of(machine, frame):
    """The vmas of a frame's anon_vma, looked up one at a time."""
    vmas, starts = machine.rmap.chains()
    anon_vma = int(machine.frames.anon_vma[frame])
    for vma in vmas[starts[anon_vma] : starts[anon_vma + 1]].tolist():
        start, end = machine.vmas.span(vma)
        page = int(machine.frames.index[frame]) - int(machine.vmas.pgoff[vma]) + start
        holds = start <= page < end
        pte = (
            machine.tables.ptes[machine.tables.slots(int(machine.vmas.root[vma]), np.array([page]))] if holds else None
        )
        maps = holds and bool(maps_frame(pte)[0]) and int(value_of(pte)[0]) == frame
        yield Vma(holds, maps, not machine.vmas.has(vma, GROWSDOWN))


def do(machine, mms, name, which, at):
    """One step, if it can be done."""
    mm, (region, first, n) = mms[which % len(mms)], at
    address = region + first * SIZE
    covered = sum(
        min(machine.vmas.end[vma], address // SIZE + n) - max(machine.vmas.start[vma], address // SIZE)
        for vma in machine.vmas.over(mm, address // SIZE, address // SIZE + n)
    )
    if name == "fork" and len(mms) < 4:
        mms.append(machine.fork(mm))
    elif name == "exit" and len(mms) > 1:
        machine.exit(mms.pop(which % len(mms)))
    elif name == "munmap":
        machine.munmap(mm, address, n)
    elif covered != n:
        pass
    elif name in ("swap_out", "touch", "migrate"):
        getattr(machine, name)(mm, address, n)
    elif name == "dontneed":
        machine.madvise(mm, address, n, "DONTNEED")
    elif name in ("protect", "allow"):
        machine.mprotect(mm, address, n, name == "allow")
    elif name == "write" and all(machine.vmas.flags[vma] & 1 for vma in machine.vmas.over(mm, *pages(address, n))):
        machine.write(mm, address, np.arange(1, n + 1))


def pages(address, n):
    return address // SIZE, address // SIZE + n


@given(
    quirks=st.sets(st.sampled_from(WALKS)),
    stack=st.booleans(),
    plan=st.lists(steps, min_size=4, max_size=30),
)
@example(
    quirks={"walk-stops", "split-vma", "multi-mapped-kpage", "partial-merge-leak"},
    stack=False,
    plan=[
        ("fork", 0, (REGIONS[0], 0, 1)),
        ("write", 1, (REGIONS[0], 5, 5)),
        ("fork", 1, (REGIONS[0], 0, 1)),
        ("fork", 1, (REGIONS[0], 0, 1)),
        ("swap_out", 2, (REGIONS[0], 0, PAGES)),
        ("look", 0, (REGIONS[0], 0, 1)),
        ("touch", 3, (REGIONS[0], 6, 1)),
        ("migrate", 3, (REGIONS[0], 0, PAGES)),
    ],
)
def test_classes_are_what_the_walk_will_do(quirks, stack, plan):
    machine = Machine(600, SIZE)
    machine.set_quirks(quirks)
    first = machine.spawn()
    machine.mmap(first, PAGES, REGIONS[0])
    machine.mmap(first, PAGES, REGIONS[1], stack=stack)
    mms = [first]
    for step in plan:
        do(machine, mms, *step)
        if step[0] == "look":
            machine.classes
    machine.check()
    switches = Quirks.of(quirks)
    for frame in np.flatnonzero(machine.frames.flags & flag.ANON).tolist():
        expected = class_of(list(chain_of(machine, frame)), switches)
        event(expected.name)
        if switches.exact_walk:
            expected = Class.WALK_FAILS if machine.frames.flags[frame] & flag.UNFIT else Class.FREE
        assert machine.classes[frame] == expected


def test_every_class_occurs():
    """Chains of up to three vmas under all quirks: no class is never given, nor for no reason."""
    kinds = [Vma(True, True, True), Vma(True, False, True), Vma(False, False, True), Vma(True, True, False)]
    seen = {
        class_of(chain, Quirks.of(quirks))
        for quirks in (WALKS, WALKS[:2], WALKS[2:])
        for length in (1, 2, 3)
        for chain in itertools.product(kinds, repeat=length)
        if any(vma.maps for vma in chain)
    }
    assert seen == set(Class) - {Class.BUSY_PAGE, Class.NOT_ANON}
