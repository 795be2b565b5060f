"""What `pksm bench` can be told to measure: files, sizes, policies, threads, settings. No speeds here."""

import itertools
import json

import numpy as np
import pytest

from pksm import report
from pksm.bench import beside_kernel, of_file, run, yardsticks
from pksm.bench.run import bench
from pksm.cli.main import main
from pksm.errors import PksmError, UsageError
from pksm.linux import cpu_times

from support.documents import faults
from support.memory_sources import write_file

SIZE = 512


@pytest.fixture
def image(tmp_path):
    pages = [bytes(SIZE), *[b"a" * SIZE] * 3, b"b" * SIZE, bytes(SIZE), *[bytes([n]) * SIZE for n in range(100, 120)]]
    return write_file(tmp_path / "ram", pages, SIZE)


def engines(document, **wanted):
    return [row for row in document["rows"] if all(row[name] == value for name, value in wanted.items())]


def test_a_file_is_a_load(image):
    document = bench((image, "f"), 1000, page_size=SIZE, repeats=1)
    assert faults(document) == [] and "26 resident pages" in document["loads"][image]
    merges = {row["engine"]: row["merges"] for row in engines(document, load=image) if row["merges"] is not None}
    assert merges == {"hash table": 3, "ksm twin": 3, "settle in C": 4, "pksmd": 4}, (
        "a and zero; the zero page is there"
    )
    assert {row["pages"] for row in engines(document, load=image, engine="pksmd")} == {26}
    [row] = engines(bench((image,), 4, page_size=SIZE, repeats=1), engine="pksmd")
    assert (row["pages"], row["merges"]) == (4, 3)


def test_contents_are_those_of_the_bytes():
    rng = np.random.default_rng(3)
    memory = rng.integers(0, 2, (300, 1), np.uint8) * rng.integers(1, 40, (300, 1), np.uint8)
    memory = np.ascontiguousarray(np.repeat(memory, 64, axis=1))
    contents = of_file.contents_of(memory)
    for one, other in itertools.combinations(range(60), 2):
        assert (contents[one] == contents[other]) == (memory[one] == memory[other]).all()
    assert ((contents == 0) == (memory == 0).all(axis=1)).all()


def test_files_that_hold_no_pages_are_one_line(tmp_path, image, capsys):
    (tmp_path / "small").write_bytes(b"x")
    kept = tmp_path / "kept.fp"
    assert main(["fingerprint", image, "-o", str(kept), "--page-size", "512"]) == 0
    capsys.readouterr()
    for path, code, said in (
        (tmp_path / "small", 1, "less than one page"),
        (kept, 2, "fingerprints hold no bytes"),
        (tmp_path, 2, "is a directory"),
        ("/dev/null", 2, "device"),
        (tmp_path / "none", 2, "unknown load"),
    ):
        assert main(["bench", "--load", str(path), "--repeats", "1"]) == code
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    with pytest.raises(PksmError, match="less than one page"):
        bench((str(tmp_path / "small"),), 10, repeats=1)


def test_every_combination_is_measured():
    document = bench(
        ("b",),
        (64, 128),
        orders=("content", "checksum"),
        page_size=64,
        batch=(10, 100),
        threads=(1, 2),
        checksum=("jhash2", "xxh3-64"),
        repeats=1,
        beside=("checksum",),
    )
    rows = [row for row in document["rows"] if row["engine"] == "pksmd"]
    values = ("pages", "order", "batch", "threads", "checksum")
    assert len({tuple(row[name] for name in values) for row in rows}) == len(rows) == 2**5
    assert {row["engine"].partition(":")[0] for row in document["rows"]} == {"read", "checksum", "pksmd"}
    assert len(engines(document, engine="checksum")) == 2**3


def test_policies_are_measured_by_their_presets():
    document = bench(
        ("f",), 600, page_size=64, repeats=1, policies=("pksmd", "ksmd", "pksmd:v0.1"), beside=(), batch=50
    )
    names = [row["engine"] for row in document["rows"] if ": " not in row["engine"]]
    assert names == ["read", "pksmd", "ksmd:ksm-6.11", "pksmd:v0.1"]
    [ours] = engines(document, engine="pksmd")
    for row in document["rows"]:
        assert row["merges"] is None or 0 < row["merges"] <= ours["merges"]
        assert row["engine"] == "read" or row["batch"] == 50


