"""Pictures: what is written in them, what lies over what, and what their files say of themselves.

Their words are in golden/plot. When a change is meant:  PKSM_ACCEPT=1 python -m pytest tests/report/test_plot.py
"""

import itertools
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from pksm import report
from pksm.errors import UsageError
from pksm.extents import State
from pksm.policies.registry import choose
from pksm.report.plot import bench, checksum, picture, scan, simulate, style
from pksm.report.plot.endings import is_picture
from pksm.scan import Settings
from pksm.scan import scan as scan_memory
from pksm.simulation.run import Settings as SimulationSettings
from pksm.simulation.run import simulate as run_simulation

from support.memory_sources import GivenSource, data

matplotlib = pytest.importorskip("matplotlib")
backend_agg = pytest.importorskip("matplotlib.backends.backend_agg")
DOCUMENTS = Path(__file__).parent / "documents"
GOLDEN = Path(__file__).parent / "golden" / "plot"
ACCEPT = "PKSM_ACCEPT"
SIZE = 4096
LEAST_POINTS = 6
DRAWERS = {"pksm.scan/1": scan, "pksm.simulate/1": simulate, "pksm.bench/1": bench, "pksm.checksum/1": checksum}


def kept(name):
    """A document that stays as it is, whatever is measured anew."""
    return json.loads((DOCUMENTS / f"{name}.json").read_text(encoding="utf-8"))


def curve():
    """One of several sizes, with several policies and settings."""
    row = {"order": None, "batch": None, "threads": 1, "checksum": None, "wall_s": 1.0, "cpu_s": 1.0}
    rows = [
        {**row, "load": load, "pages": pages, "engine": engine, "batch": batch, "ns_per_page": factor * pages**0.1}
        | {"ns_low": 0.9 * factor * pages**0.1, "ns_high": 1.2 * factor * pages**0.1}
        for load in ("a", "a/file.ram")
        for pages in (1 << 16, 1 << 18, 1 << 20, 3000)
        for engine, batch, factor in (
            ("read", None, 30),
            ("pksmd", 100, 200),
            ("pksmd", 65536, 90),
            ("ksmd:ksm-6.11", 100, 900),
        )
    ]
    return {**kept("bench"), "rows": rows, "loads": {"a": "All random."}, "confidence": 0.98}


def page(letter):
    return bytes([letter]) * SIZE


def source(name, letters, zero=0):
    pages = data(*(page(letter) for letter in letters), *[bytes(SIZE)] * zero)
    return GivenSource(name, pages, list(range(len(pages))), [1] * len(pages), ["heap"] * len(pages))


def several_subjects():
    profile = kept("checksum-profile")
    other = [{**row, "subject": "memory"} for row in profile["strategies"]]
    subjects = [*profile["subjects"], {**profile["subjects"][0], "name": "memory"}]
    return {**profile, "subjects": subjects, "strategies": [*profile["strategies"], *other]}


def simulated(workload, policies, **settings):
    return run_simulation(SimulationSettings(workload, **settings), choose(policies))


@pytest.fixture(scope="module")
def documents():
    crowd = [source(f"pid {n} (a-long-name-of-a-program)", range(1, 2 + n), n % 3) for n in range(30)]
    return {
        "scan-one": scan_memory([source("a/ram.img", [1, 1, 1, 2, 3], 4)]),
        "scan-two": scan_memory([source("first", [1, 1, 2], 1), source("second", [1, 3, 4, 5])]),
        "scan-crowd": scan_memory(crowd),
        "scan-mappings": scan_memory([source("first", [1, 1]), source("second", [1, 2])], Settings(view="mappings")),
        "scan-nothing": scan_memory([GivenSource("pid 5 (sleep)", [(State.HOLE, None)] * 7)]),
        "simulate": simulated("fork-family", "ksmd,pksmd", pages=300, seed=1),
        "simulate-five": simulated("b", "nobody,pksmd:v0.1,pksmd:android-3.4,ksmd,pksmd", pages=200),
        "simulate-nobody": simulated("a", "nobody", pages=50, until_ms=100),
        "bench": kept("bench"),
        "against-kernel": kept("against-kernel"),
        "curve": curve(),
        "checksum": kept("checksum-profile"),
        "checksum-two": several_subjects(),
    }


NAMES = ("scan-one", "scan-two", "scan-crowd", "scan-mappings", "scan-nothing", "simulate", "simulate-five", "simulate-nobody",
         "bench", "against-kernel", "curve", "checksum", "checksum-two")  # fmt: skip


def figure_of(document):
    with style.applied():
        figure = DRAWERS[document["schema"]].draw(document)
        figure.set_dpi(300)
        backend_agg.FigureCanvasAgg(figure).draw()
    return figure


def texts(svg):
    """What is written in an SVG file, in its order."""
    root = ElementTree.fromstring(svg)
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


