"""Readers of others in a worker: what they hand over, and how they fail."""

import os
from functools import partial

import numpy as np
import pytest

from pksm import sources
from pksm.errors import PksmError, ShortageError, UsageError
from pksm.extents import State, make_runs
from pksm.linux import memory_limits
from pksm.sources import Sandbox, open_target, opened

from support.memory_sources import write_file
from support.sandboxed import PAGE, outcome


class Many(sources.Source):
    """Two parts that share frames; regions of every kind."""

    kind = "many"

    def __init__(self, name, file, parts=(), base=0):
        super().__init__(name, file)
        self._parts, self._base = parts, base
        self.machine = "a machine"
        self.mappings = [sources.Mapping("first", 0, PAGE)]

    def parts(self):
        return self._parts or [self]

    def regions(self, page_size, allocate, progress):
        own = np.frombuffer(bytes([self._base + 1]) * page_size * 2, np.uint8)
        yield sources.Region(make_runs([State.DATA], 0, 0, np.array([2])), own)
        first = allocate(3)
        first.array[:] = self._base + 2
        runs = make_runs([State.DATA], 0, 2 * page_size, np.array([3]))
        yield sources.Region(runs, copies=first)
        self.mappings.append(sources.Mapping("second", 0, PAGE))
        runs = make_runs([State.DATA], 1, 9 * page_size, np.array([2]))
        second, frames = allocate(2), np.array([5, 6], np.uint64)
        second.array[:] = 9
        yield sources.Region(runs, copies=second, frames=frames, exclusive=np.array([False, True]))
        runs = make_runs([State.ZERO, State.HOLE, State.EXCLUDED], 0, 99 * page_size, np.array([1, 2, 3]))
        progress(7)
        self.warnings.append("a remark")
        self.lost = 4
        yield sources.Region(runs)

    def facts(self):
        return {"colour": "blue", "name": "another", "out_of_reach": {"not_resident": 2, "odd": 3}}


def reads_many(file):
    return Many(file.path, file, [Many("left", file), Many("right", file, base=20)])


def test_a_reader_of_others_may_hand_over_any_kind_of_region(reader, mine, sandbox):
    reader(reads_many)
    found, errors = outcome([mine], sandbox)
    alone, _ = outcome([mine], None)
    assert {name: (found[name], alone[name]) for name in found if found[name] != alone[name]} == {}
    assert [source["name"] for source in found["sources"]] == ["left", "right"]  # no fact takes the place of a field
    assert found["sources"][0]["colour"] == "blue" and found["sources"][0]["lost"] == 4
    assert found["totals"]["pages"] == 15, "two zero pages, and frame 5 is that of both"


@pytest.mark.parametrize(
    "error",
    [PksmError("it is odd"), UsageError("it is odd", "page_size"), ShortageError("9 MiB needed"), MemoryError("8 GiB")],
)
@pytest.mark.parametrize("when", ["open", "read"])
def test_errors_of_readers_are_those_without_it(reader, mine, sandbox, error, when):
    class Failing(Many):
        def regions(self, page_size, allocate, progress):
            yield from super().regions(page_size, allocate, progress)
            raise error

    def fail(file):
        if when == "open":
            raise error
        return Failing(file.path, file)

    reader(fail)

    def of(sandbox):
        try:
            return outcome([mine], sandbox)
        except MemoryError as short:
            return MemoryError, str(short)

    assert of(sandbox) == of(None)


def test_a_fault_of_a_reader_is_one_line(reader, mine, sandbox):
    reader(lambda file: {}["missing"])
    assert outcome([mine], sandbox) == (PksmError, f"{mine}: its reader failed with KeyError: 'missing'")
    reader(lambda file: 7)
    with Sandbox() as anew:
        assert outcome([mine], anew) == (PksmError, f"{mine}: its reader returned a int, which is not a Source")


def test_memory_is_asked_for_where_it_can_be_looked_up(reader, mine, sandbox, monkeypatch):
    monkeypatch.setattr(memory_limits, "MEMINFO", "/no/such/file")
    monkeypatch.setattr(memory_limits, "_of_machine", lambda: 5 << 20)

    def needy(file):
        memory_limits.require(6 << 20)
        raise AssertionError("there is not so much")

    reader(needy)
    expected = (ShortageError, "6 MiB of memory are needed and 5 MiB available: scan less at a time")
    assert outcome([mine], sandbox) == outcome([mine], None) == expected


def test_a_source_that_dies_while_it_is_read_leaves_what_was_read_and_the_others(reader, mine, tmp_path, sandbox):
    class Dying(Many):
        def regions(self, page_size, allocate, progress):
            for number, region in enumerate(super().regions(page_size, allocate, progress)):
                if number == 2:
                    os._exit(3)
                yield region

    reader(lambda file: Dying(file.path, file))
    others = [write_file(tmp_path / name, [name.encode() * PAGE] * 3, PAGE) for name in "ab"]
    found, errors = outcome([others[0], mine, others[1]], sandbox)
    assert errors == [] and [source["name"] for source in found["sources"]] == [others[0], mine, others[1]]
    assert found["sources"][1]["pages"]["data"] == 5 and found["sources"][2]["duplicates"] == 2
    [line] = [line for line in found["warnings"] if "ended by" in line]
    assert line.startswith(f"{mine}: the process that read it was ended by exit code 3") and found["partial"]


def test_what_is_left_in_the_middle_ends_the_worker_alone(mine, sandbox):
    with opened([partial(open_target, mine, sandbox)]) as ([source], _):
        for _ in source.regions(PAGE, lambda n: None, lambda n: None):
            break
        started = sandbox.worker_number
        assert len(list(source.regions(PAGE, lambda n: None, lambda n: None))) == 1
        assert sandbox.worker_number >= started
