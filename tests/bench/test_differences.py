"""Comparing two benchmarks: what is called faster or slower, by what, and which documents are refused."""

import copy
import json
import re

import pytest

from pksm import report
from pksm.bench import bench, diff
from pksm.bench.differences import read
from pksm.cli.main import main
from pksm.errors import PksmError, UsageError

from support.documents import faults


@pytest.fixture(scope="module")
def measured():
    document = bench(("f",), 64, page_size=64, repeats=7, beside=("ksm-twin",))
    for row in document["rows"]:  # no speeds here
        row["cpu_samples_s"] = [1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0]
    document["interference"]["trust"] = "times"
    return document


def slower(document, times, engine="pksmd", trust="times"):
    changed = copy.deepcopy(document)
    for row in changed["rows"]:
        if row["engine"] == engine:
            row["cpu_samples_s"] = [one * times for one in row["cpu_samples_s"]]
    changed["interference"]["trust"] = trust
    return changed


def verdicts(document):
    return {row["engine"]: row["verdict"] for row in document["rows"] if ": " not in row["engine"]}


@pytest.mark.parametrize("times, verdict", [(1.5, "slower"), (0.5, "faster"), (1.0, "same")])
def test_a_difference_is_named(measured, times, verdict):
    document = diff(measured, slower(measured, times))
    assert faults(document) == []
    assert verdicts(document) == {"read": "same", "ksm twin": "same", "pksmd": verdict}
    [row] = [row for row in document["rows"] if row["engine"] == "pksmd"]
    assert row["ratio"] == pytest.approx(times) and row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert document["compared"] == "times" and document["warnings"] == []


def test_a_busy_run_is_compared_by_ratios(measured):
    """What slows all rows down alike is no difference then, and a row that alone became slower still is."""
    busy = slower(measured, 1.0, trust="ratios")
    for row in busy["rows"]:
        row["cpu_samples_s"] = [2 * one for one in row["cpu_samples_s"]]
    document = diff(measured, busy)
    assert document["compared"] == "ratios" and "busy during the new run" in document["warnings"][0]
    assert set(verdicts(document).values()) == {"same"}
    assert verdicts(diff(measured, slower(busy, 1.5, trust="ratios")))["pksmd"] == "slower"


def test_other_machines_are_compared_by_ratios(measured):
    other = copy.deepcopy(measured)
    other["machine"]["cpu"] = "another"
    document = diff(measured, other)
    assert document["compared"] == "ratios" and "other machines (cpu)" in document["warnings"][0]


def test_few_runs_show_nothing_and_a_line_says_so(measured):
    few = [copy.deepcopy(measured), slower(measured, 100)]
    for document in few:
        document["repeats"] = 3
        for row in document["rows"]:
            row["cpu_samples_s"] = row["cpu_samples_s"][:3]
    document = diff(*few)
    assert set(verdicts(document).values()) == {"same"} and "too few" in document["warnings"][0]


def test_rows_of_one_side_are_counted(measured):
    one = copy.deepcopy(measured)
    one["rows"] = [row for row in one["rows"] if row["engine"] != "ksm twin"]
    assert (diff(measured, one)["only_old"], diff(measured, one)["only_new"]) == (1, 0)
    assert "Left out: 1 row of the old one" in report.table(diff(measured, one))


def test_where_no_row_has_its_yardstick_the_csv_is_a_header_line(measured):
    old, new = copy.deepcopy(measured), copy.deepcopy(measured)
    new["machine"]["cpu"] = "another"
    for one in (old, new):
        one["rows"] = [row for row in one["rows"] if row["engine"] != "read"]
    assert report.csv(diff(old, new)).splitlines()[0].startswith("load,pages,engine,")


def test_texts_of_documents_do_not_steer_a_terminal(measured):
    one = copy.deepcopy(measured)
    one["machine"]["cpu"] = "\x1b[31mred\r\x9b"
    for row in one["rows"]:
        row["load"] = "\x1b]0;title\x07"
    document = diff(one, one)
    shown = report.table(document) + report.csv(document)
    assert "\\x1b[31mred\\r\\x9b" in shown and shown.replace("\n", "").isprintable()


