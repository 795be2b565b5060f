"""Workloads as Python files: workload(machine, sim) of a file, run anew for each play."""

import sys
import traceback
import types
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pksm.errors import PksmError
from pksm.simulation.operations import Event

if TYPE_CHECKING:
    from pksm.hosts.machine import Machine
    from pksm.simulation.simulation import Simulation

SCRIPT = "pksm_workload"  # the name of a Python file as a module
Workload = Callable[["Machine", "Simulation"], None]


def load_script(path: str) -> Workload:
    """Return the function workload(machine, sim) of a Python file.

    The function does to both what it likes, and may return Events to be played.

    Raises PksmError that names the line if the file cannot be run; what the function raises becomes one too.
    """
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        raise PksmError(f"cannot read {path}: {error.strerror}") from None
    ready = [_run_script(path, source)]

    def workload(machine: "Machine", sim: "Simulation") -> None:
        # Run anew for each play: what it keeps in variables of its own is of that play only.
        function = ready.pop() if ready else _run_script(path, source)

        def play() -> None:
            events = function(machine, sim)
            if events is not None:
                sim.play(events)

        _in_script(path, play)

    return workload


def _run_script(path: str, source: bytes) -> Callable[..., Iterable[Event] | None]:
    """Run a file as a module and return its function workload."""
    module = sys.modules[SCRIPT] = types.ModuleType(SCRIPT)  # where a dataclass looks for its module
    module.__file__ = path
    _in_script(path, lambda: exec(compile(source, path, "exec"), vars(module)))
    function = vars(module).get("workload")
    if not callable(function):
        raise PksmError(f"{path} defines no function workload(machine, sim)")
    return function


def _in_script(path: str, work: Callable[[], object]) -> None:
    """Call work(); an error of the script's own becomes one line that names where it was."""
    try:
        work()
    except PksmError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else 1
        message = str(error.msg if isinstance(error, SyntaxError) else error)
        said = f": {message}" if message else ""
        raise PksmError(f"{path}, line {line}: {type(error).__name__}{said}") from error
