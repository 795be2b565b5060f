"""What the machine's tests share: small machines, and looking at them."""

import numpy as np

from pksm.hosts.machine import Machine
from pksm.hosts.machine.page_tables import maps_frame, value_of
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd

SIZE = 64  # bytes a page


def machine_and_daemon(frames=200, births="all", **settings):
    machine = Machine(frames, SIZE, births=births)
    return machine, Pksmd(machine, tunables.preset("fixed").with_(**settings))


def settle(machine, daemon):
    """Let pksmd work until it rests, checking after every wake-up."""
    while not daemon.at_rest:
        daemon.wake()
        check(machine, daemon)


def check(machine, daemon):
    machine.check()
    daemon.check()


def frames_of(machine, mm, address, n):
    """The frame of each page, None where there is none."""
    pages = np.arange(address // SIZE, address // SIZE + n)
    ptes = machine.tables.ptes[machine.tables.slots(mm.root, pages)]
    return [int(frame) if mapped else None for frame, mapped in zip(value_of(ptes), maps_frame(ptes), strict=True)]


def n_used(machine):
    return machine.frames.n - machine.frames.n_free


class Log:
    """A policy that only remembers."""

    def __init__(self, machine):
        self.new, self.freed = [], []
        machine.attach(self)

    def on_new(self, pages):
        self.new.extend(pages.tolist())

    def on_free(self, pages):
        self.freed.extend(pages.tolist())
