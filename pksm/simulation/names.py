"""What a workload calls things by: its processes, their mappings, and the frames that it holds."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from pksm.errors import UsageError

if TYPE_CHECKING:
    from pksm.engine.state import State
    from pksm.hosts.machine.mm import Mm


class Names:
    """Processes, mappings and held frames by name.

    processes: name -> Mm; mappings: (process, name) -> address in bytes.
    """

    def __init__(self) -> None:
        self.processes: dict[str, Mm] = {}
        self.mappings: dict[tuple[str, str], int] = {}
        self._held: dict[str, np.ndarray] = {}

    def state(self) -> "State":
        """Return all names, as a State: of processes, the ids of their mms."""
        return {
            "processes": {name: mm.id for name, mm in self.processes.items()},
            "mappings": [[process, name, address] for (process, name), address in self.mappings.items()],
            "held": dict(self._held),
        }

    def restore(self, state: "State", mms: "Mapping[int, Mm]") -> None:
        """Have the names that state() returned, of these mms. The dicts stay the same ones."""
        for own in (self.processes, self.mappings, self._held):
            own.clear()
        self.processes.update({name: mms[id] for name, id in state["processes"].items()})
        self.mappings.update({(process, name): address for process, name, address in state["mappings"]})
        self._held.update(state["held"])

    def process(self, name: str) -> "Mm":
        """Return the Mm of a process. Raises UsageError if there is none of this name."""
        if name not in self.processes:
            raise UsageError(f"no process {name!r}: spawn it, or fork it from another")
        return self.processes[name]

    def add_process(self, name: str, start: Callable[[], "Mm"], like: str | None = None) -> None:
        """Name the Mm that start() returns.

        Args:
            name: of the new process. start is not called if a process has this name.
            start: makes the process.
            like: a process whose names of mappings the new one has too, as after a fork.
        """
        if name in self.processes:
            raise UsageError(f"there is a process {name!r} already")
        self.processes[name] = start()
        copied = {mapping: at for (process, mapping), at in self.mappings.items() if process == like}
        self.mappings.update({(name, mapping): at for mapping, at in copied.items()})

    def drop_process(self, name: str) -> None:
        """Forget the name of a process that has exited, and those of its mappings."""
        del self.processes[name]
        for key in [key for key in self.mappings if key[0] == name]:
            del self.mappings[key]

    def address(self, process: str, address: int | str) -> int:
        """Return an address in bytes, given that or the name of a mapping. Raises UsageError for an unknown name."""
        if not isinstance(address, str):
            return address
        if (process, address) not in self.mappings:
            raise UsageError(f"process {process!r} has no mapping {address!r}: mmap it under this name")
        return self.mappings[process, address]

    def add_mapping(self, process: str, name: str | None, start: Callable[[], int]) -> None:
        """Name the mapping whose address start() returns; start is not called if the process has one of this name."""
        if (process, name) in self.mappings:
            raise UsageError(f"process {process!r} has a mapping {name!r} already")
        address = start()
        if name is not None:
            self.mappings[process, name] = address

    def move_mapping(self, process: str, name: int | str, address: int) -> None:
        """Remember where a mapping is now; nothing for one that has no name."""
        if isinstance(name, str):
            self.mappings[process, name] = address

    def hold(self, name: str, take: Callable[[], np.ndarray]) -> None:
        """Name the frames that take() returns; take is not called if frames are held under this name."""
        if name in self._held:
            raise UsageError(f"frames are held under the name {name!r} already")
        self._held[name] = take()

    def release(self, name: str) -> np.ndarray:
        """Return the frames held under a name, and forget them. Raises UsageError if there are none."""
        if name not in self._held:
            raise UsageError(f"no frames are held under the name {name!r}")
        return self._held.pop(name)
