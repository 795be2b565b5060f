"""libpksm in one file: it compiles without a warning, has what the library has, and holds each header once."""

import re

import pytest

from pksm import embedding

from support import ROOT
from support.compilers import STRICT, commands, defined, run

CSRC = ROOT / "csrc"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder in which the two files are."""
    folder = tmp_path_factory.mktemp("amalgamation") / "made" / "for it"
    assert embedding.amalgamate(folder) == [folder / "pksm_all.c", folder / "pksm.h"]
    return folder


@pytest.mark.parametrize("cc", commands(r"(gcc|clang)(-\d+)?"))
def test_it_compiles_alone_and_without_a_warning(folder, cc, tmp_path):
    run(cc, *STRICT, "-O2", "-c", folder / "pksm_all.c", "-o", tmp_path / "pksm_all.o")
    objects = []
    for number, source in enumerate(embedding.get_sources()):
        objects.append(tmp_path / f"{number}.o")
        run(cc, *STRICT, f"-I{embedding.get_include()}", "-c", source, "-o", objects[-1])
    apart = set().union(*map(defined, objects))
    assert "pksm_settle" in apart and defined(tmp_path / "pksm_all.o") == apart


@pytest.mark.parametrize("cc", commands(r"(gcc|clang)(-\d+)?"))
def test_a_processor_other_than_x86_gets_plain_c(folder, cc, tmp_path):
    text = (folder / "pksm_all.c").read_text(encoding="utf-8")
    (tmp_path / "plain.c").write_text(text.replace("#ifdef __x86_64__", "#ifdef NO_SUCH_PROCESSOR"), encoding="utf-8")
    run(cc, *STRICT, f"-I{folder}", "-fsyntax-only", tmp_path / "plain.c")


def test_it_includes_nothing_of_ours_but_the_header(folder):
    text = (folder / "pksm_all.c").read_text(encoding="utf-8")
    assert set(re.findall(r'#include "(.+)"', text)) == {"pksm.h"}
    for header in CSRC.rglob("*.h"):
        guard = re.search(r"^#define (PKSM_\w*H)$", header.read_text(encoding="utf-8"), re.M)[1]
        inlined = header.name not in ("pksm.h", "yardstick.h")
        assert text.count(f"#define {guard}\n") == inlined, header.name
    assert (folder / "pksm.h").read_bytes() == (CSRC / "include" / "pksm.h").read_bytes()


def test_older_files_are_replaced_and_others_left(folder, tmp_path):
    (tmp_path / "pksm_all.c").write_text("old")
    (tmp_path / "mine.c").write_text("mine")
    embedding.amalgamate(str(tmp_path))
    assert (tmp_path / "pksm_all.c").read_bytes() == (folder / "pksm_all.c").read_bytes()
    assert (tmp_path / "mine.c").read_text() == "mine"


def test_it_works_as_one_unit_with_a_program(folder, tmp_path):
    """The C test of the library, which runs at every level of the processor."""
    command = ["gcc", *STRICT, "-O2", f"-I{folder}", ROOT / "tests" / "c" / "test_library.c", folder / "pksm_all.c"]
    run(*command, "-o", tmp_path / "test")
    assert "ok" in run(tmp_path / "test")
