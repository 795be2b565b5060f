"""The benchmarks: documents of the right form, every answer checked, and wrong ones noticed. No speeds here."""

import csv
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from pksm import checksums, report
from pksm.bench import engine_jobs, measuring, yardsticks
from pksm.bench.measuring import measure
from pksm.bench.run import bench
from pksm.engine import native
from pksm.errors import PageError, UsageError
from pksm.linux import system
from pksm.protocols import NO_FRAME, ZERO_FRAME
from pksm.simulation.workloads import LOADS
from pksm.simulation.workloads.loads import Load

ORDERS = ("content", "checksum", "checksum-content")
FIELDS = {
    "load",
    "pages",
    "engine",
    "order",
    "batch",
    "threads",
    "wall_s",
    "cpu_s",
    "pages_per_cpu_s",
    "merges_per_cpu_s",
    "ns_per_page",
    "checksum",
    "merges",
    "ns_low",
    "ns_high",
    "times_read",
    "times_read_low",
    "times_read_high",
}
SAMPLES = {"cpu_samples_s", "wall_samples_s"}
MACHINE = {"cpu", "cpu_level", "cores", "busy_cores", "kernel", "python", "numpy", "thp", "huge_kib"}
RIVALS = (yardsticks.table_job, yardsticks.ksm_job)
MERGING = (*RIVALS, lambda ground: engine_jobs.settle_job(ground, engine_jobs.settings()),
           lambda ground: engine_jobs.pksmd_job(ground, engine_jobs.settings()))  # fmt: skip


def ground_with(name, n_pages=200, page_size=64):
    ground = yardsticks.Ground(n_pages, page_size)
    ground.fill(name)
    return ground


class Lying(Load):
    """A load that expects one more of something."""

    def expected(self):
        truth = super().expected()
        return {**truth, self.name: truth[self.name] + 1}


def test_document():
    seen = []
    document = bench(
        n_pages=300, orders=ORDERS, page_size=64, batch=100, repeats=2, seed=3, progress=lambda *told: seen.append(told)
    )
    document = json.loads(json.dumps(document))
    assert document["schema"] == "pksm.bench/1"
    assert (document["page_size"], document["repeats"], document["seed"]) == (64, 2, 3)
    assert document["period_seconds"] == engine_jobs.PERIOD_SECONDS
    assert set(document["machine"]) == MACHINE
    rows = [row for row in document["rows"] if ":" not in row["engine"]]
    wanted = []
    for load in LOADS:
        wanted += [(load, name, None) for name in ("read", "memcpy", "memcmp", "call", "checksum", "hash table")]
        wanted += [(load, "ksm twin", "content")]
        wanted += [(load, engine, order) for order in ORDERS for engine in ("settle in C", "pksmd")]
    assert [(row["load"], row["engine"], row["order"]) for row in rows] == wanted
    rounds = [(load, engine) for load, engine, _ in wanted]
    for load in LOADS:  # jobs take turns
        told = [("filling memory" if engine is None else engine) for name, engine in seen if name == load]
        assert told == ["filling memory", *[engine for name, engine in rounds if name == load] * 2]
    for row in document["rows"]:
        assert set(row) == FIELDS | SAMPLES
        assert row["pages"] == (yardsticks.CALLS if row["engine"] == "call" else 300)
        assert row["threads"] == 1
        assert row["batch"] == (100 if row["engine"].startswith(("pksmd", "settle")) else None)
    for row in rows:
        assert row["wall_s"] > 0 and row["cpu_s"] > 0
        assert row["pages_per_cpu_s"] == pytest.approx(row["pages"] / row["cpu_s"])
        assert row["ns_per_page"] == pytest.approx(1e9 * row["cpu_s"] / row["pages"])
        merging = row["engine"] in ("hash table", "ksm twin", "settle in C", "pksmd")
        assert (row["merges_per_cpu_s"] is not None) == merging


def test_steps_of_the_engine_stand_behind_it():
    document = bench(("f",), 300, page_size=64, repeats=1)
    engines = [row["engine"] for row in document["rows"]]
    behind = engines[engines.index("pksmd") + 1 :]
    assert behind[:3] == ["pksmd: add", "pksmd: take_batch", "pksmd: settle"]
    assert all(name.startswith("pksmd: ") for name in behind)
    whole = document["rows"][engines.index("pksmd")]
    steps = document["rows"][engines.index("pksmd") + 1 :]
    assert 0 < sum(row["wall_s"] for row in steps) <= whole["wall_s"]
    assert all(row["merges_per_cpu_s"] is None for row in steps)


