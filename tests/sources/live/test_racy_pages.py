"""Pages of live processes that change while they are read: what a second look finds, and when none is needed."""

import contextlib

import numpy as np
import pytest

from pksm import sources
from pksm.errors import UsageError
from pksm.extents import State
from pksm.linux.proc import memory as readv
from pksm.linux.proc import pagemap, stillness
from pksm.sources.live import reading

from support.asleep import wait_until_asleep
from support.live_children import PAGE, allocate, forked_from, pages_of, read, whole


@pytest.mark.parametrize("racy", ["keep", "drop", "unchecked"])
def test_pages_written_since_they_were_read(child, way, monkeypatch, racy):
    start = child.run("[put(page, b'old') for page in range(64)]")
    lasts = stillness.Stillness.lasts

    def write_and_ask(self):
        child.run("put(3, b'new'); put(40, b'new')")
        return lasts(self)

    monkeypatch.setattr(stillness.Stillness, "lasts", write_and_ask)
    with contextlib.closing(sources.open_pid(child.pid, racy)) as source:
        regions = list(source.regions(PAGE, allocate, lambda pages: None))
        facts = source.facts()
    found = pages_of(regions, start, 64)
    gone = [page for page, state in found.items() if state == State.EXCLUDED]
    assert gone == ([3, 40] if racy == "drop" else [])
    assert {content for page, content in found.items() if page not in gone} == {whole(b"old")}
    if racy == "unchecked":
        assert facts["racy"] is None
    else:
        assert facts["racy"] >= 2  # and what the interpreter wrote
        assert facts["out_of_reach"]["racy"] == (facts["racy"] if racy == "drop" else 0)
    assert not facts["frozen"] and source.lost == 0


def second_look_after(monkeypatch, action):
    """Do something between a reading and its second look."""
    monkeypatch.setattr(stillness.Stillness, "lasts", lambda self: [action()] == [])


@pytest.mark.parametrize("racy", ["keep", "drop"])
def test_pages_given_back_meanwhile_stay_away(child, way, monkeypatch, racy):
    start = child.run("[put(page, b'old') for page in range(64)]")
    second_look_after(monkeypatch, lambda: child.run(f"memory.madvise(mmap.MADV_DONTNEED, 8 * {PAGE}, 4 * {PAGE})"))
    with contextlib.closing(sources.open_pid(child.pid, racy)) as source:
        found = pages_of(list(source.regions(PAGE, allocate, lambda pages: None)), start, 64)
        assert source.facts()["racy"] >= 4
    assert [page for page in found if found[page] == State.EXCLUDED] == ([8, 9, 10, 11] if racy == "drop" else [])
    with contextlib.closing(pagemap.Pagemap(child.pid)) as pages:
        entries = np.zeros(64, np.uint64)
        pages._read_entries(start // PAGE, entries)
    assert np.flatnonzero(~pagemap.is_present(pagemap.flags_of(entries))).tolist() == [8, 9, 10, 11], "not even read"


def test_pages_swapped_out_meanwhile_are_not_racy(child, monkeypatch):
    """They are not looked at, for that would bring them back: whether they were written is not known."""
    start = child.run("[put(page, b'old') for page in range(64)]")
    wait_until_asleep(child.pid)
    second_look_after(monkeypatch, lambda: looked.append(1))
    looked, entries_of, pread = [], pagemap.Pagemap.entries, readv.ProcessMemory._pread
    touched = []

    def swapped_since(self, data):
        entries = entries_of(self, data)
        if looked:
            for _, _, address, pages, first in data.tolist():
                if address <= start < address + pages * PAGE:
                    at = first + (start - address) // PAGE
                    entries[at + 8 : at + 12] = 1 << 62
        return entries

    def watched(self, address, out):
        touched.append((address, address + out.size))
        return pread(self, address, out)

    monkeypatch.setattr(pagemap.Pagemap, "entries", swapped_since)
    monkeypatch.setattr(readv.ProcessMemory, "_pread", watched)
    monkeypatch.setattr(readv.ProcessMemory, "_readv", lambda *args: -1)  # all is read the other way
    with contextlib.closing(sources.open_pid(child.pid, "drop")) as source:
        found = pages_of(list(source.regions(PAGE, allocate, lambda pages: None)), start, 64)
        assert source.facts()["racy"] == 0
    assert set(found.values()) == {whole(b"old")}
    times = [sum(low <= start + page * PAGE < high for low, high in touched) for page in (7, 8, 11, 12)]
    assert looked and times == [2, 1, 1, 2]


def test_pages_shared_meanwhile_stay_shared(child, way, monkeypatch):
    start = child.run("[put(page, b'p%d' % page) for page in range(64)]")
    with contextlib.ExitStack() as stack:
        forked = []
        second_look_after(monkeypatch, lambda: forked or forked.append(stack.enter_context(forked_from(child, "0"))))
        read(child.pid)
        parent, fork = (pages_of(read(pid)[1], start, 64, "frames") for pid in (child.pid, *forked))
    assert parent == fork and not any(exclusive for _, exclusive in parent.values())


def test_an_unknown_way_with_racy_pages(child):
    with pytest.raises(UsageError, match="keep, drop"):
        sources.open_pid(child.pid, "maybe")


@pytest.mark.parametrize("looks", [False, True])
def test_pages_that_stay_are_not_racy(child, way, monkeypatch, looks):
    child.run("pass")
    wait_until_asleep(child.pid)
    look_again, looked = reading.Reading._look_again, []
    monkeypatch.setattr(reading.Reading, "_look_again", lambda *args: [looked.append(1), look_again(*args)])
    if looks:
        monkeypatch.setattr(stillness.Stillness, "lasts", lambda self: False)
    source, _ = read(child.pid)
    assert source.facts()["racy"] == 0, "the child waits for a line"
    assert bool(looked) == looks, "what slept is not looked at again"


def test_stillness(child):
    child.run("import threading; event = threading.Event(); t = threading.Thread(target=event.wait); t.start()")
    wait_until_asleep(child.pid)
    still, devices = stillness.Stillness(child.pid, False), stillness.Stillness(child.pid, True)
    few = stillness.PAGES_A_THREAD
    assert not still.lasts(), "it was not begun"
    for watched in (still, devices):
        watched.begin(few)
    assert not still.lasts(), "two threads are too many for so few pages"
    for _ in range(2):
        for watched in (still, devices):
            watched.begin(2 * few)
        assert still.lasts() and still.lasts() and not devices.lasts()
        child.run("pass")
        wait_until_asleep(child.pid)
        assert not still.lasts(), "it ran, if not for long"
        assert not still.lasts(), "and it has to begin anew"
    still.begin(2 * few)
    child.run("event.set(); t.join()")
    wait_until_asleep(child.pid)
    assert not still.lasts()
    child.run("threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()")
    still.begin(2 * few)
    assert not still.lasts(), "a thread runs all the time"
    child.kill()
    still.begin(2 * few)
    assert not still.lasts()
