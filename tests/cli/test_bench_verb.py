"""pksm bench: its options, its three forms of output, and mistakes in one line. No speeds here."""

import csv
import json

import pytest

from pksm.cli.main import main

SMALL = ["bench", "--pages", "200", "--repeats", "1"]


def test_table(capsys):
    assert main([*SMALL, "--load", "a,f", "--order", "content", "--order", "checksum"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for words in ("Load a, 200 pages of 4.0 KiB", "Load f, 200 pages", "x read", "ksm twin", "hash table"):
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
        (["--pages", "0"], "0 pages"),
        (["--batch", "0"], "pages_to_scan=0"),
        (["--threads", "0"], "one thread at least"),
        (["--repeats", "none"], "invalid int value"),
        (["--json", "--csv"], "not allowed with"),
    ],
)
def test_mistakes_are_one_line(options, said, capsys):
    assert main([*SMALL, *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.count("\n") == 1
