"""The profiler of checksums: what it counts is right by construction, and what it advises follows from that."""

import contextlib
import json
from math import comb

import numpy as np
import pytest

from pksm import profiler, report
from pksm.engine.checksums import plugins
from pksm.engine.checksums import strategies as checksums
from pksm.engine.store import Store
from pksm.errors import PksmError, UsageError
from pksm.profiler import advice, blindness, collisions, consequence
from pksm.profiler.subject import Subject, of_load
from pksm.report.plot import front

SOME = ("xxh3-64", "jhash2", "sampled", "partial")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(plugins, "_registered", {})


def subject_of(rows):
    store = Store(rows.shape[1])
    first = store.add(rows)
    return Subject("memory", store, np.arange(first, first + len(rows), dtype=np.uint32))


@pytest.fixture(scope="module")
def documents():
    """Profiles of two workloads, and of one of them without changes."""
    return {
        (name, changes): profiler.profile([contextlib.nullcontext(of_load(name, 600))], SOME, changes=changes)
        for name, changes in (("a", 0.05), ("a", 0), ("e", 0.05))
    }


def rows_of(document):
    return {row["name"]: row for row in document["strategies"]}


# ---- truth ---------------------------------------------------------------------------------------------------


def test_collisions_are_counted_in_pairs_of_contents_and_zero_is_told_from_what_looks_like_it():
    rows = np.zeros((12, 64), np.uint8)
    rows[1:5, 0] = [1, 1, 2, 3]  # two equal pages, and two more contents
    rows[5:9, 32] = [1, 2, 3, 4]  # look zero to who reads the first half only
    rows[9, 0], rows[9, 32] = 1, 1  # looks like rows 1 and 2
    subject = subject_of(rows)
    half = checksums.make("partial:bytes=32", 64)
    sums = np.array([half.of(row) for row in rows], np.uint64)
    assert collisions.measure(subject, half, sums) == {
        "contents": 9,
        "checksums": 4,
        "colliding_pairs": comb(5, 2) + 1,
        "expected_pairs": comb(9, 2) / 2**32,
        "false_zero": 4,
    }
    assert (subject.n_zero, subject.saving) == (3, 3 + 1)


