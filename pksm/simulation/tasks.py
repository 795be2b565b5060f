"""One run of a sweep: what to simulate, as data that pickles, and what comes of it."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

from pksm.policies.registry import Choice
from pksm.simulation.curve import Curve
from pksm.simulation.run import Settings, simulate
from pksm.simulation.stored import Stored
from pksm.simulation.trace import Opener, open_binary

Result = dict[str, Any]  # numbers, texts and lists of numbers: it becomes a line of JSON
KEPT_POINTS = 256


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
