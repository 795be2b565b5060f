"""A program that uses the public API as other programs do; test_types.py has mypy check it and runs it."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

import pksm
from pksm import policies, scan, simulation, sources
from pksm.documents import ScanDocument, SimulateDocument
from pksm.extents import State, data_runs, make_runs
from pksm.protocols import MappingHost, PageHost, Policy
from pksm.simulation import Event, Observer, workloads


def engine() -> int:
    """Merge pages of our own: returns the frames saved."""
    store = pksm.Store(64)
    first = store.add(bytes(3 * 64) + b"x" * 64)
    host = pksm.FlatHost(store)
    daemon = pksm.Pksmd(host, pksm.preset("fixed").with_(pages_to_scan=10))
    host.add([first, first + 1, first + 2, first + 3])
    while not daemon.at_rest:
        visited: int = daemon.wake()
        assert visited >= 0
    counters: dict[str, int] = daemon.counters()
    daemon.sysfs["pages_to_scan"] = 20
    copied = store.bytes_of(np.array([first], np.uint32))
    assert copied.shape == (1, 64) and counters["pages_zero_sharing"] == 3
    return host.frames_saved


def by_name(make_host: Callable[[], MappingHost]) -> list[str]:
    """Make each policy that there is, on a host of its own."""
    made: list[policies.Policy] = [policies.make(name, make_host()) for name in policies.names()]
    spec: policies.Spec = policies.spec("ksmd")
    assert "pages_to_scan" in spec.settings.entries()
    return [policy.spec.name for policy in made]


class Watching(Policy):
    """A policy of one's own that only counts births."""

    def __init__(self, host: PageHost) -> None:
        self.born = 0
        host.attach(self)

    def on_new(self, pages: pksm.arrays.Pages) -> None:
        """Count."""
        self.born += len(pages)


def machine() -> pksm.Machine:
    """Make memory of a process."""
    memory = pksm.Machine(64, 4096)
    watching = Watching(memory)
    process = memory.spawn()
    at = memory.mmap(process, 8, mergeable=True)
    memory.write(process, at, [1, 1, 2, 2])
    assert watching.born == 4
    return memory


def scanned(paths: Sequence[str]) -> tuple[int, int]:
    """Scan files: returns what the totals say."""
    with sources.opened([partial(sources.open_target, path) for path in paths]) as (targets, errors):
        document: ScanDocument = scan.scan(targets, scan.Settings(page_size=4096), errors=errors)
    totals = document["totals"]
    print(pksm.report.csv(document), pksm.report.table(document))
    return totals["pages"], totals["duplicates"]


class Steps(Observer):
    """Counts the steps of a simulation."""

    steps = 0

    def after_step(self, sim: simulation.Simulation) -> None:
        """Count."""
        self.steps += 1


def simulated() -> SimulateDocument:
    """Run a workload under two policies, and a machine by hand."""
    memory = pksm.Machine(64, 4096)
    steps = Steps()
    sim = simulation.Simulation(memory, policies.make("ksmd:ksm-6.11", memory), observers=[steps])
    sim.play([Event(0, "spawn", {"process": "a"})])
    sim.run(1000)
    assert steps.steps
    return simulation.simulate(simulation.Settings("fork-family", pages=512), policies.choose("ksmd"))


def runs() -> int:
    """Describe pages as a reader does."""
    made = make_runs([State.DATA, State.ZERO], 0, [0, 4096], [1, 2])
    return len(data_runs(made))


def names() -> list[str]:
    """Use what names give."""
    strategy = pksm.checksums.make("xxh64", 4096)
    assert strategy.of(bytes(4096)) == strategy.of(bytearray(4096)) and pksm.checksums.is_exact("xxh64")
    try:
        pksm.preset("nothing")
    except pksm.UsageError as error:
        assert str(error)
    return [*sorted(workloads.WORKLOADS), pksm.get_include(), *sources.formats()]


if __name__ == "__main__":
    import sys

    assert engine() == 3
    assert by_name(machine) and names() and runs() == 1
    assert scanned(sys.argv[1:])[0]
    assert simulated()["schema"]
