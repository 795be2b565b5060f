"""The figures in the repository show what their commands give."""

import runpy

import pytest

from support import ROOT

pytest.importorskip("matplotlib")
MAKER = runpy.run_path(str(ROOT / "ci" / "make_figures.py"))


@pytest.mark.parametrize("name", MAKER["figures"]())
def test_a_figure_is_not_stale(name):
    assert MAKER["main"](["--check", name]) == 0


def test_every_figure_has_a_command():
    drawn = {path.stem for path in (ROOT / "docs" / "figures").glob("*.svg")}
    assert drawn == set(MAKER["figures"]())


def test_a_stale_figure_is_named(monkeypatch, tmp_path, capsys):
    names = MAKER["main"].__globals__
    (tmp_path / "figures.toml").write_bytes((ROOT / "docs" / "figures" / "figures.toml").read_bytes())
    old = (ROOT / "docs" / "figures" / "bench.svg").read_text(encoding="utf-8")
    (tmp_path / "bench.svg").write_text(old.replace("load f", "load g"), encoding="utf-8")
    monkeypatch.setitem(names, "FIGURES", tmp_path)
    assert MAKER["main"](["--check", "bench"]) == 1
    assert capsys.readouterr().err == "stale: bench; draw them anew: make figures\n"
    assert MAKER["main"](["bench"]) == 0 == MAKER["main"](["--check", "bench"])
    assert MAKER["main"](["nothing"]) == 2
