"""pksm compare: what it prints, its document, and one line for whatever is wrong."""

import csv
import io
import json

import pytest

from pksm.cli.verbs import compare as verb
from pksm.policies import registry
from pksm.simulation import at_cpu

from support.cli_runs import is_one_line, run
from support.documents import faults
from support.memory_sources import write_file

SMALL = ("compare", "b", "--pages", "200", "--until", "1s", "--workers", "1")


def test_the_document(capfd):
    done = run(capfd, *SMALL, "--policy", "ksmd,pksmd", "--at-cpu", "0.2%", "--json")
    assert done.code == 0 and done.err == "", done.err
    document = json.loads(done.out)
    assert faults(document) == []
    assert [row["policy"] for row in document["rows"]] == ["ksmd:ksm-6.11", "pksmd:fixed"]
    assert document["target_percent"] == 0.2
    for row, tuning in zip(document["rows"], document["tuning"], strict=True):
        assert row["settings"] == {tuning["setting"]: tuning["value"]}
        [chosen] = [tried for tried in tuning["tried"] if tried["value"] == tuning["value"]]
        assert chosen["cpu_percent"] == row["cpu_percent"]["median"]
        if tuning["outcome"] != "above":
            assert row["cpu_percent"]["median"] <= 0.22


def test_table_csv_page_and_picture(tmp_path, capfd):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    done = run(capfd, *SMALL, "--policy", "ksmd,cksm", "--plot", tmp_path / "a.svg", "--html", tmp_path / "a.html")
    assert "each policy with the setting that takes 5 % of a core" in done.out.replace("\n", " ")
    assert "cksm: follows its published sources" in done.out.replace("\n", " ")
    assert "virtual time, s" in (tmp_path / "a.svg").read_text()
    page = (tmp_path / "a.html").read_text()
    assert "cksm:cksm-4.14" in page and "Not like for like: cksm: follows its published sources" in page
    rows = list(csv.DictReader(io.StringIO(run(capfd, *SMALL, "--policy", "ksmd,cksm", "--csv").out)))
    assert [(row["policy"], row["setting"]) for row in rows] == [
        ("ksmd:ksm-6.11", "pages_to_scan"),
        ("cksm:cksm-4.14", "unmerge_pages_to_scan"),
    ]


def test_the_help_says_how_much_is_simulated():
    assert sum(at_cpu.ROUNDS) == verb.RUNS
    text = verb.DESCRIPTION.replace("\n", " ")
    assert "15 simulations per policy" in text and "65,536 pages and 120 s" in text and "ten minutes" in text


@pytest.mark.parametrize("arguments", [(), ("--policy", "all")])
def test_all_policies_that_can_be_tuned(arguments, capfd):
    done = run(capfd, "compare", "b", "--pages", "64", "--until", "100", "--workers", "1", "--json", *arguments)
    named = [row["policy"].partition(":")[0] for row in json.loads(done.out)["rows"]]
    assert named == [name for name in registry.names() if registry.spec(name).pace] == ["pksmd", "ksmd", "uksm", "cksm"]


def test_real_memory(tmp_path, capfd):
    image = write_file(tmp_path / "ram", [b"a" * 4096] * 3 + [b"b" * 4096], 4096)
    done = run(capfd, "compare", image, "--until", "1s", "--workers", "1", "--policy", "ksmd", "--json")
    assert json.loads(done.out)["rows"][0]["saved_bytes"]["median"] == 2 * 4096, done.err


def test_a_recording(tmp_path, capfd):
    image = write_file(tmp_path / "ram", [b"a" * 4096] * 3 + [b"b" * 4096], 4096)
    path = tmp_path / "a.pksmrec"
    assert run(capfd, "record", "--every", "10ms", "--duration", "30ms", "-o", path, image).code == 0
    done = run(capfd, "compare", path, "--workers", "1", "--policy", "pksmd,cksm", "--json")
    document = json.loads(done.out)
    assert faults(document) == [] and [row["policy"] for row in document["rows"]] == ["pksmd:fixed", "cksm:cksm-4.14"]
    assert {row["saved_bytes"]["median"] for row in document["rows"]} == {2 * 4096}, done.err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["b", "--at-cpu", "0"], "is not a percentage of one core"),
        (["b", "--at-cpu", "nan%"], "is not a percentage of one core"),
        (["b", "--policy", "ksmd,ksmd"], "comes twice"),
        (["b", "--policy", "linux"], "linux"),
        (["b", "--until", "0"], "--until: must be 1 ms at least"),
        (["b", "--opted-in"], "is not real memory"),
        ([], "say what to simulate"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, words, capfd):
    done = run(capfd, "compare", *arguments)
    assert done.code == 2 and is_one_line(done.err) and words in done.err, done.err