def test_what_is_not_alike_is_refused(measured):
    others = copy.deepcopy(measured)
    for row in others["rows"]:
        row["pages"] += 1
    with pytest.raises(UsageError, match="no row in common"):
        diff(measured, others)
    with pytest.raises(UsageError, match="of 64 bytes in old, of 4096 in new"):
        diff(measured, {**measured, "page_size": 4096})


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda document: [], "not a document pksm.bench/1"),
        (lambda document: {**document, "schema": "pksm.scan/1"}, "but pksm.scan/1"),
        (lambda document: {**document, "schema": 7}, "but something else"),
        (lambda document: {**document, "rows": []}, "without what one must have"),
        (lambda document: {**document, "rows": [7]}, "without what one must have"),
        (lambda document: {**document, "machine": None}, "without what one must have"),
        (lambda document: {**document, "rows": [{**document["rows"][0], "pages": "8"}]}, "a row without pages"),
        (lambda document: {**document, "rows": [{**document["rows"][0], "cpu_samples_s": []}]}, "without samples"),
        (lambda document: {**document, "rows": [{**document["rows"][0], "cpu_samples_s": ["1"]}]}, "without samples"),
        (lambda document: {**document, "rows": [{**document["rows"][0], "cpu_samples_s": [-1]}]}, "without samples"),
        (
            lambda document: {
                **document,
                "rows": [{name: value for name, value in document["rows"][0].items() if name != "cpu_samples_s"}],
            },
            "only medians",
        ),
    ],
)
def test_a_file_of_something_else_is_one_line(measured, tmp_path, change, said):
    path = tmp_path / "one.json"
    path.write_text(json.dumps(change(measured)))
    with pytest.raises(UsageError) as error:
        read(path)
    assert said in str(error.value) and str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("octets", [b"", b"\xff", b"[" * 100_000, b"{"])
def test_what_is_not_json_is_one_line(tmp_path, octets):
    path = tmp_path / "one.json"
    path.write_bytes(octets)
    with pytest.raises(UsageError, match="is not JSON"):
        read(path)
    with pytest.raises(PksmError, match="No such file"):
        read(tmp_path / "two.json")


def test_the_counts_under_a_table_are_those_of_its_rows(measured):
    """Rows and steps apart: steps that show no difference have no line."""
    document = diff(measured, slower(measured, 1.5))
    whole = [row for row in document["rows"] if ": " not in row["engine"]]
    step = {**whole[0], "engine": "pksmd: check"}
    document["rows"] = [*whole, step, {**step, "verdict": "faster"}, step]
    text = report.table(document, width=200)
    assert "3 rows: 0 faster, 1 slower, 2 with no difference shown." in text
    assert "3 steps of these: 1 faster, 0 slower, 2 with no difference shown" in text
    lines = text.splitlines()
    begin = next(place for place, line in enumerate(lines) if "old ns" in line)
    table = lines[begin + 1 : lines.index("", begin)]
    assert len(table) == 3 + 1


def test_the_command_exits_with_1_if_something_is_slower(measured, tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ("old.json", "new.json")]
    for path, document in zip(paths, (measured, slower(measured, 1.5)), strict=True):
        with open(path, "w") as file:
            json.dump(document, file)
    assert main(["bench", "--diff", *paths]) == 1
    out = " ".join(capsys.readouterr().out.split())  # lines end elsewhere with other counts
    assert re.search(r"[1-9]\d* slower", out) and "p: Mann and Whitney's test" in out
    assert main(["bench", "--diff", *reversed(paths), "--csv"]) == 0
    assert "faster" in capsys.readouterr().out
    assert main(["bench", "--diff", *paths, "--plot", "x.svg"]) == 2
    assert "--plot: there is no picture" in capsys.readouterr().err
    (tmp_path / "new.json").write_text("{}")
    assert main(["bench", "--diff", *paths]) == 2, "1 would say that something is slower"
    assert "new.json: is not a document pksm.bench/1" in capsys.readouterr().err
    assert main(["bench", "--diff", paths[0], "/nowhere"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
