"""The benchmarks: documents of the right form, every answer checked, and wrong ones noticed. No speeds here."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pksm import bench, tunables
from pksm.errors import UsageError
from pksm.host import NO_FRAME, ZERO_FRAME
from pksm.workloads import LOADS
from pksm.workloads.loads import Load

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ORDERS = ("content", "checksum", "checksum-content")
ROW = {
    "load",
    "pages",
    "engine",
    "order",
    "wall_s",
    "cpu_s",
    "pages_per_cpu_s",
    "merges_per_cpu_s",
    "ns_per_page",
}


def ground_with(name, n_pages=200, page_size=64):
    ground = bench.Ground(n_pages, page_size)
    ground.fill(name)
    return ground


class Lying(Load):
    """A load that expects one more of something."""

    def expected(self):
        truth = super().expected()
        return {**truth, self.name: truth[self.name] + 1}


def test_document():
    seen = []
    document = bench.run(n_pages=300, orders=ORDERS, page_size=64, repeats=1, seed=3, progress=seen.append)
    document = json.loads(json.dumps(document))
    assert document["schema"] == "pksm.bench/1"
    assert document["rows"] == seen
    assert (document["page_size"], document["repeats"], document["seed"]) == (64, 1, 3)
    assert set(document["machine"]) == {"cpu", "cores", "kernel", "python", "numpy", "thp", "huge_kib"}
    wanted = [("a", yardstick, None) for yardstick in ("read", "memcpy", "memcmp", "call")]
    for load in LOADS:
        wanted += [(load, "checksum xxh3-64", None), (load, "sort", None)]
        wanted += [(load, "pksmd", order) for order in ORDERS]
    assert [(row["load"], row["engine"], row["order"]) for row in seen] == wanted
    for row in seen:
        assert set(row) == ROW
        assert row["pages"] == (bench.CALLS if row["engine"] == "call" else 300)
        assert row["wall_s"] > 0 and row["cpu_s"] > 0
        assert row["pages_per_cpu_s"] == pytest.approx(row["pages"] / row["cpu_s"])
        assert row["ns_per_page"] == pytest.approx(1e9 * row["cpu_s"] / row["pages"])
        assert (row["merges_per_cpu_s"] is None) == (row["engine"] != "pksmd")


@pytest.mark.parametrize("pages_to_scan", [1, 100, bench.BATCH])
@pytest.mark.parametrize("name", LOADS)
def test_merges_are_counted(name, pages_to_scan):
    ground = ground_with(name)
    job = bench.pksmd_job(ground, tunables.preset("fixed").with_(pages_to_scan=pages_to_scan))
    truth = ground.load.expected()
    assert job.check(job.work(job.prepare())) == truth["duplicates"] + (truth["zero"] > 0)


@pytest.mark.parametrize("lie", ["pages", "zero", "distinct", "duplicates"])
def test_engine_against_a_lie_is_noticed(lie):
    ground = ground_with("f")
    bench.measure(bench.pksmd_job(ground), repeats=1)
    ground.load = Lying(lie, ground.load.contents)
    with pytest.raises(bench.WrongAnswer, match=f"{lie} should be"):
        bench.measure(bench.pksmd_job(ground), repeats=1)


@pytest.mark.parametrize("make_job", [bench.checksum_job, bench.sort_job])
def test_checksums_against_a_lie_are_noticed(make_job):
    ground = ground_with("f")
    bench.measure(make_job(ground), repeats=1)
    ground.load = Lying("distinct", ground.load.contents)
    with pytest.raises(bench.WrongAnswer, match="distinct should be"):
        bench.measure(make_job(ground), repeats=1)


def test_right_counts_of_wrong_groups_are_noticed():
    ground = ground_with("b")
    ground.load = Load("b", np.roll(ground.load.contents, 1))
    with pytest.raises(bench.WrongAnswer, match="different content share a frame"):
        bench.measure(bench.pksmd_job(ground), repeats=1)
    with pytest.raises(bench.WrongAnswer, match="equal pages have different checksums"):
        bench.measure(bench.checksum_job(ground), repeats=1)


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
        assert bench.check_frames(load, frames, first=100) == 2
    else:
        with pytest.raises(bench.WrongAnswer, match=said):
            bench.check_frames(load, frames, first=100)


def test_engine_that_never_rests_is_stopped(monkeypatch):
    class Restless(bench.Pksmd):
        at_rest = False

    monkeypatch.setattr(bench, "Pksmd", Restless)
    with pytest.raises(bench.WrongAnswer, match="not at rest after"):
        bench.measure(bench.pksmd_job(ground_with("a")), repeats=1)


@pytest.mark.parametrize("engine", ["read", "memcpy", "memcmp"])
def test_yardsticks_are_checked(engine):
    ground = ground_with("a")
    [job] = [job for job in bench.yardsticks(ground) if job.engine == engine]

    def spoilt(prepared):
        answer = job.work(prepared)
        if engine == "memcmp":
            answer[7] = 1
        ground.bytes[7, 7] ^= 1
        return answer

    bench.measure(job, repeats=1)
    with pytest.raises(bench.WrongAnswer, match=f"{engine} of load a"):
        bench.measure(replace(job, work=spoilt), repeats=1)


@pytest.mark.parametrize("checksum", bench.checksums.names())
def test_any_checksum(checksum):
    document = bench.run(("e", "f"), 200, page_size=512, checksum=checksum, repeats=1)
    assert document["checksum"] == checksum
    assert f"checksum {checksum}" in {row["engine"] for row in document["rows"]}


def test_only_whole_64_bit_checksums_are_exact():
    assert bench.is_exact("xxh3-64") and bench.is_exact("xxh64")
    assert not bench.is_exact("sampled") and not bench.is_exact("xxh64-trunc32") and not bench.is_exact("crc32c")


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

    monkeypatch.setattr(bench, "time", clock)
    job = bench.Job(
        "engine", "a", 8, lambda: spend(10), lambda _: spend(next(works)), lambda _: spend(10) or 2, "content"
    )
    row = bench.measure(job, repeats=3)
    assert row["cpu_s"] == 4 and row["wall_s"] == 8
    assert row["pages_per_cpu_s"] == 2 and row["merges_per_cpu_s"] == 0.5 and row["ns_per_page"] == 0.5e9
    assert clock.now == 97 + 60


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"loads": ("a", "z")}, "unknown load 'z'"),
        ({"loads": ()}, "nothing to measure"),
        ({"orders": ()}, "nothing to measure"),
        ({"repeats": 0}, "nothing to measure"),
        ({"orders": ("age",)}, "order=age"),
        ({"checksum": "md5"}, "unknown checksum 'md5'"),
        ({"pages_to_scan": 0}, "pages_to_scan=0"),
        ({"n_pages": 0}, "0 pages"),
        ({"page_size": 100}, "page size 100"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, said):
    with pytest.raises(UsageError) as error:
        bench.run(**{"n_pages": 100, **arguments})
    assert said in str(error.value) and "\n" not in str(error.value)


def script(name):
    """A file of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def result(tmp_path):
    path = tmp_path / "deep" / "result.json"
    arguments = ["--loads", "a,f", "--pages", "128", "--orders", "content,checksum", "--repeats", "1", "--json", path]
    assert script("run").main(list(map(str, arguments))) == 0
    return path


