"""One run of a sweep: what to simulate, as data that pickles, and what comes of it."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from pksm.documents.simulate import Cpu
from pksm.policies.registry import Choice
from pksm.simulation.curve import Curve
from pksm.simulation.run import Settings, simulate
from pksm.simulation.stored import Stored
from pksm.simulation.trace import Opener, open_binary

Result = dict[str, Any]  # numbers, texts and lists of numbers: it becomes a line of JSON
KEPT_POINTS = 256
MAY_LACK = ("percent", "seconds_per_mib")  # null: no time has passed, nothing is saved
MOST = 2**64  # no figure of a run reaches it


@dataclass(frozen=True)
class Task:
    """One run: a policy, with its settings and seed, on a workload for some time. It pickles.

    Args:
        settings: what to simulate, with the end of virtual time and the prices.
        choice: the policy.
    """

    settings: Settings
    choice: Choice

    @property
    def key(self) -> str:
        """What no other run has, and is the same for the same run at another time."""
        settings = {
            name: value for name, value in asdict(replace(self.settings, workload="")).items() if name != "workload"
        }
        facts = {
            **settings,
            "workload": identity(self.settings.workload),
            "policy": self.choice.name,
            "tunables": self.choice.settings.as_dict(),
            "policy_seed": self.choice.seed,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def identity(workload: Any) -> Any:
    """Return what no other workload has: a name, a file's path, size and time, or a sum of all that it holds."""
    if isinstance(workload, Stored):
        return workload.identity
    if not isinstance(workload, str):
        return hashlib.sha256(pickle.dumps(workload)).hexdigest()
    try:
        facts = os.stat(workload)
    except OSError:
        return workload
    return [os.path.abspath(workload), facts.st_size, facts.st_mtime_ns]


def run_task(
    task: Task,
    opener: Opener = open_binary,
    hold: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Result:
    """Simulate a task, in whatever process this is, and return its result.

    Raises:
        PksmError: it cannot be simulated.
    """
    settings = task.settings
    if isinstance(settings.workload, Stored):
        settings = replace(settings, workload=settings.workload.load())
    curve = Curve()
    document = simulate(settings, [task.choice], hold=hold, opener=opener, observers=[curve])
    if document["interrupted"]:
        raise KeyboardInterrupt
    [run] = document["runs"]
    final = run["final"]
    page_size = document["page_size"]
    points = curve.points
    if len(points) > KEPT_POINTS:
        points = [points[place * (len(points) - 1) // (KEPT_POINTS - 1)] for place in range(KEPT_POINTS)]
    return {
        "ms": final["ms"],
        "page_size": page_size,
        "saved_bytes": final["counters"]["frames_saved"] * page_size,
        "mean_saved_bytes": curve.mean(final["ms"]) * page_size,
        "metadata_bytes": final["metadata_bytes"],
        "wakes": final["wakes"],
        "cost": final["cost"],
        "cpu": final["cpu"],
        "hung": final["hung"],
        "warnings": document["warnings"],
        "points": [[round(ms, 3), frames * page_size] for ms, frames in points],
    }


def run_task_on(task: Task, workload: Any) -> Result:
    """Simulate a task whose workload comes beside it, and return its result."""
    return run_task(replace(task, settings=replace(task.settings, workload=workload)))


def is_result(found: Any) -> bool:
    """Return whether this is what run_task returns: its fields, their types, and numbers that can be."""
    return (
        isinstance(found, dict)
        and found.keys() == _FIELDS.keys()
        and all(_FIELDS[name](found[name]) for name in _FIELDS)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MOST  # nan is not


def _is_count(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int)


def _is_cost(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _is_cpu(value: Any) -> bool:
    """Percent and seconds per MiB can be null."""
    if not isinstance(value, dict) or value.keys() != Cpu.__annotations__.keys():
        return False
    return all(_is_number(one) or (one is None and name in MAY_LACK) for name, one in value.items())


def _are_points(value: Any) -> bool:
    """Pairs of ms and bytes saved, in the order of time."""
    if not isinstance(value, list) or not value:
        return False
    if not all(isinstance(one, list) and len(one) == 2 and _is_number(one[0]) and _is_count(one[1]) for one in value):
        return False
    return all(before[0] <= after[0] for before, after in pairwise(value))


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "ms": _is_number,
    "page_size": lambda value: _is_count(value) and value > 0,
    "saved_bytes": _is_count,
    "mean_saved_bytes": _is_number,
    "metadata_bytes": _is_count,
    "wakes": _is_count,
    "cost": _is_cost,
    "cpu": _is_cpu,
    "hung": lambda value: value is None or isinstance(value, str),
    "warnings": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    "points": _are_points,
}
