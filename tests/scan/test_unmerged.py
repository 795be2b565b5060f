"""What KSM has merged already counts as what it saves: the answers are those that there were before it merged."""

import numpy as np
import pytest

from pksm.advice import Settings as AdviceSettings
from pksm.advice import advise
from pksm.scan import Settings, scan
from pksm.scan import unmerged as subject
from pksm.simulation import compare, from_sources

from support.memory_sources import GivenSource, data

SIZE = 4096
BEHIND = 1 << 20  # frames of KSM's come behind all others here


@pytest.fixture(autouse=True)
def kernel(monkeypatch):
    """A kernel on which frames from BEHIND on are KSM's, and which has given back so many zero pages of each process."""
    zero = {}
    live = {}

    class Flags:
        def are_ksm(self, frames):
            return frames >= BEHIND

        def close(self):
            pass

    monkeypatch.setattr(subject, "FrameFlags", Flags)
    monkeypatch.setattr(subject, "_frames", lambda pid, pages: live[pid]._frames_at(pages))
    monkeypatch.setattr(subject, "zero_pages", lambda pid: zero.get(pid, 0))
    monkeypatch.setattr("pksm.advice.now.ksm_now", lambda: None)
    return Kernel(live, zero)


class Kernel:
    """Makes processes. live, zero: by pid."""

    def __init__(self, live, zero):
        self.live, self.zero = live, zero

    def process(self, pid, text, frames, zero=0):
        """A page for each letter, in these frames."""
        made = Live(pid, text, frames)
        self.live[pid], self.zero[pid] = made, zero
        return made


class Live(GivenSource):
    """A live process. Frames: 0 and None are hidden; None: mapped once."""

    kind = "process"

    def __init__(self, pid, text, frames):
        pages = [b"" if letter == "0" else letter.encode() * 9 for letter in text]
        exclusive = [frame is None or 0 < frame < 100 for frame in frames]
        contents = data(*(page.ljust(SIZE, b"\0") for page in pages))
        super().__init__(f"pid {pid}", contents, [frame or 0 for frame in frames], exclusive)
        self._merged = sum(not once for once in exclusive)
        self._pid = pid

    def facts(self):
        return {"pid": self._pid, "command": "c", "user": "root", "ksm_merged": self._merged}

    def _frames_at(self, pages):
        return np.array(self._frames, np.uint64)[pages.astype(np.int64)]


def apart(kernel):
    return [kernel.process(1, "abc0d", [1, 2, 3, 4, 5]), kernel.process(2, "abx0aa", [6, 7, 8, 9, 10, 11])]


def merged(kernel):
    """The same memory, once KSM has merged all of it but one page."""
    a, b, zero = BEHIND, BEHIND + 1, BEHIND + 2
    return [
        kernel.process(1, "abc0d", [a, b, 3, zero, 5]),
        kernel.process(2, "abx0aa", [a, b, 8, zero, a, 11]),
    ]


@pytest.mark.parametrize("by_zero", [0, 1])
def test_ksm_at_rest_is_the_same_before_and_after_it_has_merged(kernel, by_zero):
    settings = Settings(policy="ksmd", changes={"use_zero_pages": by_zero}, within=("process", "user", "all"))
    before, after = scan(apart(kernel), settings), scan(merged(kernel), settings)
    assert after["under_ksm"] == before["under_ksm"] and after["within"] == before["within"]
    assert after["under_ksm"]["if_all"]["pages_sharing"] == 4 + (not by_zero)
    assert after["saving"]["pages"] < before["saving"]["pages"], "there is less left to merge"


def test_zero_pages_that_ksm_gave_back_count(kernel):
    settings = Settings(policy="ksmd", changes={"use_zero_pages": 1})
    before, after = (
        scan([kernel.process(1, *how)], settings)["under_ksm"]["if_all"]
        for how in (("a000", [1, 2, 3, 4]), ("a", [1], 3))
    )
    assert after == before and after["ksm_zero_pages"] == 3


def test_the_verdict_does_not_change_because_ksm_has_merged(kernel):
    settings = AdviceSettings(least_percent=0, least_bytes=SIZE)
    before, after = advise(apart(kernel), settings), advise(merged(kernel), settings)
    assert before["verdict"]["kind"] != "not worth it"
    for name in ("verdict", "kinds", "if_all", "opted_in", "within", "settings", "risk"):
        assert after[name] == before[name], name
    assert [row["saved_bytes"] for row in after["pareto"]] == [row["saved_bytes"] for row in before["pareto"]]


def test_a_simulation_merges_anew_what_ksm_has_merged(kernel):
    memories = [from_sources(apart(kernel)), from_sources(merged(kernel))]
    [before, after] = (compare(memory, "ksmd")["runs"][0]["final"]["counters"] for memory in memories)
    assert after["pages_sharing"] == before["pages_sharing"] == 5


def test_frames_that_a_fork_shares_stay_shared(kernel):
    settings = Settings(policy="ksmd")
    sources = [kernel.process(pid, "ab", [200, 201]) for pid in (1, 2)]
    assert scan(sources, settings)["under_ksm"]["if_all"]["frames_saved"] == 0


def test_a_user_who_sees_no_frames_is_warned_before_he_turns_ksm_off(kernel):
    settings = AdviceSettings(least_percent=0, least_bytes=SIZE)
    verdict = advise([kernel.process(pid, "abc", [0, 0, None]) for pid in (1, 2)], settings)["verdict"]
    assert verdict["kind"] == "not worth it"
    assert any("16.0 KiB of it are merged by KSM now" in line and "run as root" in line for line in verdict["because"])
