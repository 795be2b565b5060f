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
from pksm.profiler import advice, blindness, collisions, consequence, speed
from pksm.profiler.subject import Subject, of_load
from pksm.report.front import front

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
    least = min(rows.values(), key=lambda row: row["cpu_ns_to_rest"])
    told = rows[still["strategy"]]["intervals"]["to_rest"]["low"], least["intervals"]["to_rest"]["high"]
    assert still["strategy"] == least["name"] or told[0] <= max(told[1], 1.05 * least["cpu_ns_to_rest"])


def row(name, ns, merges=10, missed=0, after=0, changes=5, width=64, spread=0):
    interval = {"low": ns - spread, "high": ns + spread, "repeats": 7}
    return {"name": name, "cpu_ns_to_rest": ns, "merges": merges, "missed_merges": missed, "width": width,
            "missed_after_change": after, "changes": changes, "intervals": {"to_rest": interval}}  # fmt: skip


def taken(*rows, pages=1000):
    return advice.recommend(rows, pages)["strategy"]


def test_advice_is_the_least_cpu_of_those_that_missed_nothing():
    assert advice.recommend([row("slow", 900), row("quick", 300, spread=20), row("blind", 100, after=4)], 1000) == {
        "strategy": "quick",
        "sentence": "quick: 300 ns of CPU per page to rest (280 to 320), the least of the 2 that missed no merge; "
        "blind takes 100 ns, but missed 4 of 15 merges.",
    }
    assert advice.recommend([row("one", 100), row("other", 104)], 1000)["sentence"] == (
        "one: 100 ns of CPU per page to rest (100 to 100), one of 2 that missed no merge; the intervals do not "
        "distinguish it from other: the widest sum wins, then the default."
    )
    assert taken(row("only", 100), row("lossy", 200, missed=1)) == "only"
    none = advice.recommend([row("bad", 100, missed=3), row("worse", 50, missed=4)], 1000)
    assert none["strategy"] is None and "bad the fewest (3)" in none["sentence"]
    # the same strategies on two loads: what is missed decides
    assert taken(row("full", 300), row("part", 100)) == "part"
    assert taken(row("full", 300), row("part", 100, after=1)) == "full"


def test_a_tie_within_the_intervals_goes_to_the_wider_sum_and_then_to_the_default():
    narrow, wide = row("adler32", 100, spread=30, width=32), row("fnv1a-64", 150, spread=20)
    assert taken(narrow, wide) == taken(wide, narrow) == "fnv1a-64"
    assert taken(narrow, row("fnv1a-64", 151, spread=20)) == "adler32", "apart: 130 and 131"
    default = row("xxh3-64", 160, spread=30)
    assert taken(narrow, wide, default) == "xxh3-64"
    assert taken(row("aes", 100, spread=5), default) == "aes", "quicker beyond the intervals"
    # however the dice fall within the intervals, the answer is the same
    for aes, ours, other in ((100, 104, 108), (104, 100, 101), (108, 101, 100)):
        rows = row("aes", aes, spread=9), row("xxh3-64", ours, spread=9), row("adler32", other, spread=9, width=32)
        assert taken(*rows) == "xxh3-64"


def test_no_sum_that_is_too_narrow_for_so_many_pages_is_recommended():
    """pages ** 2 / 2 ** 32 is 0.0100 for 6,553 pages and 0.0103 for 6,650."""
    rows = row("adler32", 10, width=32), row("xxh3-64", 300)
    assert taken(*rows, pages=6553) == "adler32"
    assert taken(*rows, pages=6650) == "xxh3-64"
    assert "adler32 takes 10 ns, but is too narrow: its 32 bits" in advice.recommend(rows, 65536)["sentence"]
    none = advice.recommend(rows[:1], 65536)
    assert none["strategy"] is None and "1 collisions of 65,536 pages, and 0.01 is the bound" in none["sentence"]


# ---- measurements, injected ----------------------------------------------------------------------------------


