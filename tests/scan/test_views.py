"""What a scan counts: frames once, or mappings each, which promises no bytes."""

import csv
import io
import re

import pytest

from pksm import report
from pksm.scan import Settings, scan

from support.memory_sources import GivenSource, data
from support.scans import SIZE, page


def family():
    """A fork server and a worker: frames 7 and 8 are shared, 9 and 10 are each one's own copy of the same bytes."""
    parent = GivenSource("parent", data(page("a"), page("b"), page("c")), [7, 8, 9], [0, 0, 1])
    worker = GivenSource("worker", data(page("a"), page("b"), page("c"), page("b")), [7, 8, 10, 8], [0, 0, 1, 0])
    return [parent, worker]


def test_frames_are_counted_once():
    result = scan(family(), Settings(page_size=SIZE))
    assert result["totals"]["pages"] == 4 and result["totals"]["duplicates"] == 1
    assert [source["mappings"] for source in result["sources"]] == [3, 4]
    assert [source["pages"]["data"] for source in result["sources"]] == [3, 3]
    assert [source["duplicates"] for source in result["sources"]] == [0, 0]
    assert result["saving"]["pages"] == 1 and result["saving"]["ksm_metadata_bytes"] == 64 * 7
    assert [group["pages"] for group in result["groups"]] == [2]
    assert [place["source"] for place in result["groups"][0]["where"]] == ["parent", "worker"]


def test_mappings_are_counted_each():
    result = scan(family(), Settings(page_size=SIZE, view="mappings"))
    assert result["totals"]["pages"] == 7 and result["totals"]["duplicates"] == 4
    assert [source["duplicates"] for source in result["sources"]] == [0, 1]
    assert [group["pages"] for group in result["groups"]] == [3, 2, 2]
    assert result["saving"]["bytes"] is result["saving"]["net_bytes"] is None, "what fork shares is saved already"
    table = report.table(result)
    assert "Mappings merged" in table and "Not bytes saved" in table and not re.search(r"\d (KiB|MiB|B)\b.*%", table)
    for name in ("saving_bytes", "net_bytes"):
        assert {row[name] for row in csv.DictReader(io.StringIO(report.csv(result)))} == {""}


def test_the_view_of_mappings_promises_no_bytes():
    """What fork shares already is merged in this view, and saves nothing."""
    result = scan(family(), Settings(page_size=SIZE, view="mappings"))
    assert result["saving"]["bytes"] is result["saving"]["net_bytes"] is None
    rows = [*result["sources"], *result["by_mapping"]]
    assert [row["share_bytes"] for row in rows] == [None] * len(rows)
    assert [row["share_mappings"] for row in result["sources"]] == pytest.approx([1.667, 2.333], abs=1e-3)
    for row in csv.DictReader(io.StringIO(report.csv(result))):
        assert row["saving_bytes"] == row["net_bytes"] == row["share_bytes"] == ""
    body = report.table(result).split("Mappings merged")[1].rsplit("\n\n", 1)[0]
    assert not re.search(r"\d (B|KiB|MiB)\b", body), "numbers of mappings, not sizes"


def test_frames_that_are_not_told_are_warned_of_once():
    sources_ = [GivenSource(name, data(page("a"), page("b")), [0, 0], [1, 0]) for name in ("one", "two")]
    result = scan(sources_, Settings(page_size=SIZE))
    assert result["totals"]["pages"] == 2 and [source["pages"]["excluded"] for source in result["sources"]] == [1, 1]
    assert len(result["warnings"]) == 1
    for word in ("2 pages", "CAP_SYS_ADMIN", "root", "view `mappings`"):
        assert word in result["warnings"][0]
