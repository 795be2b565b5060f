"""A recording of UKSM played on the simulated machine: the kernel's numbers beside ours.

Both sides are compared after the same number of wake-ups: uksmd wakes until it has done so as often as the kernel's had
when it was read. The policy chooses its own order of visits, and its CPU time is a model.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from pksm.errors import PksmError, UsageError
from pksm.hosts.machine import Machine
from pksm.policies.uksm.course import Course
from pksm.policies.uksm.daemon import Uksm
from pksm.policies.uksm.spec import PRESETS, UksmSettings
from pksm.validation.recorded.uksm.operations import PAGE_SIZE, Processes, most_frames
from pksm.validation.recorded.uksm.recording import COUNTERS, KERNELS, Recording
from pksm.validation.recorded.uksm.schedule import steps

MOST_WAKES = 1_000_000  # of a workload
BOOT_WAKES = 1  # that uksmd has done before it has slept once
ZERO_KB = 4  # of a page
OTHERS_WAIT = 3  # pages of whoever recorded, when a workload begins
_LEAST_CPU, _MOST_CPU = 10, 99  # what the file takes for less, and for 100


class Number(NamedTuple):
    """One number of the kernel, and ours. counter: its name; phase, kind: of the reading that it is from."""

    kind: str  # "" for one that is not counted as a reading of its own
    phase: str
    counter: str
    kernel_value: int
    ours: int


class Player:
    """The machine of one recording and its uksmd. seed: of its order of visits; course: in place of that."""

    def __init__(
        self,
        recording: Recording,
        seed: int = 0,
        settings: UksmSettings | None = None,
        course: Course | None = None,
    ) -> None:
        self.recording = recording
        refuses = {str(reading.get("op")) for reading in recording.readings if reading.get("k") == "ret"}
        try:
            n_frames = most_frames(recording.operations)
        except PksmError as error:
            raise PksmError(f"{recording.where}: {error}") from None
        self.machine = Machine(n_frames, PAGE_SIZE)
        self.processes = Processes(self.machine, refuses)
        words = None if recording.words is None else np.array(recording.words, np.uint32)
        chosen = settings or PRESETS[KERNELS[recording.kernel]]
        self.course = course or Course(seed)
        self.policy = Uksm(self.machine, chosen, words=words, course=self.course)
        self.machine.new_pages.others = OTHERS_WAIT
        self.numbers: list[Number] = []
        self._has_forked = False
        self._at_rest = False  # the kernel, when it was waited for last
        self._quiet_ms = 0  # for which no counter must have moved then
        self._zero_is_known = False  # to whoever recorded: from the first state on

    def play(self) -> list[Number]:
        """Do everything, and return the numbers. PksmError for an operation that can't be done."""
        done = "the start"
        self.wake_to(0)
        try:
            for step in steps(self.recording):
                if isinstance(step, str):
                    done = step[:60]
                    self._do(step)
                else:
                    self._read(step)
        except PksmError as error:
            raise type(error)(f"{self.recording.where}: {self.recording.w}: at {done!r}: {error}") from None
        return self.numbers

    def _do(self, operation: str) -> None:
        name, *rest = operation.split()
        self._has_forked |= name == "fork"
        if name == "settle" and rest and rest[0].isdigit():
            self._quiet_ms = int(rest[0])
        if name == "sysfs":
            write_sysfs(self.policy, operation.split(maxsplit=2)[1:])
        elif name not in ("sleep", "series", "settle", "showsysfs", "echo"):
            self.processes.do(operation)

    def wake_to(self, times: int) -> None:
        """Let uksmd wake until it has done so this often in all, or is stopped."""
        if times > MOST_WAKES:
            raise PksmError(f"{times:,} wake-ups: at most {MOST_WAKES:,} can be played")
        while self.policy.sleep_times < times + BOOT_WAKES and self.policy.tunables.run == 1:
            self.machine.now += self.policy.next_wake() or 0
            self.policy.wake()
            self._woken()

    def _woken(self) -> None:
        """Take notice of a wake-up that is over."""

    def _read(self, reading: dict[str, Any]) -> None:
        kind = reading.get("k")
        if kind == "series":
            if reading["rows"]:
                self.wake_to(reading["rows"][-1][reading["cols"].index("sleep_times")])
        elif kind == "read":
            self.wake_to(reading["sleep_times"])
            counters = self.policy.counters()
            for name in COUNTERS:
                self._note(reading, name, reading[name], counters[name])
            self._note(reading, "uksm_zero_pages", reading["KsmZeroPages_kB"] // ZERO_KB, counters["uksm_zero_pages"])
        elif kind == "frames":
            self._note(reading, "frames_total", reading["frames_total"], self._frames())
        elif kind == "settle":
            self._at_rest = reading["quiet_ms"] >= self._quiet_ms
        elif kind == "state":
            self._zero_is_known |= reading.get("state") is not None
        elif kind == "sysfs":
            shown = getattr(self.policy.tunables, reading["name"], None)
            if shown is None:
                shown = self.policy.counters().get(reading["name"])
            if shown is not None:
                self._compare_text(reading, str(shown))

    def _note(self, reading: dict[str, Any], counter: str, kernel_value: int, ours: int) -> None:
        phase = str(reading.get("phase", ""))
        self.numbers.append(Number(self._kind(phase), phase, counter, kernel_value, ours))

    def _kind(self, phase: str) -> str:
        """Return the kind of a reading that is counted: after a stretch of scanning."""
        if phase.startswith("settled"):
            return "settled"
        if not phase.startswith("round"):
            return ""
        if not self._has_forked:
            return "random, before a fork"
        return "random, after a fork, at rest" if self._at_rest else "random, after a fork, not at rest"

    def _frames(self) -> int:
        """How many distinct frames are mapped; until the zero page is known as such it counts as one of them."""
        is_counted = bool(self.machine.zero_ptes) and not self._zero_is_known
        return int(np.count_nonzero(self.machine.frames.mapcount)) + int(is_counted)

    def _compare_text(self, reading: dict[str, Any], ours: str) -> None:
        name, value = reading["name"], reading["value"]
        chosen = re.search(r"\[(\w+)\]", value)
        theirs = chosen[1] if chosen else " ".join(value.split())
        for place, (one, other) in enumerate(zip(theirs.split(), ours.split(), strict=False)):
            self._note(
                {"phase": f"showsysfs {name}"}, f"{name}, {place}" if place else name, _number(one), _number(other)
            )


def _number(text: str) -> int:
    """Return a number for what a file of sysfs shows: itself, -n for MAX/n, and one of its letters for a name."""
    if text.startswith("MAX/"):
        return -int(text[4:])
    return int(text) if text.lstrip("-").isdigit() else int.from_bytes(text.encode()[:4], "big")


def write_sysfs(policy: Uksm, words: list[str]) -> None:
    """Write to a file as the kernel does: what it refuses changes nothing."""
    name, value = words[0], words[1] if len(words) > 1 else ""
    if name == "max_cpu_percentage" and value.isdigit():
        if int(value) > 100:
            return
        value = str(min(max(int(value), _LEAST_CPU), _MOST_CPU))
    if name == "run" and value == "2":
        return
    try:
        policy.sysfs[name] = int(value) if value.isdigit() else value
    except (UsageError, PermissionError, KeyError):
        return
