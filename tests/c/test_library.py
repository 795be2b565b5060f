"""libpksm: it compiles without a warning wherever it can, offers what its header declares, and installs."""

import os
import re
import shutil

import pytest

import pksm

from support import ROOT
from support.compilers import STRICT, commands, defined, run

CSRC = ROOT / "csrc"
HEADER = CSRC / "include" / "pksm.h"
PROGRAM = """
#include <pksm.h>
#include <stdio.h>
int main(void)
{
    static const uint8_t page[64] = {0};

    pksm_cpu_select(pksm_cpu_best());
    return puts(PKSM_VERSION) < 0 || pksm_page_is_zero(page, sizeof page) != 1;
}
"""


def declared(header):
    """The functions that a header declares."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.S)
    return set(re.findall(r"^\w[\w ]*[ *](pksm_\w+)\(", text, re.M))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder where libpksm has been installed."""
    folder = tmp_path_factory.mktemp("libpksm")
    run("make", "-C", CSRC, "install", f"BUILD={folder / 'build'}", f"PREFIX={folder}", "CC=gcc", "CFLAGS=-O1")
    return folder


@pytest.mark.parametrize("cc", commands(r"(gcc|clang)(-\d+)?"))
def test_every_compiler_found_compiles_everything_without_a_warning(cc, tmp_path):
    for folder in (CSRC, ROOT / "tests" / "c", ROOT / "ci"):
        for path in folder.rglob("*.c"):
            includes = [f"-I{CSRC}", f"-I{CSRC / 'include'}"]
            run(cc, *STRICT, "-O1", "-fvisibility=hidden", *includes, "-c", path, "-o", tmp_path / "object")


@pytest.mark.parametrize("cc", commands(r"(gcc|clang)(-\d+)?"))
def test_a_processor_other_than_x86_gets_plain_c(cc, tmp_path):
    for path in CSRC.rglob("*.c"):
        text = path.read_text(encoding="utf-8")
        plain = tmp_path / path.name
        plain.write_text(text.replace("#ifdef __x86_64__", "#ifdef NO_SUCH_PROCESSOR"), encoding="utf-8")
        includes = [f"-I{path.parent}", f"-I{CSRC}", f"-I{CSRC / 'include'}"]
        run(cc, *STRICT, *includes, "-fsyntax-only", plain)


@pytest.mark.parametrize("cxx", commands(r"(g|clang)\+\+(-\d+)?"))
def test_header_is_cplusplus_too(cxx, installed, tmp_path):
    source = tmp_path / "main.cc"
    source.write_text(PROGRAM)
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    program = tmp_path / "main"
    run(cxx, *flags, f"-I{installed / 'include'}", source, installed / "lib" / "libpksm.a", "-o", program)
    assert run(program).strip() == pksm.__version__


def test_static_library_takes_no_names_but_those_with_our_prefix(installed):
    names = defined(installed / "lib" / "libpksm.a")
    assert names and {name for name in names if not name.startswith("pksm_")} == set()


def test_shared_library_exports_what_the_header_declares_and_nothing_else(installed):
    assert defined(installed / "lib" / "libpksm.so", "-D") == declared(HEADER)


def test_extension_has_the_yardsticks_besides(installed):
    (extension,) = (ROOT / "pksm" / "engine" / "native").glob("_core*.so")
    ours = {name for name in defined(extension, "-D") if name.startswith("pksm_")}
    assert ours == declared(HEADER) | declared(CSRC / "yardstick.h")


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="needs pkg-config")
def test_program_finds_the_installed_library_by_pkg_config(installed, tmp_path):
    env = {**os.environ, "PKG_CONFIG_PATH": str(installed / "lib" / "pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "pksm", env=env).split()
    (tmp_path / "main.c").write_text(PROGRAM)
    run("gcc", *STRICT, tmp_path / "main.c", *flags, "-o", tmp_path / "main")
    found = {**os.environ, "LD_LIBRARY_PATH": str(installed / "lib")}
    assert run(tmp_path / "main", env=found).strip() == pksm.__version__
    assert run("pkg-config", "--modversion", "pksm", env=env).strip() == pksm.__version__


def test_version_stands_in_the_header_as_in_the_package():
    text = HEADER.read_text(encoding="utf-8")
    major, minor, patch = (int(part) for part in pksm.__version__.split("."))
    assert re.search(r'^#define PKSM_VERSION "(.+)"', text, re.M)[1] == pksm.__version__
    number = re.search(r"^#define PKSM_VERSION_NUMBER (\d+)", text, re.M)[1]
    assert int(number) == major * 10000 + minor * 100 + patch


def test_lines_of_c_fit_a_screen():
    files = [path for folder in (CSRC, ROOT / "tests" / "c", ROOT / "ci") for path in folder.rglob("*.[ch]")]
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 120
    ]
    assert files and not long
