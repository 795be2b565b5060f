"""KSM's advisor: pages_to_scan set anew after each full scan, so that the next one takes the time it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.policies.ksmd.tunables import KsmTunables

FIRST_PAGES = 100  # pages_to_scan when the advisor is switched off
LEAST_CPU = 10  # percent of one CPU that ksmd may always use
_NEW, _OLD = 30, 70  # percent that the last and all earlier changes of the scan time weigh


class Advisor:
    """What is known of ksmd's full scans. Times are virtual: the sleeps, and the CPU time of the visits."""

    def __init__(self) -> None:
        self._cpu_ns = 0  # of ksmd's whole life
        self.restart()

    def restart(self) -> None:
        """Forget all scans, the one going on too. Mirrors set_advisor_defaults."""
        self._began_ms = self._booked_ms = self._seconds = self._change = 0

    def begin(self, now_ms: int) -> None:
        """A full scan begins."""
        self._began_ms = now_ms + self._cpu_ns // 1_000_000

    def visit(self, pages: int, ns: int) -> None:
        """That many pages were visited, at so many ns each."""
        self._cpu_ns += pages * ns

    def end(self, now_ms: int, tunables: KsmTunables) -> int:
        """A full scan ends: return pages_to_scan for the next. Mirrors scan_time_advisor."""
        cpu_ms = self._cpu_ns // 1_000_000
        seconds = max(1, (now_ms + cpu_ms - self._began_ms) // 1000)
        cpu_percent = max(1, (cpu_ms - self._booked_ms) * 100 // (seconds * 1000))
        self._booked_ms = cpu_ms
        return self.advise(tunables, seconds, cpu_percent)

    def advise(self, tunables: KsmTunables, seconds: int, cpu_percent: int) -> int:
        """Return the pages_to_scan that follow a full scan of so many seconds with so much CPU, both at least 1.

        Everything is rounded down, as the kernel does it.
        """
        change = max(1, seconds * 100 // (self._seconds or seconds))
        self._change = (self._change * _OLD + change * _NEW) // 100
        self._seconds = seconds
        target = max(1, tunables.advisor_target_scan_time * 100 // seconds)
        pages = tunables.pages_to_scan * 100 // target * self._change // 100
        a_percent = max(1, tunables.pages_to_scan // cpu_percent)  # the pages that take 1 % of a CPU
        pages = max(min(pages, a_percent * tunables.advisor_max_cpu), a_percent * LEAST_CPU)
        return min(pages, tunables.advisor_max_pages_to_scan)
