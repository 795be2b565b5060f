"""Pages in a real browser: they are quiet, ask for nothing, show what the document says, and do what they offer.

With PKSM_PICTURES=FOLDER the pictures that are taken stay there, to be looked at.
"""

import json
import os
import time
from pathlib import Path

import pytest

from pksm import report

from support import ROOT, browser
from support.page_documents import HOSTILE, advised, hostile_scan, large_scan, several, simulation, swept

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium here (Debian: chromium)")
pytest.importorskip("jinja2")
SIZES, SCHEMES = (390, 1280), ("light", "dark")


def stored(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


MAKERS = {
    "scan": several,
    "simulate": simulation,
    "sweep": swept,
    "advise": advised,
    "bench": lambda: stored("1048576"),
    "against": lambda: stored("against-kernel"),
    "checksum": lambda: stored("checksum-profile"),
}


@pytest.fixture(scope="module")
def tab():
    made = browser.Browser()
    yield made
    made.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for name, make in MAKERS.items():
        document = make()
        (folder / f"{name}.html").write_text(report.html(document), encoding="utf-8")
        found[name] = document, folder / f"{name}.html"
    return found


def texts(tab, what):
    return tab.run(f"[...document.querySelectorAll({json.dumps(what)})].map((one) => one.textContent)")


@pytest.mark.parametrize("name", MAKERS)
def test_pages_are_quiet_ask_for_nothing_and_fit(tab, pages, name):
    document, path = pages[name]
    for width in SIZES:
        for scheme in SCHEMES:
            tab.open(path, width, scheme=scheme)
            assert tab.logged() == [] and tab.asked_for() == []
            assert tab.run("document.documentElement.scrollWidth") <= width, "nothing sticks out"
            assert tab.run("getComputedStyle(document.body).backgroundColor") == {
                "light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]  # fmt: skip
            shot = tab.picture()
            assert shot.startswith(b"\x89PNG") and len(shot) > 20_000, "something is on it"
            if folder := os.environ.get("PKSM_PICTURES"):
                Path(folder, f"{name}-{width}-{scheme}.png").write_bytes(shot)
    inside = tab.run("JSON.parse(document.querySelector('script[type=\"application/json\"]').textContent)")
    assert {**inside, "thinned": None} == {**document, "thinned": None} or inside["thinned"]


def test_a_table_that_is_scrolled_keeps_its_title_and_the_names_of_its_rows(tab, pages):
    _, path = pages["checksum"]
    tab.open(path, 660)
    box = "[...document.querySelectorAll('.scroll')].find((one) => one.scrollWidth > one.clientWidth)"
    seen = [f"{box}.querySelector('{what}').getBoundingClientRect().left" for what in (".title", "td", "th")]
    before = [tab.run(one) for one in seen]
    tab.run(f"{box}.scrollLeft = 100")
    assert tab.run(f"{box}.scrollLeft") == 100 and [tab.run(one) for one in seen] == before


def test_numbers_on_the_page_are_the_documents(tab, pages):
    document, path = pages["scan"]
    tab.open(path)
    tiles = dict(zip(texts(tab, ".tiles dt"), texts(tab, ".tiles dd:not(.note)"), strict=True))
    assert tiles["saved, net"] == report.text.size(document["saving"]["net_bytes"])
    assert tiles["metadata"] == report.text.size(document["saving"]["metadata_bytes"])
    resident = tab.run(
        "[...[...document.querySelectorAll('caption')].find((one) => one.textContent === 'Sources')"
        ".closest('table').tBodies[0].rows].map((row) => [row.cells[0].textContent, Number(row.cells[2].dataset.v)])"
    )
    expected = {source["name"]: source["pages"]["data"] + source["pages"]["zero"] for source in document["sources"]}
    assert dict(resident) == expected


def test_tables_are_sorted_and_filtered(tab, pages):
    _, path = pages["checksum"]
    tab.open(path)
    table = "[...document.querySelectorAll('caption')].find((one) => one.textContent.startsWith('Strategies')).closest('table')"
    rows = f"[...{table}.tBodies[0].rows]"
    tab.run(f"{table}.tHead.rows[0].cells[2].querySelector('button').click()")
    hot = tab.run(f"{rows}.map((row) => Number(row.cells[2].dataset.v))")
    assert len(hot) > 10 and hot == sorted(hot, reverse=True)
    tab.run(f"{table}.tHead.rows[0].cells[2].querySelector('button').click()")
    assert tab.run(f"{rows}.map((row) => Number(row.cells[2].dataset.v))") == sorted(hot)
    assert tab.run(f"{table}.tHead.rows[0].cells[2].getAttribute('aria-sort')") == "ascending"
    tab.run(f"{table}.tHead.rows[0].cells[0].querySelector('button').click()")
    names = tab.run(f"{rows}.map((row) => row.cells[0].textContent)")
    assert names == tab.run(f"{json.dumps(names)}.sort((a, b) => a.localeCompare(b))")
    field = f"{table}.closest('section').querySelector('input')"
    tab.run(f"{field}.value = 'XXH'; {field}.dispatchEvent(new Event('input'))")
    shown = tab.run(f"{rows}.filter((row) => !row.hidden).map((row) => row.cells[0].textContent)")
    assert shown and all("xxh" in name for name in shown) and len(shown) < len(names)


def test_series_are_hidden_and_values_are_read_off(tab, pages):
    document, path = pages["simulate"]
    tab.open(path)
    key = "document.querySelector('[data-hides=\"1\"]')"
    line = "document.querySelector('figure path[data-series=\"1\"]')"
    assert tab.run(f"getComputedStyle({line}).visibility") == "visible"
    tab.run(f"{key}.click()")
    assert tab.run(f"getComputedStyle({line}).visibility") == "hidden"
    assert tab.run(f"{key}.getAttribute('aria-pressed')") == "false"
    tab.run(f"{key}.click()")
    assert tab.run(f"getComputedStyle({line}).visibility") == "visible"
    svg = "document.querySelector('svg[data-lines]')"
    for _ in range(60):  # to its end, by keyboard
        tab.run(f"{svg}.dispatchEvent(new KeyboardEvent('keydown', {{key: 'ArrowRight'}}))")
    said = tab.run(f"{svg}.closest('figure').querySelector('.readout').textContent")
    for run in document["runs"]:
        place = run["series"]["columns"].index("frames_saved")
        last = run["series"]["rows"][-1][place] * document["page_size"]
        assert f"{run['policy']} {report.text.size(last).replace('.0 ', ' ')}" in said
    tab.run(f"{svg}.dispatchEvent(new PointerEvent('pointermove', {{clientX: 0, clientY: 100}}))")
    assert " 0: " in tab.run(f"{svg}.closest('figure').querySelector('.readout').textContent")


def test_without_scripts_everything_is_there(tab, pages):
    _, path = pages["simulate"]
    tab.open(path, scripts=False)
    shot = tab.picture()
    assert len(shot) > 20_000 and tab.logged() == []


def test_hostile_names_are_text(tab, tmp_path):
    path = tmp_path / "hostile.html"
    path.write_text(report.html(hostile_scan()), encoding="utf-8")
    tab.open(path)
    assert tab.logged() == [] and tab.asked_for() == []
    assert tab.run("window.hit") is None
    assert tab.run("document.querySelectorAll('img, b, iframe').length") == 0
    assert tab.run("document.querySelectorAll('script').length") == 2
    body = tab.run("document.body.textContent")
    for name in HOSTILE:
        if name.isprintable():
            assert name in body
    assert not any(sign in body for sign in "\u202e\u2066\u200f\x1b\x00")


def test_large_documents_open_quickly(tab, tmp_path):
    document = large_scan()
    path = tmp_path / "large.html"
    text = report.html(document)
    path.write_text(text, encoding="utf-8")
    assert len(text.encode()) < 3_000_000
    started = time.monotonic()
    tab.open(path)
    assert tab.run("document.querySelectorAll('tr').length") > 500
    assert tab.logged() == []
    assert time.monotonic() - started < 60, "it opens at all; how quickly is measured by benchmarks"
