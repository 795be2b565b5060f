"""--plot: a picture by the ending of its file, refused before the work begins, written whole or not at all."""

import os
import sys

import pytest

from pksm.errors import PksmError

from support.cli_runs import is_one_line, run
from support.memory_sources import write_file

SIZE = 4096
VERBS = {
    "scan": ("scan", "ram"),
    "simulate": ("simulate", "b", "--pages", "100"),
    "bench": ("bench", "--load", "b", "--pages", "200", "--repeats", "1"),
    "checksum": ("checksum", "profile", "ram", "--strategies", "xxh3-64,jhash2"),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_file(tmp_path / "ram", [bytes(SIZE), *[b"a" * SIZE] * 3, b"b" * SIZE], SIZE)
    return tmp_path


@pytest.mark.parametrize("verb", VERBS)
def test_a_picture_in_each_form(capfd, here, verb, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("pksm.linux.cpu_times.meanwhile", lambda *moments: (0.0, 0.0))  # a busy machine has a remark
    for name, head in (("a.svg", b"<?xml"), ("b.PNG", b"\x89PNG"), ("c.pdf", b"%PDF")):
        done = run(capfd, *VERBS[verb], "--plot", name)
        assert done.code == 0 and done.err == "", done.err
        assert done.out, "the table is printed besides"
        assert (here / name).read_bytes().startswith(head)
        if verb in ("bench", "checksum"):
            break  # measuring once is enough
    assert not [name for name in os.listdir(here) if name.startswith(".pksm")]


@pytest.fixture
def no_work(monkeypatch):
    """Whatever would measure, scan or simulate fails the test."""

    def work(*_, **__):
        raise AssertionError("this had to be refused before")

    for name in ("pksm.scan.scan", "pksm.simulation.run.simulate", "pksm.bench.run.bench", "pksm.profiler.profile"):
        module, _, function = name.rpartition(".")
        __import__(module)
        monkeypatch.setattr(sys.modules[module], function, work)


@pytest.mark.parametrize("verb", VERBS)
def test_another_ending_is_refused_before_the_work(capfd, here, no_work, verb):
    for name in ("a.doc", "a", "svg", ".svg", "a.svg.gz"):
        done = run(capfd, *VERBS[verb], "--plot", name)
        assert (done.code, done.out) == (2, "") and is_one_line(done.err, "--plot", name, ".svg, .png, .pdf")
    assert os.listdir(here) == ["ram"]


@pytest.mark.parametrize("verb", VERBS)
def test_without_matplotlib_the_remedy_is_named_before_the_work(capfd, no_work, monkeypatch, verb):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = run(capfd, *VERBS[verb], "--plot", "a.svg")
    assert (done.code, done.out) == (77, "") and is_one_line(done.err, "matplotlib", "pip install 'pksm[plot]'")


@pytest.mark.parametrize("verb", VERBS)
def test_only_pictures_are_replaced_and_no_link_is_followed(capfd, here, no_work, verb):
    pytest.importorskip("matplotlib")
    (here / "precious.svg").write_bytes(b"no picture")
    (here / "link.svg").symlink_to("elsewhere")
    os.mkdir(here / "folder.svg")
    for name, words in {"precious.svg": "there already", "link.svg": "symbolic", "folder.svg": "directory"}.items():
        done = run(capfd, *VERBS[verb], "--plot", name)
        assert (done.code, done.out) == (2, "") and is_one_line(done.err, name, words)
    assert (here / "precious.svg").read_bytes() == b"no picture" and not (here / "elsewhere").exists()


def test_what_fails_leaves_nothing_behind(capfd, here, monkeypatch):
    pytest.importorskip("matplotlib")
    (here / "old.svg").write_bytes(b"<svg>as it was</svg>")

    def fails(*_):
        raise PksmError("no more ink")

    monkeypatch.setattr("pksm.report.plot.picture.picture", fails)
    for name in ("old.svg", "new.svg"):
        done = run(capfd, *VERBS["scan"], "--plot", name)
        assert (done.code, done.out) == (1, "") and is_one_line(done.err, "no more ink")
    assert (here / "old.svg").read_bytes() == b"<svg>as it was</svg>"
    assert sorted(os.listdir(here)) == ["old.svg", "ram"]


def test_a_scan_without_resident_pages_and_one_of_mappings_have_a_picture(capfd, here):
    pytest.importorskip("matplotlib")
    with open(here / "hole", "wb") as file:
        file.truncate(10 * SIZE)
    for arguments in (["scan", "hole"], ["scan", "ram", "--view", "mappings"], ["scan", "ram", "--csv"]):
        assert run(capfd, *arguments, "--plot", "a.svg").code == 0
        assert b"</svg>" in (here / "a.svg").read_bytes()
