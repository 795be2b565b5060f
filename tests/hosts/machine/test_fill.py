"""Pages that a function makes: where they are to be if their frames are a row, else copied there; the same either way."""

import numpy as np
import pytest

from pksm import Machine, Pksmd, Simulation
from pksm.errors import PksmError, UsageError
from pksm.simulation.operations import Event

SIZE = 64


def counting(out):
    out[:] = np.arange(out.size, dtype=np.uint32).astype(np.uint8).reshape(out.shape)
    out[:, :4] = np.arange(1, len(out) + 1, dtype=np.uint32).view(np.uint8).reshape(-1, 4)


def expected(n):
    pages = np.empty((n, SIZE), np.uint8)
    counting(pages)
    return pages


def machine_with_holes(frames):
    """A machine whose free frames are no row: every third page of a process that came before was unmapped."""
    machine = Machine(frames, SIZE)
    other = machine.spawn()
    at = machine.mmap(other, 300)
    machine.write(other, at, np.arange(1, 301))
    for page in range(0, 300, 3):
        machine.munmap(other, at + page * SIZE, 1)
    return machine


@pytest.mark.parametrize("make_machine", [lambda n: Machine(n, SIZE), machine_with_holes], ids=["row", "scattered"])
@pytest.mark.parametrize("n", [1, 65, 700])
def test_filled_pages_are_those_that_were_made(make_machine, n):
    machine = make_machine(2000)
    policy = Pksmd(machine)
    born = len(policy.items)
    mm = machine.spawn()
    at = machine.mmap(mm, n + 5)
    machine.fill(mm, at + SIZE, n, counting)
    assert np.array_equal(machine.read(mm, at + SIZE, n), expected(n))
    assert not machine.read(mm, at + (n + 1) * SIZE, 4).any()
    assert len(policy.items) == born + n
    machine.check()


def test_pages_that_others_share_are_copied_before_they_are_filled():
    machine = Machine(1000, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 100)
    machine.write(mm, at, np.arange(1, 101))
    child = machine.fork(mm)
    before = machine.read(mm, at, 100)
    machine.fill(child, at, 100, counting)
    assert np.array_equal(machine.read(mm, at, 100), before)
    assert np.array_equal(machine.read(child, at, 100), expected(100))
    machine.check()


def test_a_machine_with_too_few_frames_refuses_and_nothing_is_made():
    machine = Machine(50, SIZE)
    mm = machine.spawn()
    at = machine.mmap(mm, 60)
    with pytest.raises(PksmError):
        machine.fill(mm, at, 60, lambda out: pytest.fail("made"))
    assert machine.frames_used == 0


def test_content_that_a_function_makes_needs_a_number_of_pages():
    sim = Simulation(Machine(50, SIZE))
    sim.perform(Event(None, "spawn", {"process": "p"}))
    sim.perform(Event(None, "mmap", {"process": "p", "n": 9, "name": "m"}))
    sim.perform(Event(None, "write", {"process": "p", "address": "m", "n": 9, "content": counting}))
    assert np.array_equal(sim.machine.read(sim.process("p"), sim.names.address("p", "m"), 9), expected(9))
    with pytest.raises(UsageError, match="needs n"):
        sim.perform(Event(None, "write", {"process": "p", "address": "m", "content": counting}))
