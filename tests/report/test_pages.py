"""Pages: one file that is whole in itself; what comes from strangers is text in it; what is too long says so."""

import itertools
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from pksm import report
from pksm.errors import UsageError
from pksm.recording.summary import summary
from pksm.report import scan_ksm
from pksm.report.pages import render
from pksm.report.pages.parts import Table, number
from pksm.report.pages.thin import MOST, evenly, thinned

from support import ROOT
from support.documents import faults
from support.page_documents import HOSTILE, SIZE, advised, hostile_scan, large_scan, several, simulation, swept
from support.recordings import block, recorded

pytest.importorskip("jinja2")
EQUALS = {"mean_bytes": 5, "ended": 3, "ended_s": {"p50": 1.0, "p90": 2.0, "p99": 3.0}, "lasting": 0, "lasting_s": None}
EMBEDDED = re.compile(r'<script type="application/json" id="document-\d+">(.*?)</script>', re.DOTALL)
GOLDEN, ACCEPT = Path(__file__).parent / "golden" / "pages", "PKSM_ACCEPT"
SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


def stored(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def embedded(page):
    return [json.loads(text) for text in EMBEDDED.findall(page)]


DOCUMENTS = {
    "scan": several,
    "simulate": simulation,
    "sweep": swept,
    "advise": advised,
    "bench": lambda: stored("1048576"),
    "against": lambda: stored("against-kernel"),
    "checksum": lambda: stored("checksum-profile"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_page_is_whole_in_itself(name):
    document = DOCUMENTS[name]()
    page = report.html(document)
    assert "default-src 'none'" in page
    assert re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]*)""", page.partition("<script>")[0]) == ["data:,"]
    assert "url(" not in page and "@import" not in page and len(page.encode()) < 400_000
    [inside] = embedded(page)
    assert inside.pop("thinned") == {} and inside == document
    pictures = SVG.findall(page)
    assert pictures and all(ElementTree.fromstring(picture).get("aria-label") for picture in pictures)
    assert page.count("<figure>") == page.count('class="about"'), "each picture is described in words"
    assert not re.search(r"(?:nan|inf)\b", " ".join(re.findall(r'(?:d|x|y|width)="([^"]*)"', page)), re.IGNORECASE)


def outline(picture):
    """What a picture is made of: a line per element, with its class and its words; places rounded to ten units."""
    lines = []
    for element in ElementTree.fromstring(picture).iter():
        places = [
            f"{name}={round(float(element.get(name)), -1):.0f}" for name in ("x", "y", "width") if element.get(name)
        ]
        words = [element.tag, element.get("class", ""), *places, (element.text or "").strip()]
        lines.append(" ".join(filter(None, words)))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", ["scan", "simulate"])
def test_pictures_have_the_structure_they_had(name):
    """When a change is meant:  PKSM_ACCEPT=1 python -m pytest tests/report/test_pages.py  and look at git's difference."""
    found = "\n".join(map(outline, SVG.findall(report.html(DOCUMENTS[name]()))))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get(ACCEPT):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def test_hostile_names_become_text():
    page = report.html(hostile_scan())
    markup = EMBEDDED.sub("", page)
    assert "<img" not in markup and "window.hit = 1</script" not in markup and markup.count("<script>") == 1
    assert "{{ 7 * 7 }}" in markup and ">49<" not in markup
    assert not any(sign in page for sign in "\u202e\u2066\u200f\x1b\x00"), "nothing turns text about"
    [inside] = embedded(page)
    assert {source["name"] for source in inside["sources"]} == set(HOSTILE), "the document has them as they are"
    assert page.count("</script>") == 2


def test_several_documents_stand_side_by_side():
    one, two = several(), several()
    two["saving"]["net_bytes"] //= 2
    page = report.html(one, two)
    assert page.count("<article") == 2 and len(embedded(page)) == 2
    table = page[page.index("Side by side") : page.index("<main")]
    for document in (one, two):
        assert report.text.size(document["saving"]["net_bytes"]) in table
    assert "Side by side" not in report.html(one, simulation()), "of different schemas there is nothing to compare"


def test_long_documents_are_thinned_and_say_so():
    document = large_scan()
    page = report.html(document)
    assert len(page.encode()) < 3_000_000
    [inside] = embedded(page)
    assert inside["thinned"] == {"sources": "1,000 of 10,000", "groups": "1,000 of 100,000"}
    assert inside["groups"] == document["groups"][:1000]
    assert "sources (1,000 of 10,000)" in page and "The first 500 of 1,000 rows." in page


def test_samples_are_thinned_evenly():
    document = simulation()
    series = document["runs"][0]["series"]
    width = len(series["columns"])
    series["rows"] = [[ms] * width for ms in range(1_000_000)]
    small = thinned(document)
    rows = small["runs"][0]["series"]["rows"]
    assert rows[0][0] == 0 and rows[-1][0] == 999_999 and len(rows) <= MOST
    assert len({b[0] - a[0] for a, b in itertools.pairwise(rows)}) <= 2
    assert small["thinned"] == {"runs[0].series.rows": f"{len(rows):,} of 1,000,000"}
    assert len(report.html(document).encode()) < 3_000_000
    assert evenly(3, 5) == [0, 1, 2] and evenly(10, 2) == [0, 9]


def test_what_a_table_says_a_page_says():
    """KSM's own answer, what isolation costs, and the price in CPU time are on pages as they are in tables."""
    document = several()
    ksm = {"rmap_items": 7, "pages_shared": 1, "pages_sharing": 2, "ksm_zero_pages": 3, "general_profit": 4096 * 77,
           "frames_saved": 5, "net_bytes": 4096 * 66, "processes": []}  # fmt: skip
    document["under_ksm"] = {"opted_in": ksm, "if_all": ksm}
    document["within"] = [
        {"within": "process", "parts": 3, "saving_pages": 9, "ksm_frames_saved": 8, "ksm_net_bytes": 4096 * 55}
    ]
    page = report.html(document)
    for amount in (77, 66, 55, 9, 8):
        assert f">{report.text.size(amount * SIZE)}<" in page
    assert scan_ksm.CHARGED.replace("'", "&#39;") in page
    simulated = simulation()
    page = report.html(simulated)
    for run in simulated["runs"]:
        assert f">{report.text.seconds(run['final']['cpu']['seconds'])}<" in page
    assert simulated["prices"]["source"] in page
    simulated["runs"][0]["final"]["replay"] = {"mean_saved_bytes": 77 * SIZE, "most_saved_bytes": 99 * SIZE, "undone": 1234,
                                      "undone_soon": 567, "freed": 1, "write_rate": 0.5, "volatile_share": 0.25,
                                      "limbo_mean_bytes": 55 * SIZE, "equals": EQUALS, "seconds": 600}  # fmt: skip
    page = report.html(simulated)
    assert all(text in page for text in ("308.0 KiB on average", ">396.0 KiB<", ">1,234<", ">567<"))


def test_a_recording():
    """What happened to memory over time, and how long equal pages stay equal."""
    with recorded([block(0, 0, [("start", 1, "<b>"), ("map", 0, 9, "", False)], [(page, 0, 7) for page in range(4)]),
                   block(2000, 0, (), [(0, 1, 8), (1, 3, None)])]) as path:  # fmt: skip
        document = summary(path)
    page = report.html(document)
    assert faults(document) == [] and "&lt;b&gt;" in page and "<b>" not in page
    for text in ("How long equal pages stay equal", "had equals, on average", "rewritten within 2"):
        assert text in page


def test_documents_without_pages_are_refused():
    for document in ({"schema": "pksm.checksum.sum/1"}, {"schema": "unknown"}, {}):
        with pytest.raises(UsageError, match="no page of schema"):
            report.html(document)
    with pytest.raises(UsageError, match="needs a document"):
        report.html()
    assert set(render.MODULES) >= {"pksm.scan/1", "pksm.simulate/1", "pksm.bench/1", "pksm.checksum/1"}


def test_columns_of_numbers_are_known():
    table = Table("t", ["a", "b", "c"], [["x", number(1), "-"], ["y", number(None), number(2)], ["z", "-", "words"]])
    assert table.numeric == {1}
    assert Table("t", ["a"], []).numeric == set()
