"""Scans of which a part fails, or that are interrupted: the rest counts, exactly."""

import os
import random
from contextlib import nullcontext

import pytest

from pksm import sources
from pksm.engine import native
from pksm.errors import BusError, PksmError, UsageError
from pksm.scan import Interrupts, Settings, scan
from pksm.scan.settings import DEFAULTS
from pksm.sources import opened

from model.oracle import answer
from support.memory_sources import GivenSource, data, write_file
from support.scans import SIZE, page


def test_what_fails_is_told_and_the_rest_counts():
    def fail():
        raise PksmError("two: gone")

    broken = GivenSource("two", data(page("a")), then=fail)
    result = scan([GivenSource("one", data(page("a"))), broken], Settings(page_size=SIZE), errors=[PksmError("three")])
    assert result["partial"] and result["warnings"] == ["three", "two: gone"]
    assert result["totals"]["pages"] == 2
    lost = GivenSource("lost", data(page("a")))
    lost.lost = 5
    assert scan([lost], Settings(page_size=SIZE))["partial"]


def test_opened_closes_all_and_raises_the_first_error(tmp_path):
    made = []

    def make_source():
        made.append(GivenSource("one", []))
        return made[-1]

    def missing():
        return sources.open_target(tmp_path / "missing")

    with opened([make_source, missing, make_source]) as (found, errors):
        assert found == made and len(errors) == 1 and "missing" in str(errors[0])
    assert [source.closed for source in made] == [True, True]
    with pytest.raises(PksmError, match="missing"), opened([missing]):
        pass
    with pytest.raises(UsageError, match="directory"), opened([make_source, lambda: sources.open_target(tmp_path)]):
        pass
    assert made[-1].closed


def test_openers_that_fail_otherwise_are_errors_of_their_source(tmp_path):
    made = GivenSource("one", data(page("a")))

    def fail():
        raise ZeroDivisionError("in a reader")

    with opened([lambda: made, fail]) as (found, errors):
        result = scan(found, Settings(page_size=SIZE), errors=errors)
    assert result["partial"] and any("ZeroDivisionError: in a reader" in line for line in result["warnings"])
    with pytest.raises(ZeroDivisionError), opened([fail, fail]):
        pass


def test_memory_that_runs_out_is_no_error_of_a_source():
    def fail():
        raise MemoryError

    with pytest.raises(MemoryError), opened([lambda: GivenSource("one", data(page("a"))), fail]):
        pass


def test_a_source_that_does_not_close_changes_no_result(tmp_path):
    class Stuck(GivenSource):
        def close(self):
            raise OSError("stuck")

    with pytest.warns(UserWarning, match="one: its reader failed with OSError: stuck"):
        with opened([lambda: Stuck("one", data(page("a")))]) as (found, _):
            result = scan(found, Settings(page_size=SIZE))
    assert result["totals"]["pages"] == 1


def test_a_file_that_shrinks_is_named(tmp_path):
    native.catch_bus_errors()
    path = write_file(tmp_path / "ram", [page(str(number), 4096) for number in range(64)], 4096)
    other = write_file(tmp_path / "other", [page("a", 4096)], 4096)
    shrinking = GivenSource("last", data(page("x", 4096)), then=lambda: os.truncate(path, 4096))
    with opened([lambda: sources.open_target(path), lambda: sources.open_target(other)]) as (found, _):
        with pytest.raises(BusError, match="ram: the file became shorter"):
            scan([*found, shrinking])


class InterruptAt:
    """Raises KeyboardInterrupt the n-th time that a stage tells its progress."""

    def __init__(self, stage, count):
        self.stage, self.left = stage, count

    def __call__(self, stage, pages, total):
        if stage == self.stage:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


@pytest.mark.parametrize(("stage", "reached"), [("exact", 0), ("exact", 20), ("merge", 0), ("merge", 30)])
def test_an_interrupted_scan_is_exact_about_what_it_reached(monkeypatch, stage, reached):
    monkeypatch.setitem(DEFAULTS, "pages_to_scan", 10)
    rng = random.Random(3)
    contents = [page(str(rng.randrange(12))) for _ in range(75)] + [bytes(SIZE)]
    rng.shuffle(contents)
    settings = Settings(page_size=SIZE, policy="pksmd:v0.2", changes={"quirks": ["one-content-per-hash"]})
    result = scan(
        [GivenSource("one", data(*contents))],
        settings,
        InterruptAt(stage, reached // 10 + 1),
        interrupts=Interrupts(nullcontext),
    )
    truth = answer(contents[:reached])
    assert result["interrupted"] and any("interrupted" in warning for warning in result["warnings"])
    assert result["totals"]["pages"] == result["sources"][0]["mappings"] == reached
    assert result["totals"]["distinct"] == truth.distinct
    assert result["saving"]["nonzero_pages"] == truth.pages_sharing
    assert result["groups_found"] == truth.pages_shared


def test_an_interrupt_goes_through_where_nobody_holds_it_back():
    with pytest.raises(KeyboardInterrupt):
        scan([GivenSource("one", data(page("a")))], Settings(page_size=SIZE), InterruptAt("merge", 1))