def test_one_thread_keeps_to_one_cpu_and_gives_the_others_back():
    allowed = os.sched_getaffinity(0)
    with system.pinned():
        assert os.sched_getaffinity(0) == {max(allowed)}
    assert os.sched_getaffinity(0) == allowed
    with pytest.raises(KeyError), system.pinned():
        raise KeyError
    assert os.sched_getaffinity(0) == allowed
    with system.pinned(threads=2):
        assert os.sched_getaffinity(0) == allowed


def test_threads_sum_all_pages():
    document = bench(("f",), 5000, page_size=64, threads=3, repeats=1)
    threads = {row["engine"]: row["threads"] for row in document["rows"]}
    assert threads["checksum"] == threads["pksmd"] == 3
    assert threads["read"] == threads["hash table"] == threads["ksm twin"] == threads["settle in C"] == 1


def test_unshared_pages_are_summed_once():
    ground = ground_with("a", n_pages=2000)
    job = engine_jobs.pksmd_job(ground, engine_jobs.settings(batch=10))
    _, pksmd = job.work(job.prepare())
    assert pksmd.cost.bytes_hashed == 2000 * 64


@pytest.mark.parametrize("batch", [1, 100, engine_jobs.BATCH])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", LOADS)
def test_merges_are_counted(name, order, batch):
    ground = ground_with(name)
    truth = ground.load.expected()
    settings = engine_jobs.settings(order, batch)
    for job in (engine_jobs.pksmd_job(ground, settings), engine_jobs.settle_job(ground, settings)):
        assert job.check(job.work(job.prepare())) == truth["duplicates"] + truth["zero"]


@pytest.mark.parametrize("page_size", [8, 64, 512, 4096])
@pytest.mark.parametrize("make_job", RIVALS)
@pytest.mark.parametrize("name", LOADS)
def test_rivals_find_what_is_equal(name, make_job, page_size):
    ground = ground_with(name, n_pages=300, page_size=page_size)
    job = make_job(ground)
    kept = job.work(job.prepare())
    truth = ground.load.expected()
    assert job.check(kept) == truth["pages"] - truth["distinct"]
    # the hash table keeps the first page of its content, KSM the second one of a pair
    if make_job is yardsticks.table_job:
        first = {content: page for page, content in reversed(list(enumerate(ground.load.contents, ground.first)))}
        assert [first[content] for content in ground.load.contents] == kept.tolist()


@pytest.mark.parametrize("page_size", [8, 16, 128, 4096])
def test_read_sums_all_words(page_size):
    ground = ground_with("f", n_pages=77, page_size=page_size)
    pages = ground.pages[3::2]
    with np.errstate(over="ignore"):
        wanted = ground.bytes[3::2].copy().view(np.uint64).sum(dtype=np.uint64)
    assert native.yardstick_read(ground.store.view, pages) == wanted


def test_memcmp_counts_equal_pairs():
    ground = ground_with("a", n_pages=90)
    ground.copy[[3, 80], [63, 0]] ^= 1
    assert native.yardstick_memcmp(ground.store.view, ground.pages, ground.copy_pages) == 88


def test_yardsticks_take_no_wrong_arrays():
    ground = ground_with("a", n_pages=64)
    view, pages = ground.store.view, ground.pages
    checksum, kept = checksums.make("xxh3-64", 64), np.zeros(64, np.uint32)
    table = native.TableView(np.zeros(64, native.NODE), np.zeros(1, native.TREES))
    for call in (
        lambda: native.yardstick_memcmp(view, pages, pages[1:]),
        lambda: native.yardstick_memcpy(view, pages, ground.copy[1:]),
        lambda: native.yardstick_memcpy(view, pages, ground.copy.view(np.int8)),
        lambda: native.yardstick_table(view, checksum, pages, np.zeros(64, native.SLOT), kept),
        lambda: native.yardstick_table(view, checksum, pages, np.zeros(100, native.SLOT), kept),
        lambda: native.yardstick_table(view, checksum, pages, np.zeros(128, np.uint64), kept),
        lambda: native.yardstick_table(view, checksum, pages, np.zeros(128, native.SLOT), kept[1:]),
        lambda: native.yardstick_ksm(view, pages, table, kept),
        lambda: native.yardstick_ksm(view, pages, table, kept[1:]),
    ):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(PageError):
        native.yardstick_read(view, pages + np.uint32(100))