def test_the_median_counts_and_the_interval_holds_all():
    samples = {"hot": [5.0, 1.0, 3.0, 2.0, 90.0], "cold": [8.0] * 5, "random": [0.0] * 5}
    columns = speed.as_columns(samples, 4096, {"hot": 2.0, "cold": 4.0, "random": 0.0}, reads_all=True)
    assert columns["intervals"]["hot"] == {"low": 1.0, "high": 90.0, "repeats": 5}
    assert (columns["ns_hot"], columns["times_read_hot"], columns["times_read_cold"]) == (3.0, 1.5, 2.0)
    assert columns["gb_s_random"] is columns["times_read_random"] is None and columns["read_bound"] == []


def test_what_reads_all_is_never_quicker_than_reading():
    samples = {"hot": [1.0, 2.0, 9.0, 3.0, 2.5], "cold": [8.0] * 5, "random": [4.0] * 5}
    read = {"hot": 5.0, "cold": 4.0, "random": 4.0}
    columns = speed.as_columns(samples, 4096, read, reads_all=True)
    assert columns["read_bound"] == ["hot"] and columns["times_read_hot"] == 1.0 and columns["ns_hot"] == 5.0
    assert columns["intervals"]["hot"] == {"low": 5.0, "high": 9.0, "repeats": 5}
    part = speed.as_columns(samples, 4096, read, reads_all=False)
    assert part["read_bound"] == [] and part["ns_hot"] == 2.5, "who reads a part may be"


def test_a_speed_bound_by_reading_is_marked_in_the_table(documents):
    document = json.loads(json.dumps(documents["a", 0.05]))
    for one in document["strategies"]:
        one["read_bound"] = []
    assert "bound by reading" not in report.table(document)
    document["strategies"][0] |= {"read_bound": ["cold"], "ns_cold": 123.0}
    table = report.table(document)
    assert "123*" in table and "bound by reading" in table


def test_pksmd_s_rounds_are_reported_by_their_median(monkeypatch):
    ns = iter([50.0, 10.0, 30.0, 20.0, 60.0, 70.0, 40.0])
    real = consequence.to_rest
    monkeypatch.setattr(consequence, "to_rest", lambda *given: real(*given) | {"cpu_ns_to_rest": next(ns)})
    document = profiler.profile([contextlib.nullcontext(of_load("a", 64))], ["xxh3-64"])
    (one,) = document["strategies"]
    assert one["cpu_ns_to_rest"] == 40.0
    assert one["intervals"]["to_rest"] == {"low": 10.0, "high": 70.0, "repeats": 7}
    assert "(10 to 70)" in document["subjects"][0]["recommendation"]["sentence"]


def test_a_plug_in_that_is_not_a_function_of_its_bytes_is_left_out_by_name():
    random, calls = np.random.default_rng(0), []
    checksums.register("random", lambda pages: random.integers(0, 1 << 63, len(pages)).astype(np.uint64))

    def position(pages):
        return np.arange(len(pages), dtype=np.uint64)

    def late(pages):
        calls.append(len(pages))
        return pages[:, 0].astype(np.uint64) + np.uint64(len(calls) > 6)

    checksums.register("position", position)
    checksums.register("late", late)
    document = profiler.profile([contextlib.nullcontext(of_load("f", 256))], ["xxh3-64", "random", "position", "late"])
    assert [one["name"] for one in document["strategies"]] == ["xxh3-64"] and document["partial"]
    for line, name in zip(document["warnings"], ("random", "position", "late"), strict=True):
        assert line.startswith(f"{name} is left out: checksum plug-in {name}: gives different sums for the same page")
    with pytest.raises(PksmError, match="no strategy could be profiled: random is left out"):
        profiler.profile([contextlib.nullcontext(of_load("f", 256))], ["random"])


def test_pksmd_ends_though_sums_never_hold_still():
    random = np.random.default_rng(0)
    checksums.register("random", lambda pages: random.integers(0, 1 << 63, len(pages)).astype(np.uint64))
    assert consequence.to_rest(of_load("f", 64), "random")["missed_merges"] >= 0


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