def written(figure):
    """(text, its box) of all visible text of a figure; ticks beyond the ends of an axis are not drawn."""
    renderer = figure.canvas.get_renderer()
    beyond = {id(label) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in labels_beyond(axis)}
    return [
        (artist, matplotlib.text.Text.get_window_extent(artist, renderer))
        for artist in figure.findobj(matplotlib.text.Text)
        if artist.get_visible() and artist.get_text().strip() and id(artist) not in beyond
    ]


def labels_beyond(axis):
    low, high = sorted(axis.get_view_interval())
    return [label for tick in axis.get_major_ticks() for label in (tick.label1, tick.label2)
            if not low <= tick.get_loc() <= high]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_says_what_it_is_to_say(documents, name):
    said = texts(report.picture(documents[name], "svg"))
    path = GOLDEN / f"{name}.txt"
    shown = "".join(f"{line}\n" for line in [report.caption(documents[name]), "", *said])
    if os.environ.get(ACCEPT):
        path.write_text(shown, encoding="utf-8")
    assert path.exists() and shown == path.read_text(encoding="utf-8"), (
        f"the picture has other words than {path}; if it should: {ACCEPT}=1 python -m pytest {__file__}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_a_column_wide_and_its_letters_can_be_read(documents, name):
    figure = figure_of(documents[name])
    columns = len(documents[name].get("subjects", [1]))
    assert figure.get_figwidth() * 25.4 == pytest.approx(80 * columns)
    assert {artist.get_fontsize() for artist, _ in written(figure)} <= {6.0, 6.5}
    svg = report.picture(documents[name], "svg").decode()
    sizes = {float(size) for size in re.findall(r"font(?:-size)?: (?:bold |\d+ )*([\d.]+)px", svg)}
    assert sizes and min(sizes) >= LEAST_POINTS


@pytest.mark.parametrize("name", NAMES)
def test_no_text_hides_another_or_leaves_the_picture(documents, name):
    figure = figure_of(documents[name])
    found = written(figure)
    assert len(found) > 3
    for (one, box), (other, beside) in itertools.combinations(found, 2):
        across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
        along = min(box.y1, beside.y1) - max(box.y0, beside.y0)
        # A box is as high as the highest and the lowest letter that there are: a hair of it may overlap.
        assert across <= 1 or along <= 4, f"{one.get_text()!r} and {other.get_text()!r}"
    whole = figure.bbox
    for artist, box in found:
        assert whole.x0 - 1 <= box.x0 and box.x1 <= whole.x1 + 1, artist.get_text()
        assert whole.y0 - 1 <= box.y0 and box.y1 <= whole.y1 + 1, artist.get_text()


@pytest.mark.parametrize(
    ("name", "form"),
    [("scan-two", "svg"), ("scan-two", "png"), ("simulate", "pdf"), ("simulate", "svg"), ("bench", "png"),
     ("bench", "pdf"), ("checksum", "svg")],
)  # fmt: skip
def test_the_same_document_is_the_same_file(documents, name, form):
    one = report.picture(documents[name], form)
    with matplotlib.rc_context({"font.size": 30, "text.usetex": True, "svg.hashsalt": None, "axes.facecolor": "red"}):
        assert report.picture(documents[name], form) == one, "and the user's own settings of matplotlib change nothing"
    assert one.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[form])
    assert is_picture(one)


def test_drawing_leaves_the_settings_of_matplotlib_alone(documents):
    before = dict(matplotlib.rcParams)
    report.picture(documents["scan-one"], "png")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("form", picture.FORMS)
def test_a_file_names_machine_commit_and_seed_and_no_date(form):
    document = {**kept("bench"), "commit": "0123456789ab", "seed": 77}
    file = report.picture(document, form)
    for fact in (b"AMD EPYC (avx512)", b"Linux 6.18.44", b"commit 0123456789ab", b"seed 77", b"pksm 0.1.0"):
        assert fact in file.replace(rb"\(", b"(").replace(rb"\)", b")"), fact
    assert b"dc:date" not in file and b"CreationDate" not in file


STRANGE = {"$\\frac{$": "$\\frac{$", "a$b$c": "a$b$c", "<b>&amp;": "<b>&amp;", "_hidden": "_hidden", "日本": "日本",
           "x\x1b[2J\n\u202e": "x\\x1b", "\udcff": "\\udcff", "n" * 5000: "nnnnn"}  # fmt: skip


@pytest.mark.parametrize("kind", ["scan", "checksum", "bench", "simulate"])
def test_strange_names_are_text(documents, kind):
    """{name: what is to be seen of it}: nothing is a formula, markup or a control, and nothing is lost."""
    if kind == "scan":
        document = scan_memory([source(name, [1, 1, 2]) for name in STRANGE])
    elif kind == "checksum":
        profile = kept("checksum-profile")
        rows = [{**row, "name": name} for row, name in zip(profile["strategies"], STRANGE, strict=False)]
        document = {**profile, "strategies": rows}
    elif kind == "bench":
        rows = kept("bench")["rows"]
        document = {**kept("bench"), "rows": [{**row, "load": name} for name in STRANGE for row in rows[:14]]}
    else:
        [run, *_] = documents["simulate"]["runs"]
        runs = [{**run, "policy": name} for name in STRANGE]
        document = {**documents["simulate"], "runs": runs, "workload": "".join(STRANGE)}
    svg = report.picture(document, "svg")
    said = texts(svg)
    assert all(map(str.isprintable, said))
    for seen in STRANGE.values():
        assert any(seen in text for text in said), seen
    assert not re.search(rb"[\x00-\x08\x0b-\x1f]|\xe2\x80\xae", svg)
    assert report.picture(document, "pdf").startswith(b"%PDF")