def test_a_policy_that_merges_other_contents_is_noticed(monkeypatch):
    ground = yardsticks.Ground(200, 64)
    ground.fill("b")
    job = run.policy_job(ground, run.policy_choice("ksmd"))
    worked = job.work(job.prepare())
    assert job.check(worked) == ground.load.expected()["duplicates"]
    worked[0].frame_of[ground.pages[:2]] = ground.pages[0]
    ground.load.contents[:2] = 1, 2
    with pytest.raises(yardsticks.WrongAnswer, match="different content"):
        job.check(worked)


def test_sizes_make_a_table_of_growth_and_a_picture(tmp_path, capsys):
    picture = tmp_path / "curve.svg"
    options = ["--load", "f,b", "--pages", "64,1K", "--page-size", "64", "--repeats", "2", "--plot", str(picture)]
    assert main(["bench", *options]) == 0
    out = capsys.readouterr().out
    assert "Load b, 64 to 1,024 pages of 64 B" in out and "growth" in out
    [line] = [line for line in out.partition("Load b")[2].splitlines() if line.startswith("pksmd ")]
    assert line.split()[0] == "pksmd" and " x " in line
    drawn = picture.read_text()
    assert all(f">{text}<" in drawn for text in ("load f", "load b", "64", "1K", "pages (logarithmic)"))


def test_the_curve_ends_where_memory_does(monkeypatch, capsys):
    monkeypatch.setattr(run, "CURVE", (64, 128, 1 << 31))
    assert main(["bench", "--load", "f", "--curve", "--page-size", "64", "--repeats", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert {row["pages"] for row in json.loads(out)["rows"] if row["engine"] == "pksmd"} == {64, 128}
    assert "2,147,483,648 pages: left out" in err
    monkeypatch.setattr(run, "CURVE", (1 << 31,))
    assert main(["bench", "--curve"]) == 1
    assert "not the memory for 2,147,483,648 pages" in capsys.readouterr().err


@pytest.mark.parametrize("others, stolen, trust", [(0.05, 0.0, "times"), (0.5, 0.0, "ratios"), (0.0, 0.2, "ratios")])
def test_a_busy_machine_is_named_with_what_still_holds(monkeypatch, others, stolen, trust):
    monkeypatch.setattr(cpu_times, "meanwhile", lambda before, after, ours: (others, stolen))
    document = bench(("a",), 64, page_size=64, repeats=1)
    assert document["interference"]["trust"] == trust
    text = report.table(document)
    if trust == "times":
        assert document["warnings"] == [] and "Quiet: " in text
    else:
        [warning] = document["warnings"]
        assert "trust ratios within this run" in warning and "Busy: " in text and "Ratios hold" in text


def test_ratios_and_intervals_are_those_of_the_samples():
    document = bench(("f",), 300, page_size=64, repeats=7)
    [read] = engines(document, engine="read")
    for row in document["rows"]:
        assert len(row["cpu_samples_s"]) == len(row["wall_samples_s"]) == 7
        low, *_, high = sorted(row["cpu_samples_s"])
        assert row["ns_low"] == pytest.approx(1e9 * low / row["pages"])
        assert row["ns_high"] == pytest.approx(1e9 * high / row["pages"])
        if row["engine"] == "call":
            assert row["times_read"] is None
        else:
            ratios = sorted(one / limit for one, limit in zip(row["cpu_samples_s"], read["cpu_samples_s"], strict=True))
            assert (row["times_read_low"], row["times_read"], row["times_read_high"]) == (
                ratios[0],
                ratios[3],
                ratios[6],
            )
    assert document["confidence"] == pytest.approx(1 - 2 / 2**7)


def test_the_kernel_is_refused_in_one_line_where_it_cannot_be_borrowed(monkeypatch, capsys):
    def refused():
        raise beside_kernel.live.borrow.UnsupportedError("this kernel has no KSM")

    monkeypatch.setattr("pksm.linux.ksm.borrow.require", refused)
    assert main(["bench", "--against", "kernel", "--pages", "64"]) == 77
    assert capsys.readouterr().err == "pksm: this kernel has no KSM\n"


def test_an_unknown_rival_is_named():
    with pytest.raises(UsageError, match="beside: unknown 'hash table'"):
        bench(("f",), 64, beside=("hash table",))
