"""sdist → wheel built from that sdist → installed in a fresh environment → used there, away from the checkout."""

import os
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from support import ROOT

VERSION = re.search(r'^__version__ = "(.+)"', (ROOT / "pksm" / "__init__.py").read_text(encoding="utf-8"), re.M)[1]

USE = """
import numpy, pksm
store = pksm.Store()
first, pages = store.allocate(6)
pages[:] = 0
pages[2:4] = 7
pages[4, 0], pages[5, 0] = 1, 2
host = pksm.FlatHost(store)
pksmd = pksm.Pksmd(host)
host.add(numpy.arange(first, first + 6, dtype=numpy.uint32))
while not pksmd.at_rest:
    pksmd.wake()
print(pksm.__file__)
print(pksmd.counters()["pages_zero_sharing"], pksmd.counters()["pages_shared"], pksmd.counters()["pages_sharing"])
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    directory = tmp_path_factory.mktemp("dist")
    builder = runpy.run_path(str(ROOT / "ci" / "dist.py"))
    sdist = builder["build_sdist"](directory)
    return sdist, builder["build_wheel"](sdist, directory)


@pytest.fixture(scope="module")
def installed(dist, tmp_path_factory):
    """The bin directory of a fresh virtual environment with nothing but the wheel and what it asks for."""
    env = tmp_path_factory.mktemp("fresh") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(env / "bin" / "python"), "--disable-pip-version-check"]
    done = subprocess.run([*pip, "install", "--quiet", str(dist[1])], capture_output=True, text=True)
    assert done.returncode == 0, f"pip could not install the wheel and its dependencies: {done.stderr}"
    return env / "bin"


def run(bin_directory, tmp_path, *command):
    """Run a command of the fresh environment in an empty directory; return what it said."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(bin_directory / command[0]), *command[1:]]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sdist_has_all_that_a_build_and_a_test_run_need(dist):
    with tarfile.open(dist[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "setup.py", "Makefile", "LICENSE", "README.md", "csrc/include/pksm.h"}
    wanted |= {
        path.relative_to(ROOT).as_posix()
        for pattern in ("csrc/**/*", "pksm/**/*.py", "ci/*", "docs/**/*", "tests/**/*", "benchmarks/**/*")
        for path in ROOT.glob(pattern)
        if path.is_file() and path.suffix != ".pyc" and "build" not in path.relative_to(ROOT).parts
    }
    assert wanted - names == set()
    assert not [name for name in names if name.endswith((".so", ".pyc", ".o"))]


def test_wheel_is_for_every_cpython_from_3_11(dist):
    assert dist[1].name.startswith(f"pksm-{VERSION}-cp311-abi3-linux_")


def test_wheel_has_header_and_sources_and_no_tests(dist):
    with zipfile.ZipFile(dist[1]) as archive:
        names = set(archive.namelist())
    assert {"pksm/engine/native/_core.abi3.so", "pksm/csrc/include/pksm.h", "pksm/cli/main.py"} <= names
    assert {"pksm/py.typed", "pksm/engine/native/_core.pyi"} <= names, "type checkers of users look for these"
    assert {f"pksm/{path.relative_to(ROOT)}" for path in (ROOT / "csrc").rglob("*.[ch]")} <= names
    shared = {name for name in names if name.startswith(f"pksm-{VERSION}.data/data/share/")}
    assert {name.partition("/share/")[2] for name in shared} == {"man/man1/pksm.1", "bash-completion/completions/pksm"}
    assert {name.split("/")[0] for name in names - shared} == {"pksm", f"pksm-{VERSION}.dist-info"}
    assert any(name.endswith("/LICENSE") for name in names)


def test_installed_library_works(installed, tmp_path):
    home, counters = run(installed, tmp_path, "python", "-c", USE).splitlines()
    assert Path(home).is_relative_to(installed.parent)
    assert counters == "2 1 3"  # two zero pages, one page kept for a pair; pages_sharing counts the zero pages too


def test_installed_command_works(installed, tmp_path):
    assert VERSION in run(installed, tmp_path, "pksm", "--version")
    assert VERSION in run(installed, tmp_path, "python", "-m", "pksm", "--version")


def test_sources_in_the_wheel_compile_alone(installed, tmp_path):
    """As an embedder does it: header and sources where the package says, one command."""
    script = "import pksm; print(pksm.get_include(), *pksm.get_sources(), sep='\\n')"
    include, *sources = run(installed, tmp_path, "python", "-c", script).splitlines()
    assert all(Path(path).is_relative_to(installed.parent) for path in (include, *sources))
    main = tmp_path / "main.c"
    main.write_text("#include <pksm.h>\nint main(void) { return pksm_page_is_zero((const uint8_t[8]){0}, 8) != 1; }\n")
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{include}"]
    subprocess.run(["gcc", *strict, *sources, "main.c", "-o", "main"], cwd=tmp_path, check=True)
    subprocess.run([str(tmp_path / "main")], check=True)