def test_memory_on_small_pages_holds_the_same_load():
    ground, small = ground_with("f", 300), yardsticks.Ground(300, 64, huge=False)
    small.fill("f")
    assert np.array_equal(small.bytes, ground.bytes) and np.array_equal(small.copy, small.bytes)
    assert measure([yardsticks.checksum_job(small)], repeats=1)[0]["pages"] == 300


@pytest.mark.parametrize("lie", ["pages", "zero", "distinct", "duplicates"])
def test_engine_against_a_lie_is_noticed(lie):
    ground = ground_with("f")
    job = engine_jobs.pksmd_job(ground, engine_jobs.settings())
    measure([job], repeats=1)
    ground.load = Lying(lie, ground.load.contents)
    with pytest.raises(yardsticks.WrongAnswer, match=f"{lie} should be"):
        measure([job], repeats=1)


@pytest.mark.parametrize("make_job", [yardsticks.checksum_job, *RIVALS])
def test_rivals_against_a_lie_are_noticed(make_job):
    ground = ground_with("f")
    measure([make_job(ground)], repeats=1)
    ground.load = Lying("distinct", ground.load.contents)
    with pytest.raises(yardsticks.WrongAnswer, match="distinct should be"):
        measure([make_job(ground)], repeats=1)


@pytest.mark.parametrize("make_job", MERGING)
def test_right_counts_of_wrong_groups_are_noticed(make_job):
    ground = ground_with("b")
    ground.load = Load("b", np.roll(ground.load.contents, 1))
    with pytest.raises(yardsticks.WrongAnswer, match="different content share a frame"):
        measure([make_job(ground)], repeats=1)


def test_equal_pages_of_different_checksums_are_noticed():
    ground = ground_with("b")
    ground.load = Load("b", np.roll(ground.load.contents, 1))
    with pytest.raises(yardsticks.WrongAnswer, match="equal pages have different checksums"):
        measure([yardsticks.checksum_job(ground)], repeats=1)


@pytest.mark.parametrize(
    "frames, said",
    [
        ([ZERO_FRAME, 101, 102, 102, 104], None),
        ([100, 101, 102, 102, 104], "zero should be 1"),
        ([ZERO_FRAME, 101, 102, 103, 104], "distinct should be 4"),
        ([ZERO_FRAME, 101, 102, 102, NO_FRAME], "pages should be 5"),
        ([ZERO_FRAME, 101, 102, 101, 104], "share a frame"),
        ([100, ZERO_FRAME, 102, 102, 104], "share a frame"),
        ([ZERO_FRAME, 101, 99, 99, 104], "not of the load"),
        ([ZERO_FRAME, 101, 105, 105, 104], "not of the load"),
    ],
)
def test_frames_are_judged(frames, said):
    load = Load("x", np.array([0, 1, 2, 2, 3], np.uint32))
    frames = np.array(frames, np.uint32)
    if said is None:
        assert engine_jobs.check_frames(load, frames, first=100) == 2
    else:
        with pytest.raises(yardsticks.WrongAnswer, match=said):
            engine_jobs.check_frames(load, frames, first=100)


def test_engine_that_never_rests_is_stopped(monkeypatch):
    class Restless(engine_jobs.Pksmd):
        at_rest = False

    monkeypatch.setattr(engine_jobs, "Pksmd", Restless)
    with pytest.raises(yardsticks.WrongAnswer, match="not at rest after"):
        measure([engine_jobs.pksmd_job(ground_with("a"), engine_jobs.settings())], repeats=1)


@pytest.mark.parametrize("engine", ["read", "memcpy", "memcmp"])
def test_limits_are_checked(engine):
    ground = ground_with("a")
    [job] = [job for job in yardsticks.limits(ground) if job.engine == engine]

    def spoilt(prepared):
        answer = job.work(prepared)
        ground.bytes[7, 7] ^= 1
        return answer - 1 if engine == "memcmp" else answer

    measure([job], repeats=1)
    with pytest.raises(yardsticks.WrongAnswer, match=f"{engine} of load a"):
        measure([replace(job, work=spoilt)], repeats=1)


@pytest.mark.parametrize("checksum", checksums.names())
def test_any_checksum(checksum):
    document = bench(("e", "f"), 200, page_size=512, checksum=checksum, repeats=1)
    assert document["checksum"] == checksum


