"""Objects as trees of plain values and arrays, and back: classes of a closed list, each by its own state."""

from __future__ import annotations

from typing import Any

import numpy as np

from pksm.arrays import AnyArray
from pksm.engine.store import Store
from pksm.errors import UsageError
from pksm.hosts.flat import FlatHost
from pksm.hosts.machine.frames import Frames
from pksm.hosts.machine.machine import Machine
from pksm.hosts.machine.mm import Mm, Vmas
from pksm.hosts.machine.origins import Origins, _Counts
from pksm.hosts.machine.page_tables import Changes, PageTables, _Pool
from pksm.hosts.machine.pagevec import Pagevec
from pksm.hosts.machine.quirks import Quirks
from pksm.hosts.machine.rmap import Rmap, Sharers
from pksm.hosts.machine.swap import Swap
from pksm.hosts.machine.waits import Waits
from pksm.hosts.writers import Writers
from pksm.policies.cksm.daemon import Cksm
from pksm.policies.ksmd.daemon import Ksmd
from pksm.policies.nobody import Nobody
from pksm.policies.pksmd.daemon import Pksmd
from pksm.policies.uksm.daemon import Uksm
from pksm.simulation.simulation import Simulation

_PARTS: tuple[type[Any], ...] = (
    *(Store, FlatHost, Writers),
    *(
        Machine,
        Frames,
        Mm,
        Vmas,
        Origins,
        PageTables,
        Changes,
        _Counts,
        _Pool,
        Pagevec,
        Quirks,
        Rmap,
        Sharers,
        Swap,
        Waits,
    ),
)
_POLICIES = (Pksmd, Ksmd, Uksm, Cksm)
_CLASSES = {cls.__name__: cls for cls in _PARTS}
_RESUMED: dict[str, Any] = {cls.__name__: cls for cls in (*_POLICIES, Simulation)}


class Packing:
    """Makes nodes of values. arrays: those met so far."""

    def __init__(self) -> None:
        self.arrays: list[AnyArray] = []
        self._numbers: dict[int, int] = {}  # id -> number of an array or an object
        self._n_objects = 0
        self._kept: list[object] = []  # so that no id is given out again

    def node(self, value: Any) -> Any:
        """Return the node of a value. UsageError if it can't be saved."""
        if value is None or isinstance(value, (bool, str, float)):
            return value
        if isinstance(value, (int, np.integer)):
            return int(value)
        if isinstance(value, np.ndarray):
            return ["a", self._number(value)]
        if isinstance(value, (list, tuple)):
            return ["l" if isinstance(value, list) else "t", *map(self.node, value)]
        if isinstance(value, dict):
            return ["d", *([self.node(key), self.node(entry)] for key, entry in value.items())]
        return self._object(value)

    def _number(self, array: AnyArray) -> int:
        if id(array) not in self._numbers:
            self._numbers[id(array)] = len(self.arrays)
            self.arrays.append(array)
        return self._numbers[id(array)]

    def _object(self, value: object) -> Any:
        if id(value) in self._numbers:
            return ["r", self._numbers[id(value)]]
        name = type(value).__name__
        known = _CLASSES.get(name) or _RESUMED.get(name)
        if known is not type(value):
            raise UsageError(
                f"a {name} can't be saved in a checkpoint: pickle it, or save the engine's state() and the host by itself"
            )
        self._numbers[id(value)] = self._n_objects
        self._n_objects += 1
        self._kept.append(value)
        return ["o", name, self.node(self._state(value))]

    def _state(self, value: Any) -> Any:
        if isinstance(value, Simulation):
            policy = None if isinstance(value.policy, Nobody) else value.policy
            return {"machine": value.machine, "policy": policy, "state": value.state()}
        if isinstance(value, _POLICIES):
            return {"host": value.host, "state": value.state()}
        state = value.__getstate__()  # type: ignore[attr-defined, unused-ignore]
        self._kept.append(state)
        return state


class Unpacking:
    """Makes values of nodes. AssertionError, LookupError, TypeError or ValueError for one that is not sound."""

    def __init__(self, arrays: list[AnyArray]) -> None:
        self._arrays = arrays
        self._objects: list[Any] = []

    def value(self, node: Any) -> Any:
        """Return what a node stands for."""
        if not isinstance(node, list):
            assert node is None or isinstance(node, (bool, str, float, int)), "a node is none"
            return node
        kind, rest = node[0], node[1:]
        if kind == "l":
            return [self.value(one) for one in rest]
        if kind == "t":
            return tuple(self.value(one) for one in rest)
        if kind == "d":
            return {self.value(key): self.value(entry) for key, entry in rest}
        (first, *more) = rest
        if kind == "a":
            return self._arrays[_place(first, self._arrays)]
        if kind == "r":
            return self._objects[_place(first, self._objects)]
        assert kind == "o" and len(more) == 1, "a node is none"
        return self._object(first, more[0])

    def made(self, *classes: type[Any]) -> list[Any]:
        """Return the objects of these classes that were made."""
        return [one for one in self._objects if isinstance(one, classes)]

    def _object(self, name: str, node: Any) -> Any:
        if name in _RESUMED:
            place = len(self._objects)
            self._objects.append(None)
            self._objects[place] = self._resumed(_RESUMED[name], self.value(node))
            return self._objects[place]
        cls = _CLASSES[name]
        thing: Any = cls.__new__(cls)  # type: ignore[call-overload, unused-ignore]
        self._objects.append(thing)
        state = self.value(node)
        assert isinstance(state, dict) and all(isinstance(key, str) and "__" not in key for key in state)
        if hasattr(thing, "__setstate__"):
            thing.__setstate__(state)
        else:
            vars(thing).update(state)
        return thing

    def _resumed(self, cls: Any, state: Any) -> Any:
        if cls is Simulation:
            assert isinstance(state["machine"], Machine) and isinstance(state["policy"], (*_POLICIES, type(None)))
            state["machine"].check()
            return cls.resume(state["machine"], state["policy"], state["state"])
        host = state["host"]
        assert isinstance(host, (FlatHost, Machine)), "of no host"
        host.check()
        return cls.resume(host, state["state"])


def _place(number: Any, among: list[Any]) -> int:
    assert type(number) is int and 0 <= number < len(among), "a node names what is not there"
    return number
