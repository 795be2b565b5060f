"""The examples of merging in C and in C++ check their own results: built as users do, and under sanitizers."""

import shutil
import subprocess

import pytest

from pksm import embedding

from support import ROOT
from support.compilers import STRICT, WARNINGS, run

SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# Some kernels place mappings where an older ASan keeps its shadow.
FIXED = ["setarch", "-R"] if subprocess.run("setarch -R true", shell=True, capture_output=True).returncode == 0 else []
COMPILERS = [pair for pair in (("gcc", "g++"), ("clang", "clang++")) if all(map(shutil.which, pair))]


@pytest.fixture(scope="module", params=COMPILERS, ids=lambda pair: pair[0])
def compilers(request):
    """Those of C and C++ that belong together."""
    return request.param


@pytest.fixture(scope="module", params=["library", "amalgamation"])
def built(request, compilers, tmp_path_factory):
    """The options and files with which a program is compiled."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "library":
        flags = f"CFLAGS={' '.join(SANITIZED)}"
        run("make", "-j2", "-C", ROOT / "csrc", "install", f"BUILD={folder / 'build'}", f"PREFIX={folder}",
            f"CC={compilers[0]}", flags, "LDFLAGS=-fsanitize=address,undefined")  # fmt: skip
        return [f"-I{folder / 'include'}"], [folder / "lib" / "libpksm.a"]
    embedding.amalgamate(folder)
    run(compilers[0], *STRICT, *SANITIZED, "-c", folder / "pksm_all.c", "-o", folder / "pksm_all.o")
    return [f"-I{folder}"], [folder / "pksm_all.o"]


def test_own_ksm_in_c(compilers, built, tmp_path):
    includes, objects = built
    run(compilers[0], *STRICT, *SANITIZED, *includes, ROOT / "examples" / "own_ksm.c", *objects, "-o", tmp_path / "c")
    *_, last = run(*FIXED, tmp_path / "c").splitlines()
    assert last.startswith("299 frames for 299 contents, and ")


def test_own_ksm_in_cplusplus(compilers, built, tmp_path):
    includes, objects = built
    command = [compilers[1], "-std=c++17", *WARNINGS, *SANITIZED, *includes, ROOT / "examples" / "own_ksm.cpp"]
    run(*command, *objects, "-pthread", "-o", tmp_path / "cpp")
    assert run(*FIXED, tmp_path / "cpp") == "2000 pages in 99 frames: yes\n3000 pages in 199 frames: yes\n"
