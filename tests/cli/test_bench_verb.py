"""pksm bench: its options, its three forms of output, and mistakes in one line. No speeds here."""

import csv
import json

import pytest

from pksm.cli.main import main

SMALL = ["bench", "--pages", "200", "--repeats", "1"]


def test_table(capsys):
    assert main([*SMALL, "--load", "a,f", "--order", "content", "--order", "checksum"]) == 0
    out, err = capsys.readouterr()
    assert not err or (err.startswith("pksm: the machine was busy: ") and err.count("\n") == 1)
    for words in ("Load a, 200 pages of 4 KiB", "Load f, 200 pages", "x read", "ksm twin", "hash table"):
        assert words in out
    starts = [line.split()[:2] for line in out.splitlines() if line.startswith("pksmd ")]
    assert starts == [["pksmd", "content"], ["pksmd", "checksum"]] * 2


def test_json(capsys):
    options = ["--load", "f", "--batch", "64", "--threads", "2", "--checksum", "jhash2", "--json"]
    assert main([*SMALL, *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "pksm.bench/1" and document["checksum"] == "jhash2"
    [engine] = [row for row in document["rows"] if row["engine"] == "pksmd"]
    assert (engine["load"], engine["order"], engine["batch"], engine["threads"]) == ("f", "checksum-content", 64, 2)


def test_csv(capsys):
    assert main([*SMALL, "--load", "b", "--load", "c", "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["load"] for row in rows} == {"b", "c"}
    assert {row["engine"] for row in rows} >= {"read", "memcpy", "memcmp", "hash table", "ksm twin", "pksmd"}


def test_a_name_that_comes_twice_counts_once(capsys):
    options = ["--load", "f,f", "--load", "f", "--order", "checksum,checksum", "--pages", "8"]
    assert main([*SMALL, *options, "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [(row["load"], row["order"]) for row in rows if row["engine"] == "pksmd"] == [("f", "checksum")]
    assert main([*SMALL, *options]) == 0
    assert capsys.readouterr().out.count("Load f") == 1


def test_more_threads_than_pages(capsys):
    assert main([*SMALL, "--load", "f", "--pages", "1100", "--threads", "2000000000", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["threads"] for row in rows if row["engine"] == "checksum"} == {1100}


@pytest.mark.parametrize(
    "options, said",
    [
        (["--load", "a,q"], "unknown load 'q'"),
        (["--order", "age"], "order=age"),
        (["--checksum", "md5"], "unknown checksum 'md5'"),
        (["--pages", "0"], "--pages: 0 pages"),
        (["--pages", "5368709120"], "--pages: 5,368,709,120 pages: a load has from 1 to"),
        (["--batch", "0"], "--batch: 0 pages per wake-up"),
        (["--threads", "0"], "--threads: 0 threads"),
        (["--repeats", "0"], "--repeats: 0 runs"),
        (["--repeats", "none"], "is not a whole number"),
        (["--beside", "bogus"], "--beside: unknown 'bogus'"),
        (["--policy", "nobody"], "--policy: nobody"),
        (["--page-size", "100"], "page size 100"),
        (["--against", "kernel", "--page-size", "64"], "--page-size: 64 bytes"),
        (["--curve"], "--curve: sizes are given already"),
        (["--diff", "one.json"], "expected 2 arguments"),
        (["--json", "--csv"], "not allowed with"),
    ],
)
def test_mistakes_are_one_line(options, said, capsys):
    assert main([*SMALL, *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.count("\n") == 1