def test_only_some_schemas_have_a_picture(documents):
    with pytest.raises(UsageError, match="no picture of schema 'pksm.names/1': choose from pksm.scan/1"):
        report.picture({"schema": "pksm.names/1"})
    with pytest.raises(UsageError, match="unknown form 'gif': choose from svg, png, pdf"):
        report.picture(documents["scan-one"], "gif")


def lightness(colour):
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2


def test_what_lies_side_by_side_differs_without_colour():
    for (_, one, hatch), (_, other, beside) in itertools.pairwise(scan.PARTS):
        assert abs(lightness(one) - lightness(other)) > 0.2 or hatch != beside
    looks = [(style.DASHES[n % 4], style.MARKERS[n % 7]) for n in range(28)]
    assert len(set(looks)) == 28, "the dashes and the marker of a policy are its own"
    assert len({(mark.marker, mark.filled) for mark in bench.MARKS.values()}) == len(bench.MARKS)


def test_zero_is_zero_and_the_front_is_a_staircase():
    document = kept("checksum-profile")
    above = figure_of(document).axes[0]
    rows = {row["name"]: row for row in document["strategies"]}
    marks = [
        line.get_xydata()[0] for line in above.lines if line.get_marker() not in ("None", "") and len(line.get_xdata())
    ]
    drawn = {tuple(mark) for mark in marks}
    assert drawn == {(row["ns_cold"], row["missed"]["1_word"]["measured"]) for row in rows.values()}
    assert above.get_yticks()[0] == 0 and above.get_yticklabels()[0].get_text() == "0"
    assert above.get_ylim()[0] < 0 < above.get_yticks()[1]
    [front] = [line for line in above.lines if line.get_drawstyle() == "steps-post"]
    xs, ys = front.get_data()
    assert list(xs) == sorted(xs) and list(ys) == sorted(ys, reverse=True)
    for x, y in drawn:
        height = min(level for at, level in zip(xs, ys, strict=True) if at <= x)
        assert y >= height, "nothing is better than the front"
    spans = [line.get_xdata() for line in above.lines if len(line.get_xdata()) == 2]
    cold = rows["xxh3-64"]["intervals"]["cold"]
    assert [cold["low"], cold["high"]] in [list(span) for span in spans], "the interval is drawn"


def test_the_recommended_strategy_has_a_mark_of_its_own():
    document = kept("checksum-profile")
    for axis in figure_of(document).axes:
        stars = [line.get_xydata()[0] for line in axis.lines if line.get_marker() == "*" and len(line.get_xdata())]
        [row] = [
            row
            for row in document["strategies"]
            if row["name"] == document["subjects"][0]["recommendation"]["strategy"]
        ]
        assert [x for x, _ in stars] in ([row["ns_cold"]], [row["cpu_ns_to_rest"]])


def test_parts_of_a_bar_are_what_the_document_says(documents):
    document = documents["scan-two"]
    bars = {bar.name: bar.amounts for bar in scan._bars(document)}
    totals, saving = document["totals"], document["saving"]
    for place, amount in enumerate((saving["zero_pages"], None, None, totals["pages"] - saving["pages"])):
        if amount is not None:
            assert bars["together"][place] == amount
    assert sum(bars["together"]) == totals["pages"] == 8
    assert bars["together"][1:3] == (1, 1), "of three equal pages, two in the first: one duplicate within, one across"
    assert bars["first"] == pytest.approx((1, 1, 1 / 3, 5 / 3), abs=1e-3)
    assert bars["second"] == pytest.approx((0, 0, 2 / 3, 10 / 3), abs=1e-3), "bytes are whole"


def test_mappings_that_merge_are_not_called_saved(documents):
    said = texts(report.picture(documents["scan-mappings"]))
    assert {"merged", "not merged", "resident mappings"} < set(said)
    assert not [text for text in said if "saved" in text or "in use" in text or "memory" in text]
    assert "saves" not in report.caption(documents["scan-mappings"])


def test_many_sources_are_as_many_bars_as_there_is_room_for(documents):
    bars = scan._bars(documents["scan-crowd"])
    assert len(bars) == 1 + scan.SHOWN and bars[-1].name == "19 others"
    shares = [sum(bar.amounts[:3]) for bar in bars]
    assert shares[0] == pytest.approx(sum(shares[1:])), "the shares of all sources are what is saved"