def test_run_stores_the_result_with_its_command(result, capsys):
    document = json.loads(result.read_text())
    assert document["schema"] == "pksm.bench/1"
    assert document["command"].startswith("python benchmarks/run.py --loads a,f --pages 128 --orders content,checksum")
    assert {row["load"] for row in document["rows"]} == {"a", "f"}
    assert {row["pages"] for row in document["rows"]} == {128, bench.CALLS}


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["--loads", "a,,b"], 2, "unknown load ''"),
        (["--loads", "a", "--pages", "16", "--json", "/dev/null/x"], 1, "/dev/null"),
    ],
)
def test_run_fails_in_one_line(arguments, code, said, capsys):
    assert script("run").main(arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("benchmarks/run.py: ") and said in error and error.count("\n") == 1


def test_readme_gets_the_figures_of_the_result(result, tmp_path, capsys):
    readme_table = script("readme_table")
    readme = tmp_path / "README.md"
    before, after = "# Title\n\ntext | text\n", "\n\nmore text\n"
    readme.write_text(f"{before}<!-- bench:begin -->\nold figures\n<!-- bench:end -->{after}")
    arguments = [str(result), "--readme", str(readme)]
    assert readme_table.main([*arguments, "--check"]) == 1
    assert "old figures" in readme.read_text()
    assert readme_table.main(arguments) == 0
    assert readme_table.main([*arguments, "--check"]) == 0
    text = readme.read_text()
    assert text.startswith(before) and text.endswith(after) and "old figures" not in text
    document = json.loads(result.read_text())
    assert document["command"] in text and document["machine"]["kernel"] in text
    for row in document["rows"]:
        if row["engine"] == "pksmd":
            assert f"| {row['load']} ({row['order']}) | 128 | " in text
            assert f" | {row['ns_per_page']:.0f} | {row['pages_per_cpu_s'] / 1e6:.2f} | " in text
        if row["engine"] in readme_table.LIMITS:
            assert f"| {row['ns_per_page']:.0f} |" in text


def test_readme_without_a_place_is_left_alone(result, tmp_path, capsys):
    readme_table = script("readme_table")
    readme = tmp_path / "README.md"
    marks = ("<!-- bench:begin -->", "<!-- bench:end -->")
    for text in ("", marks[0], marks[1] + marks[0], "".join(marks) * 2):
        readme.write_text(text)
        assert readme_table.main([str(result), "--readme", str(readme)]) == 1
        assert readme.read_text() == text
        assert "no place for the table" in capsys.readouterr().err
    other = tmp_path / "other.json"
    other.write_text('{"schema": "pksm.scan/1"}')
    assert readme_table.main([str(other), "--readme", str(readme)]) == 1
    assert "no result of benchmarks/run.py" in capsys.readouterr().err