def test_only_whole_64_bit_checksums_are_exact():
    exact = [name for name in checksums.names() if checksums.is_exact(name)]
    assert exact == ["xxh3-64", "aes", "xxh64", "fnv1a-64"]


def test_row_holds_medians_of_the_work_alone(monkeypatch):
    class Clock:
        """Ten ticks for prepare and check each, and for work what is on the list."""

        now = 0.0

        def perf_counter(self):
            return 100 + 2 * self.now

        process_time = property(lambda self: lambda: self.now)

    clock = Clock()
    works = iter([3.0, 90.0, 4.0])

    def spend(seconds):
        clock.now += seconds

    monkeypatch.setattr(measuring, "time", clock)
    job = yardsticks.Job(
        "engine",
        "a",
        8,
        prepare=lambda: spend(10),
        work=lambda _: spend(next(works)),
        check=lambda _: spend(10) or 2,
        order="content",
        steps=lambda _: {"part": (1.0, 0.0)},
    )
    row, step = measure([job], repeats=3)
    assert row["cpu_s"] == 4 and row["wall_s"] == 8
    assert row["pages_per_cpu_s"] == 2 and row["merges_per_cpu_s"] == 0.5 and row["ns_per_page"] == 0.5e9
    assert step["engine"] == "engine: part" and step["wall_s"] == 1 and step["pages_per_cpu_s"] is None
    assert clock.now == 97 + 60


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"loads": ("a", "z")}, "unknown load 'z'"),
        ({"loads": ()}, "loads: there is nothing to measure"),
        ({"orders": ()}, "orders: there is nothing to measure"),
        ({"repeats": 0}, "repeats: 0 runs"),
        ({"threads": 0}, "threads: 0 threads"),
        ({"beside": ("read",)}, "beside: unknown 'read'"),
        ({"policies": ("nobody",)}, "nothing to measure"),
        ({"policies": ("ksm",)}, "unknown policy 'ksm'"),
        ({"policies": ("ksmd:new",)}, "'new'"),
        ({"kernel": True}, "page_size: 64 bytes"),
        ({"n_pages": ()}, "n_pages: there is nothing to measure"),
        ({"n_pages": 1 << 40}, "n_pages: 1,099,511,627,776 pages"),
        ({"orders": ("age",)}, "order=age"),
        ({"checksum": "md5"}, "unknown checksum 'md5'"),
        ({"batch": 0}, "batch: 0 pages per wake-up"),
        ({"n_pages": 0}, "n_pages: 0 pages"),
        ({"page_size": 100}, "page size 100"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, said):
    allowed = os.sched_getaffinity(0)
    with pytest.raises(UsageError) as error:
        bench(**{"n_pages": 100, "repeats": 1} | ({"page_size": 64} if "kernel" in arguments else {}) | arguments)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert os.sched_getaffinity(0) == allowed


@pytest.fixture(scope="module")
def document():
    return bench(("a", "f"), 300, orders=("content", "checksum"), page_size=64, threads=2, repeats=1)


def test_table_shows_ratios_to_the_read_of_the_same_load(document):
    text = report.table(document)
    for load in ("a", "f"):
        assert f"Load {load}, 300 pages of 64 B\n{LOADS[load]}\n" in text
        lines = text.partition(f"Load {load}, ")[2].partition("\n\nLoad ")[0].splitlines()
        rows = [row for row in document["rows"] if row["load"] == load]
        [read] = [row for row in rows if row["engine"] == "read"]
        [twin] = [row for row in rows if row["engine"] == "ksm twin"]
        for row in rows:
            ratio = f"{row['ns_per_page'] / read['ns_per_page']:.2f}"
            ahead = f"{twin['ns_per_page'] / row['ns_per_page']:.2f}"
            if row["engine"] == "pksmd":
                name = ["pksmd", "(2", "threads)", row["order"]]
                [cells] = [line.split() for line in lines if line.split()[:4] == name]
                only = f"{row['ns_per_page']:.0f}"
                assert cells[4:8] == [f"{row['ns_per_page']:.1f}", f"{only}-{only}", ratio, ahead]
    assert "period_seconds 100000000" in " ".join(text.split()) and document["machine"]["kernel"] in text


def test_csv_has_all_rows(document):
    read = list(csv.DictReader(report.csv(document).splitlines()))
    assert len(read) == len(document["rows"])
    assert set(read[0]) == FIELDS
    assert [float(row["ns_per_page"]) for row in read] == [row["ns_per_page"] for row in document["rows"]]
