"""Real memory of which only equal pages of one part are merged: what a simulation saves is what a scan counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pksm.errors import UsageError
from pksm.hosts.machine import Machine
from pksm.policies import choose
from pksm.scan import scan
from pksm.scan.settings import WITHIN
from pksm.scan.settings import Settings as ScanSettings
from pksm.simulation import Simulation, from_sources, within
from pksm.simulation.real import STORED_BYTES

from support.memory_sources import GivenSource, data

SIZE = 512


class Placed(GivenSource):
    """A process of a user, in a guest or none, with a page for each letter; a 0 is a zero page."""

    def __init__(self, pid, letters, user, vm, frames=None):
        pages = [(b"" if letter == "0" else letter.encode()).ljust(SIZE, b"\0") for letter in letters]
        super().__init__(f"p{pid}", data(*pages), frames, None if frames is None else [False] * len(frames))
        self._facts = {"pid": pid, "command": "x", "user": user, "cgroup": f"/{user}"} | ({"vm": vm} if vm else {})

    def facts(self):
        return dict(self._facts)


def saved(memory, policy):
    """Frames that a policy has saved on the memory at rest."""
    machine = Machine(memory.frames + 50, STORED_BYTES)
    [choice] = choose(policy, {"use_zero_pages": 1, "pages_to_scan": 10000} if policy == "ksmd" else {})
    sim = Simulation(machine, choice.make(machine))
    memory.play(sim)
    machine.check()
    return memory.frames - machine.frames_used


@st.composite
def hosts(draw):
    """Processes of two users and two guests; frames some of which several of them map."""
    frames = draw(st.lists(st.lists(st.integers(1, 12), min_size=1, unique=True), min_size=1, max_size=5))
    letters = {frame: draw(st.sampled_from("abc0")) for frame in sorted({frame for one in frames for frame in one})}
    return [
        ("".join(letters[frame] for frame in one), draw(st.sampled_from(["ann", "bob"])),
         draw(st.sampled_from([None, "red", "blue"])), one)
        for one in frames
    ]  # fmt: skip


@settings(max_examples=15)
@given(hosts(), st.sampled_from(WITHIN))
def test_a_simulation_saves_what_the_scan_counts(rows, name):
    memory = from_sources([Placed(1 + number, *row) for number, row in enumerate(rows)], page_size=SIZE)
    pids = [process.facts["pid"] for process in memory.processes]  # in the order of families
    sources = [Placed(pid, *rows[pid - 1]) for pid in pids]
    counted = scan(sources, ScanSettings(page_size=SIZE, within=[name]))["within"][0]["ksm_frames_saved"]
    memory = within(memory, name)
    assert saved(memory, "ksmd") == saved(memory, "pksmd:fixed") == counted


@given(hosts(), st.sampled_from(["process", "user", "cgroup", "vm"]))
def test_contents_stay_equal_within_a_part_and_differ_across(rows, name):
    """The oracle renames in plain Python, page by page."""
    memory = from_sources([Placed(1 + number, *row) for number, row in enumerate(rows)], page_size=SIZE)
    apart, number = within(memory, name), 0
    seen, known = {}, {}
    for family, new_family in zip(memory.families, apart.families, strict=True):
        maps = [np.unpackbits(one.maps, count=len(family.contents)) for one in family.processes]
        parts = []
        for process, new in zip(family.processes, new_family.processes, strict=True):
            fact = {"process": number, "vm": process.facts.get("vm", "host")}.get(name) or process.facts.get(
                name, number
            )
            parts.append(fact)
            known.setdefault(fact, len(known))
            number += 1
            for old_id, new_id in zip(process.contents.tolist(), new.contents.tolist(), strict=True):
                assert seen.setdefault((fact, old_id) if old_id else 0, new_id) == new_id
        for at, (old_id, new_id) in enumerate(zip(family.contents.tolist(), new_family.contents.tolist(), strict=True)):
            first = min((part for part, bits in zip(parts, maps, strict=True) if bits[at]), key=known.get)
            assert seen.setdefault((first, old_id) if old_id else 0, new_id) == new_id
    assert len(set(seen.values())) == len(seen) and seen.get(0, 0) == 0


def test_all_is_the_memory_as_it_is_and_others_are_refused():
    memory = from_sources([Placed(1, "ab", "ann", None)], page_size=SIZE)
    assert within(memory, "all") is memory
    assert within(memory, "user").name == "p1, within each user alone"
    with pytest.raises(UsageError, match="unknown part 'house'") as refused:
        within(memory, "house")
    assert refused.value.argument == "within"
