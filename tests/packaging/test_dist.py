"""sdist → wheel built from that sdist → installed in a fresh environment → used there, away from the checkout."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from pksm import embedding
from pksm.cli import commands
from pksm.cli.completion import scripts

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


WHERE = "import pksm; print(pksm.get_include(), *pksm.get_sources(), sep='\\n')"
BUILDER = runpy.run_path(str(ROOT / "ci" / "dist.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INFO = f"pksm-{VERSION}.dist-info"
DATE = "1700000000"  # SOURCE_DATE_EPOCH of what is built here


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel as it is built from it."""
    directory = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", DATE)
        sdist = BUILDER["build_sdist"](directory)
        return sdist, BUILDER["build_wheel"](sdist, directory)


@pytest.fixture(scope="module")
def dist(built, tmp_path_factory):
    """The sdist, and the wheel with the tag that it is given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", DATE)
        return built[0], BUILDER["tag"](built[1], tmp_path_factory.mktemp("tagged"))


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


def test_wheel_is_for_every_cpython_from_3_11_and_many_distributions(dist):
    """abi3audit, which tag() runs, has accepted it."""
    assert re.fullmatch(rf"pksm-{VERSION}-cp311-abi3-m(any|usl)linux\w+(\.\w+)*\.whl", dist[1].name)


def test_same_sources_make_the_same_bytes(built, dist, tmp_path, monkeypatch):
    """Elsewhere, later, under another umask."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", DATE)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    for directory in ("scratch", "dist", "tagged"):
        (tmp_path / directory).mkdir()
    before = os.umask(0o077)
    try:
        sdist = BUILDER["build_sdist"](tmp_path / "dist")
        wheel = BUILDER["build_wheel"](sdist, tmp_path / "dist")
        tagged = BUILDER["tag"](wheel, tmp_path / "tagged")
    finally:
        os.umask(before)
    assert sdist.read_bytes() == built[0].read_bytes()
    assert wheel.read_bytes() == built[1].read_bytes()
    assert tagged.read_bytes() == dist[1].read_bytes()


def test_extension_names_no_directory_of_the_build(dist):
    with zipfile.ZipFile(dist[1]) as archive, archive.open("pksm/engine/native/_core.abi3.so") as file:
        elf = ELFFile(file)
        tags = {tag.entry.d_tag for tag in elf.get_section_by_name(".dynamic").iter_tags()}
        assert not tags & {"DT_RPATH", "DT_RUNPATH"}
        assert elf.get_section_by_name(".debug_info") is None


def test_metadata(dist):
    with zipfile.ZipFile(dist[1]) as archive:
        text = archive.read(f"{INFO}/METADATA").decode()
    assert "\nLicense-Expression: MIT\nProject-URL: Documentation, https://" in text
    for name, url in PROJECT["urls"].items():
        assert f"\nProject-URL: {name}, {url}\n" in text and url.startswith("https://")
    assert '\nProvides-Extra: all\nRequires-Dist: pksm[arrow,cli,dask,html,images,plot]; extra == "all"\n' in text
    assert "\nDescription-Content-Type: text/markdown\n" in text


