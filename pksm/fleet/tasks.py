"""The tasks of a fleet: in processes of our own, or by an executor; and the most memory that one of them took."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pksm.fleet.settings import BASE_BYTES, ROW_BYTES, Settings
from pksm.linux.memory_limits import peak_bytes
from pksm.parallel.pool import own_results, results, workers_for


class Tasks:
    """Who does the tasks.

    Attributes:
        peak_bytes: the most memory that one of the processes has had until its last task was done, or this one.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._peak_bytes = 0

    @property
    def peak_bytes(self) -> int:
        return max(self._peak_bytes, peak_bytes())

    def done(
        self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], rows: int
    ) -> Iterator[tuple[int, Any]]:
        """Yield (number, function(*task)) of tasks, as they are done. rows: that one has in memory, about."""
        work, settings = _Work(function), self._settings
        if settings.executor is not None:
            found = results(settings.executor, work, {number: (task,) for number, task in enumerate(tasks)})
        else:
            found = own_results(work, tasks, settings.workers or workers_for(len(tasks), BASE_BYTES + rows * ROW_BYTES))
        for number, (result, most) in found:
            self._peak_bytes = max(self._peak_bytes, most)
            yield number, result


@dataclass(frozen=True)
class _Work:
    """A function of several arguments as one of a tuple of them; it says what memory its process has had, too."""

    function: Callable[..., Any]

    def __call__(self, arguments: tuple[Any, ...]) -> tuple[Any, int]:
        return self.function(*arguments), peak_bytes()
