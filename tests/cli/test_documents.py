"""Every verb's --json prints what pksm.documents promises, and no field more."""

import json
import os

import pytest

from pksm.errors import UnsupportedError

from support import ROOT
from support.cli_runs import run
from support.documents import DOCUMENTS, faults
from support.memory_sources import write_file

SIZE = 4096
RESULTS = ("1048576.json", "against-kernel.json", "checksum-profile.json")


@pytest.fixture
def ram(tmp_path):
    return write_file(tmp_path / "ram", [bytes(SIZE), *[b"a" * SIZE] * 3, b"b" * SIZE], SIZE)


def printed(capfd, *arguments, code=0):
    """The document that a command prints, held against its type."""
    done = run(capfd, *arguments[0].split(), "--json", *arguments[1:])
    assert done.code == code, done.err
    document = json.loads(done.out)
    assert faults(document) == []
    assert done.out == json.dumps(document, indent=2) + "\n", "all documents are laid out alike"
    return document


def test_the_validator_finds_what_is_wrong():
    good = {"schema": "pksm.checksum.sum/1", "strategy": "crc32", "page_size": 4096, "sums": ["00"]}
    assert faults(good) == []
    for change, place in [
        ({"page_size": 4096.5}, ".page_size"),
        ({"page_size": True}, ".page_size"),
        ({"page_size": None}, ".page_size"),
        ({"sums": [0]}, ".sums[0]"),
        ({"sums": "00"}, ".sums"),
        ({"more": 1}, "more"),
    ]:
        [fault] = faults(good | change)
        assert place in fault
    assert faults({key: value for key, value in good.items() if key != "sums"}) == ["pksm.checksum.sum/1: has no sums"]
    assert faults({"schema": "pksm.features/1"})


def test_scans(capfd, ram, tmp_path):
    keep = tmp_path / "a.fp"
    one = printed(capfd, "scan", ram, "--show-bytes")
    assert one["groups"][0]["bytes"]["hex"] and one["matrix"] is None
    two = printed(capfd, "scan", ram, "--pid", str(os.getpid()), "--set", "quirks=sparse-zero-lost")
    assert two["matrix"] and two["by_command"][0]["processes"] == 1
    made = printed(capfd, "fingerprint", "-o", keep, ram)
    assert made["keep"] == 1 and made["sources"][0]["pages"] == one["totals"]["pages"]
    assert printed(capfd, "scan", keep)["fingerprints"] is True
    unchecked = printed(capfd, "scan", "--racy", "unchecked", "--", "sleep", "60")
    assert "ksm_merged" in unchecked["sources"][0]


def test_processes_that_cannot_be_read(capfd, ram):
    document = printed(capfd, "scan", ram, "--pid", "2", code=3)
    assert document["unread"][0]["pid"] == 2


def test_simulations(capfd):
    one = printed(capfd, "simulate", "b", "--pages", "500")
    assert len(one["runs"]) == 1, "one policy has a run as several have"
    several = printed(capfd, "simulate", "fork-family", "--pages", "1000", "--policy", "ksmd,pksmd:v0.1")
    assert [run["policy"] for run in several["runs"]] == ["ksmd:ksm-6.11", "pksmd:v0.1"]


def test_benchmarks(capfd):
    printed(capfd, "bench", "--load", "b", "--pages", "500", "--repeats", "1")


def test_checksums(capfd, ram):
    printed(capfd, "checksum list")
    printed(capfd, "checksum sum", "crc32c", ram)
    printed(capfd, "checksum profile", "b", ram, "--pages", "300", "--strategies", "xxh3-64,adaptive,partial")


def test_comparisons_with_recorded_kernels(capfd, tmp_path):
    printed(capfd, "truth", "W2")
    traces = (ROOT / "tests/validation/recorded/pksm-fuzz-truth.jsonl").read_text().splitlines()[:1]
    path = tmp_path / "traces.jsonl"
    path.write_text(traces[0] + "\n")
    document = printed(capfd, "truth", path)
    assert document["readings"]


@pytest.mark.kernel
def test_comparisons_with_the_running_kernel(capfd):
    done = run(capfd, "validate", "--workload", "fork-before", "--pages", "1024", "--json")
    if done.code == UnsupportedError.exit_code:
        pytest.skip(done.err)
    assert faults(json.loads(done.out)) == []


def test_features(capfd):
    printed(capfd, "features")


@pytest.mark.parametrize(
    ("verb", "kinds"),
    [
        ("bench", {"load", "policy"}),
        ("simulate", {"workload", "policy"}),
        ("validate", {"workload"}),
        ("checksum profile", {"checksum", "workload"}),
        ("truth", {"workload"}),
    ],
)
def test_lists_of_names(capfd, verb, kinds):
    """Every verb that takes names lists them in the same way."""
    listed = printed(capfd, verb, "--list")["names"]
    assert {row["kind"] for row in listed} == kinds and all(row["about"] for row in listed if row["kind"] != "checksum")
    shown = run(capfd, *verb.split(), "--list").out
    assert all(f"  {row['name']}" in shown for row in listed)
    assert run(capfd, *verb.split(), "--list", "--csv").out.count("\n") == 1 + len(listed)


@pytest.mark.parametrize("name", RESULTS)
def test_recorded_results_are_documents(name):
    assert faults(json.loads((ROOT / "benchmarks/results" / name).read_text())) == []


def test_every_schema_has_a_type():
    assert sorted(DOCUMENTS) == [
        "pksm.advise/1",
        "pksm.apply/1",
        "pksm.bench.diff/1",
        "pksm.bench/1",
        "pksm.calibrate/1",
        "pksm.checksum.list/1",
        "pksm.checksum.sum/1",
        "pksm.checksum/1",
        "pksm.compare/1",
        "pksm.features/1",
        "pksm.fingerprint/1",
        "pksm.fleet/1",
        "pksm.names/1",
        "pksm.opt_in/1",
        "pksm.predict/1",
        "pksm.record.plan/1",
        "pksm.record/1",
        "pksm.replayed/1",
        "pksm.scan/1",
        "pksm.simulate/1",
        "pksm.snapshots/1",
        "pksm.sweep/1",
        "pksm.truth/1",
        "pksm.validate/1",
        "pksm.watch/1",
    ]


def test_recordings(capfd, ram, tmp_path):
    document = printed(capfd, "record", "--duration", "10ms", "-o", tmp_path / "a", ram)
    assert printed(capfd, "record", "--info", tmp_path / "a") == document