def test_bill_of_materials(dist):
    with zipfile.ZipFile(dist[1]) as archive:
        bill = json.loads(archive.read(f"{INFO}/sboms/pksm.cdx.json"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    own = bill["metadata"]["component"]
    assert (own["name"], own["version"], own["purl"]) == ("pksm", VERSION, f"pkg:pypi/pksm@{VERSION}")
    required = {part["name"] for part in bill["components"] if part["scope"] == "required"}
    assert required == {"numpy", "cffi"}, "all that pip installs with it"
    refs = {own["bom-ref"], "libpksm"} | {part["bom-ref"] for part in bill["components"]}
    assert {entry["ref"] for entry in bill["dependencies"]} == refs
    assert all(set(entry["dependsOn"]) < refs for entry in bill["dependencies"])


def test_wheel_has_header_and_sources_and_no_tests(dist):
    with zipfile.ZipFile(dist[1]) as archive:
        names = set(archive.namelist())
    assert {"pksm/engine/native/_core.abi3.so", "pksm/csrc/include/pksm.h", "pksm/cli/main.py"} <= names
    assert {"pksm/py.typed", "pksm/engine/native/_core.pyi"} <= names, "type checkers of users look for these"
    assert {f"pksm/{path.relative_to(ROOT)}" for path in (ROOT / "csrc").rglob("*.[ch]")} <= names
    shared = {name for name in names if name.startswith(f"pksm-{VERSION}.data/")}
    assert {name.partition("/share/")[2] for name in shared if not name.endswith("/")} == {
        "man/man1/pksm.1",
        *(f"man/man1/pksm-{name.replace(' ', '-')}.1" for name, _ in commands.every()),
        *(f"man/man1/pksm-{name}.1" for name in commands.VERBS),
        "bash-completion/completions/pksm.bash",
        "zsh/site-functions/_pksm",
        "fish/vendor_completions.d/pksm.fish",
    }
    assert {name.split("/")[0] for name in names - shared} == {"pksm", f"pksm-{VERSION}.dist-info"}
    assert f"{INFO}/licenses/LICENSE" in names


def test_installed_library_works(installed, tmp_path):
    home, counters = run(installed, tmp_path, "python", "-c", USE).splitlines()
    assert Path(home).is_relative_to(installed.parent)
    assert counters == "2 1 3"  # two zero pages, one page kept for a pair; pages_sharing counts the zero pages too


def test_installed_command_works(installed, tmp_path):
    assert VERSION in run(installed, tmp_path, "pksm", "--version")
    assert VERSION in run(installed, tmp_path, "python", "-m", "pksm", "--version")


def test_sources_in_the_wheel_compile_alone(installed, tmp_path):
    """As an embedder does it: header and sources where the package says, one command."""
    include, *sources = run(installed, tmp_path, "python", "-c", WHERE).splitlines()
    assert all(Path(path).is_relative_to(installed.parent) for path in (include, *sources))
    main = tmp_path / "main.c"
    main.write_text("#include <pksm.h>\nint main(void) { return pksm_page_is_zero((const uint8_t[8]){0}, 8) != 1; }\n")
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{include}"]
    subprocess.run(["gcc", *strict, *sources, "main.c", "-o", "main"], cwd=tmp_path, check=True)
    subprocess.run([str(tmp_path / "main")], check=True)


def test_core_in_two_files_is_that_of_the_checkout(installed, tmp_path):
    printed = run(installed, tmp_path, "pksm", "amalgamate", "here").split()
    assert printed == ["here/pksm_all.c", "here/pksm.h"]
    for path in embedding.amalgamate(tmp_path / "there"):
        assert (tmp_path / "here" / path.name).read_bytes() == path.read_bytes()
    flags = run(installed, tmp_path, "pksm", "config", "--cflags", "--sources", "--libs").split()
    include, *sources = run(installed, tmp_path, "python", "-c", WHERE).splitlines()
    assert flags == [f"-I{include}", *sources]
    for parts in (flags, ["-Ihere", "here/pksm_all.c"]):
        example = [ROOT / "examples" / "own_ksm.c", *parts, "-o", "own_ksm"]
        subprocess.run(["gcc", "-std=c11", *example], cwd=tmp_path, check=True)
        subprocess.run([tmp_path / "own_ksm"], check=True, capture_output=True)
        subprocess.run(["gcc", "-std=c11", "-c", *parts], cwd=tmp_path, check=True)
        objects = [f"{Path(part).stem}.o" for part in parts if part.endswith(".c")]
        example = [parts[0], ROOT / "examples" / "own_ksm.cpp", *objects, "-pthread", "-o", "own_ksm_cpp"]
        subprocess.run(["g++", "-std=c++17", *example], cwd=tmp_path, check=True)
        assert "2000 pages in 99 frames: yes" in subprocess.check_output([tmp_path / "own_ksm_cpp"], text=True)


def test_an_installed_engine_goes_on_in_another_process(installed, tmp_path):
    """Saved in the middle by one process, it ends in another as it does without."""
    begin = USE.partition("while")[0].replace("allocate(6)", "allocate(60)").replace("+ 6", "+ 60")
    begin = begin.replace("Pksmd(host)", "Pksmd(host, pksm.preset('fixed').with_(pages_to_scan=10))")
    begin += "pages[6:] = numpy.arange(54)[:, None] % 7\npksmd.wake()\npksmd.wake()\n"
    end = "\nwhile not pksmd.at_rest: pksmd.wake()\nprint(sorted(pksmd.counters().items()))"
    whole = run(installed, tmp_path, "python", "-c", begin + end)
    assert run(installed, tmp_path, "python", "-c", begin + "pksmd.save('half')") == ""
    assert run(installed, tmp_path, "python", "-c", "import pksm\npksmd = pksm.Pksmd.load('half')" + end) == whole


def test_installed_completion_and_man_pages_are_found(installed, tmp_path):
    for shell in scripts.FILES:
        assert run(installed, tmp_path, "pksm", "completion", shell) == scripts.script(shell)
    assert "scan" in run(installed, tmp_path, "pksm", "completion", "--line", "pksm sc")
    if not shutil.which("man"):
        pytest.skip("no man here")
    path = f"{installed}{os.pathsep}{os.environ['PATH']}"  # man looks beside the directories of commands
    env = {name: value for name, value in os.environ.items() if name != "MANPATH"}
    for page in ("pksm", "pksm-checksum-sum"):
        found = subprocess.run(["man", "-w", page], env={**env, "PATH": path}, capture_output=True, text=True)
        assert found.stdout.strip() == str(installed.parent / "share" / "man" / "man1" / f"{page}.1")


def test_uninstalling_leaves_nothing(dist, tmp_path):
    def files():
        return {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts and not path.is_dir()}

    env = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    before = files()
    pip = [sys.executable, "-m", "pip", "--python", str(env / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(dist[1])], check=True)
    assert len(files()) > len(before) + 200
    subprocess.run([*pip, "uninstall", "--quiet", "--yes", "pksm"], check=True)
    assert files() == before
