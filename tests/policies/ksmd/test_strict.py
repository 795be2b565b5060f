"""ksmd with strict=True: what a host of mappings may not answer, rule by rule, and hosts of ours keep to all of them."""

import copy

import numpy as np
import pytest

from pksm import FlatHost, Ksmd, Machine, Store, UsageError
from pksm.hosts.machine.content import pages_of

SIZE = 64
BREAKS = {
    "mergeable_mms: it must give a list": ("mergeable_mms", lambda mms: tuple(mms)),
    "mergeable_mms: an mm comes twice": ("mergeable_mms", lambda mms: mms * 2),
    "next_mapped: it must give virtual pages": ("next_mapped", lambda found: found[:2]),
    "next_mapped: virtual pages: a one-dimensional int64": (
        "next_mapped",
        lambda found: (found[0].astype("u4"), *found[1:]),
    ),
    "next_mapped: pages: a one-dimensional uint32": ("next_mapped", lambda found: (found[0], found[1] * 1.0, found[2])),
    "next_mapped: 7 virtual pages with 8 pages": ("next_mapped", lambda found: (found[0][1:], *found[1:])),
    "next_mapped: None does not say": ("next_mapped", lambda found: (*found[:2], None)),
    "next_mapped: virtual pages in front of": ("next_mapped", lambda found: (found[0] - 100, *found[1:])),
    "next_mapped: virtual pages that do not ascend": ("next_mapped", lambda found: (found[0] // 2, *found[1:])),
    "next_mapped: pages that are not in the store: 1000, 1001": (
        "next_mapped",
        lambda found: (found[0], found[1] + np.uint32(1000), True),
    ),
    "frames_at: pages: a one-dimensional uint32": ("frames_at", lambda pages: pages.tolist()),
    "frames_at: 1 pages for 2 addresses": ("frames_at", lambda pages: pages[:1]),
    "frames_at: pages that are not in the store": ("frames_at", lambda pages: pages + np.uint32(1000)),
    "merge_ptes: it must return None or a bool array": ("merge_ptes", lambda refused: 1),
    "merge_ptes: ptes of pages that were refused lead elsewhere": ("merge_ptes", lambda refused: np.ones(2, bool)),
    "merge_ptes: ptes of pages that were merged lead elsewhere": ("merge_ptes", None),
    "merge_zero_ptes: ptes of pages that were merged lead elsewhere": ("merge_zero_ptes", None),
    "unmerge_opted_in: it yields mm 77": ("unmerge_opted_in", lambda mms: [77]),
    "is_alive: 1 is neither True nor False": ("is_alive", int),
    "has_opted_in: None is neither True nor False": ("has_opted_in", lambda answer: None),
    "zero_ptes_of: -1 is not a count": ("zero_ptes_of", lambda answer: -1),
}


class Broken(FlatHost):
    """Answers one call otherwise than a FlatHost does."""

    broken = how = None

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name == "broken" or name != self.broken:
            return found
        how = super().__getattribute__("how")
        return (lambda *given: None) if how is None else lambda *given: how(found(*given))


def play(host, strict):
    host.write(host.new(8), pages_of([1, 1, 1, 2, 3, 4, 0, 0], SIZE))
    daemon = Ksmd(host, strict=strict)
    daemon.sysfs["use_zero_pages"] = 1
    for _ in range(6):
        daemon.wake()
        daemon.process_stat(1)
        daemon._host.has_opted_in(1), daemon._host.is_alive(1)
        daemon._host.frames_at(np.ones(2, np.uint32), np.arange(2))
    daemon.sysfs["run"] = 2
    return daemon


@pytest.mark.parametrize("said", BREAKS)
def test_a_broken_rule_is_named(said):
    host = Broken(Store(SIZE))
    host.broken, host.how = BREAKS[said]
    with pytest.raises(UsageError, match=f"the host breaks a rule: {said}"):
        play(host, True)


def test_hosts_of_ours_keep_to_the_rules():
    both = [play(FlatHost(Store(SIZE)), strict) for strict in (True, False)]
    assert both[0].counters() == both[1].counters() and both[0].host is not both[0]._host
    machine = Machine(100, page_size=SIZE)
    daemon = Ksmd(machine, strict=True)
    mm = machine.spawn()
    at = mm.mmap(8, mergeable=True)
    mm.write(at, [1, 1, 1, 2, 3, 2, 0, 0])
    child = mm.fork()
    for content in range(4):
        for _ in range(5):
            daemon.wake()
        child.write(at, [content] * 4)
        machine.migrate(mm, at, 8)
        daemon = copy.deepcopy(daemon)
        machine = daemon.host
        mm, child = machine.mms.values()
    child.exit()
    assert machine.frames_saved
    daemon.check()
