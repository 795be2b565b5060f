"""What root needs while memory is read, and nothing beyond it: live processes can be read from no sandbox."""

import argparse
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pksm.scan.run import Guard


class Reduced:
    """A guard of the reading that, once `guard` holds, gives up all capabilities but those that are needed.

    Those of this process are given up for good, so it must be the command's own: only where main() was asked to.

    Args:
        guard: what else is held.
        given: the options of a verb that reads live processes.
    """

    def __init__(self, guard: "Guard", given: argparse.Namespace) -> None:
        self._guard, self._given = guard, given
        self.warnings = guard.warnings

    def __enter__(self) -> Self:
        self._guard.__enter__()
        self.warnings = self._guard.warnings
        reduce(self._given, needed(self._given))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self._guard.__exit__(kind, error, trace)
        finally:
            self.warnings = self._guard.warnings


def needed(given: argparse.Namespace) -> Sequence[int]:
    """Return the capabilities that a verb needs once it has begun to read."""
    from pksm.linux.sandbox import capabilities as of

    kept = [of.DAC_READ_SEARCH, of.SYS_PTRACE]  # files of /proc/PID are their users'
    if given.pid or given.all or given.cgroup or given.command is not None:
        kept.append(of.SYS_ADMIN)  # frame numbers
    if given.freeze:
        kept += [of.KILL, of.DAC_OVERRIDE]  # to stop processes and control groups of others, and let them go on
    if given.command is not None:
        kept.append(of.KILL)  # to end it, whoever it has become
    if any(getattr(given, name, None) for name in ("output", "plot", "html")):
        kept += [of.DAC_OVERRIDE, of.FOWNER]  # to put a file among those of others
    return kept


def reduce(given: argparse.Namespace, kept: Sequence[int]) -> None:
    """Give up all capabilities but some, if this process is the command's own."""
    if given.own_process:
        from pksm.linux.sandbox import capabilities

        capabilities.keep_only(kept)