# ---- blindness -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", [8, 64, 4096])
def test_changes_are_of_the_kind_they_say_and_leave_the_sample_as_it_was(page_size):
    subject = of_load("f", 300, page_size)
    before = subject.rows.copy()
    changes = blindness.Changes(subject, seed=1)
    for kind, n_words in blindness.kinds(page_size).items():
        change = changes._change(kind)
        words = np.count_nonzero(change.view(np.uint32), axis=1)
        if n_words:
            assert (words == n_words).all()
        elif kind == "byte":
            assert (np.count_nonzero(change, axis=1) == 1).all()
        elif kind == "line":
            lines = change.reshape(300, -1, min(64, page_size)).any(axis=2)
            assert (lines.sum(axis=1) == 1).all() and (words == min(16, page_size // 4)).all()
        else:
            assert change[:, -8:].any(axis=1).all() and not change[:, :-8].any()
    changes.missed({"xxh3-64": checksums.make("xxh3-64", page_size)})
    assert (subject.rows == before).all()


def test_full_page_checksums_miss_nothing_and_the_sample_what_it_does_not_look_at():
    names = [name for name in checksums.ABOUT if name != "adaptive"] + ["sampled:words=1024", "sampled-lines:words=512"]
    made = {name: checksums.make(name, 4096, seed=3) for name in names}
    subject = of_load("a", 1500)
    counts = blindness.Changes(subject).missed(made)
    for name, checksum in made.items():
        for kind, missed in blindness.as_columns(checksum, counts[name], 4096).items():
            assert missed["trials"] == 1500 * blindness.ROUNDS
            wide = 4 * (missed["high"] - missed["low"]) / 2  # eight standard deviations: never by chance
            assert abs(missed["measured"] - missed["analytic"]) <= wide, (name, kind)
            if checksum.words is None or name == "sampled:words=1024":
                assert missed["measured"] == 0, (name, kind)


def test_analytic_values_are_those_of_the_published_sample():
    """1 - 64/1024 for a word; C(1024-k, 64) / C(1024, 64) for k of them."""
    sample = checksums.make("sampled", 4096)
    assert blindness.analytic(sample, "1_word", 4096) == 1 - 64 / 1024
    assert blindness.analytic(sample, "8_words", 4096) == pytest.approx(comb(1016, 64) / comb(1024, 64))
    assert blindness.analytic(checksums.make("xxh3-64", 4096), "line", 4096) == 2**-64
    assert blindness.analytic(checksums.make("crc32", 4096), "byte", 4096) == 0


def test_the_interval_is_wilson_s():
    """Newcombe 1998, method 3, on 81 of 263 and 0 of 20, as printed there."""
    assert blindness.interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert blindness.interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


# ---- consequence ---------------------------------------------------------------------------------------------


def test_full_page_checksums_find_everything_and_the_sample_misses_changes(documents):
    rows = rows_of(documents["a", 0.05])
    for name in ("xxh3-64", "jhash2"):
        assert (rows[name]["missed_merges"], rows[name]["missed_after_change"], rows[name]["limbo_pages"]) == (0, 0, 0)
    for name in ("sampled", "partial"):
        row = rows[name]
        assert row["changes"] == 30 and 20 < row["missed_changes"] <= row["missed_after_change"] + 1
        assert row["missed_merges"] == 0  # pages that hold still are all found


def test_published_quirks_leave_what_looks_equal_in_limbo(documents):
    rows = rows_of(documents["e", 0.05])  # all pages equal up to their last 8 bytes
    assert rows["partial"]["limbo_pages"] == 600 - 1  # the first one is in the tree, the others count as merged
    assert rows["partial"]["colliding_pairs"] == comb(600, 2)
    assert rows["xxh3-64"]["limbo_pages"] == rows["xxh3-64"]["colliding_pairs"] == 0
    assert rows["partial"]["futile_compares"] > 600 > rows["xxh3-64"]["futile_compares"] == 0


def test_the_sample_is_as_it_was_after_changes():
    subject = of_load("a", 200)
    before = subject.rows.copy()
    assert consequence.measure(subject, "xxh3-64", changes=0.5)["changes"] == 100
    assert (subject.rows == before).all()


def test_adaptive_is_profiled_in_every_way():
    (row,) = profiler.profile([contextlib.nullcontext(of_load("f", 300))], ["adaptive"])["strategies"]
    assert row["missed_merges"] == 0


# ---- advice --------------------------------------------------------------------------------------------------


def test_the_advice_differs_between_memory_that_changes_and_memory_that_holds_still(documents):
    """A part of the page is by far the cheapest, and misses changes of one word; the levels of speed are far apart."""
    changing, still = (documents["a", changes]["subjects"][0]["recommendation"] for changes in (0.05, 0))
    assert changing["strategy"] in ("xxh3-64", "jhash2") and "missed no merge" in changing["sentence"]
    rows = rows_of(documents["a", 0])
    assert not any(row["missed_after_change"] or row["changes"] for row in rows.values())
    assert still["strategy"] == min(rows, key=lambda name: rows[name]["cpu_ns_to_rest"])


def row(name, ns, merges=10, missed=0, after=0, changes=5):
    return {"name": name, "cpu_ns_to_rest": ns, "merges": merges, "missed_merges": missed,
            "missed_after_change": after, "changes": changes}  # fmt: skip


def test_advice_is_the_least_cpu_of_those_that_missed_nothing():
    assert advice.recommend([row("slow", 900), row("quick", 300), row("blind", 100, after=4)]) == {
        "strategy": "quick",
        "sentence": "quick: 300 ns of CPU a page to rest, the least of the 2 that missed no merge; "
        "blind takes 100 ns, but missed 4 of 15 merges.",
    }
    assert advice.recommend([row("one", 100), row("other", 104)])["sentence"] == (
        "one: 100 ns of CPU a page to rest, the least of the 2 that missed no merge (other within 5 %)."
    )
    assert advice.recommend([row("only", 100), row("lossy", 200, missed=1)])["strategy"] == "only"
    none = advice.recommend([row("bad", 100, missed=3), row("worse", 50, missed=4)])
    assert none["strategy"] is None and "bad the fewest (3)" in none["sentence"]
    # the same strategies on two loads: what is missed decides
    assert advice.recommend([row("full", 300), row("part", 100)])["strategy"] == "part"
    assert advice.recommend([row("full", 300), row("part", 100, after=1)])["strategy"] == "full"


def test_the_front_is_what_nothing_beats():
    points = [(1, 9), (2, 5), (2, 6), (3, 5), (4, 1), (9, 1), (4, 1)]
    assert front(points) == [True, True, False, False, True, False, True]
    assert front([]) == []


# ---- the document --------------------------------------------------------------------------------------------


def test_the_document_has_what_its_schema_says(documents):
    document = json.loads(json.dumps(documents["a", 0.05]))
    assert document["schema"] == "pksm.checksum/1" and not document["partial"] and document["warnings"] == []
    for row in document["strategies"]:
        for where in ("hot", "cold", "random"):
            assert row[f"ns_{where}"] > 0
            assert row[f"gb_s_{where}"] == pytest.approx(4096 / row[f"ns_{where}"])
            read = document["subjects"][0]["yardsticks"]["read"][where]
            assert row[f"times_read_{where}"] == pytest.approx(row[f"ns_{where}"] / read)
        assert {"1_word", "2_words", "4_words", "64_words", "byte", "line", "tail"} <= set(row["missed"])
        assert row["contents"] == 600 and row["merges"] == 0
        assert sum(row["cpu_ns_steps"].values()) == pytest.approx(row["cpu_ns_to_rest"])
    table = report.table(document)
    assert all(len(line) <= 100 for line in table.splitlines())
    assert "Recommended: " in table
    header, *lines = report.csv(document).splitlines()
    assert len(lines) == len(SOME) and "missed_1_word" in header and "cpu_ns_settle" in header


def test_a_plug_in_that_fails_is_named_and_the_others_are_profiled():
    def fails(pages):
        if len(pages) > 1:
            raise RuntimeError("no luck")
        return pages[:, 0]

    checksums.register("fails", fails)
    checksums.register("first", lambda pages: pages[:, 0].astype(np.uint64), width=8)
    document = profiler.profile([contextlib.nullcontext(of_load("a", 64))], ["fails", "first", "xxh3-64"])
    assert [row["name"] for row in document["strategies"]] == ["first", "xxh3-64"]
    assert document["partial"]
    assert document["warnings"] == ["fails is left out: checksum plug-in fails failed: RuntimeError: no luck"]
    assert rows_of(document)["first"]["missed"]["byte"]["analytic"] is None
    with pytest.raises(PksmError, match="no strategy could be profiled"):
        profiler.profile([contextlib.nullcontext(of_load("a", 64))], ["fails"])


def test_what_can_not_be_profiled_is_refused():
    for strategies, changes in ((["md5"], 0.05), (["xxh64"], 0.6), (["xxh64"], -1)):
        with pytest.raises(UsageError):
            profiler.profile([contextlib.nullcontext(of_load("a", 8))], strategies, changes=changes)
    with pytest.raises(UsageError):
        of_load("a", 0)
    with pytest.raises(UsageError):
        subject_of(np.zeros((0, 64), np.uint8))
