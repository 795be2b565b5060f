"""pksm amalgamate and pksm config: what a build gets that compiles the C core into a program."""

import shlex
import subprocess
import sys

import pytest

import pksm
from pksm import embedding

from support.cli_runs import run


def test_amalgamate_writes_two_files_and_prints_their_names(capfd, tmp_path):
    done = run(capfd, "amalgamate", str(tmp_path / "new"))
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [str(tmp_path / "new" / "pksm_all.c"), str(tmp_path / "new" / "pksm.h")]
    for path in embedding.amalgamate(tmp_path / "again"):
        assert (tmp_path / "new" / path.name).read_bytes() == path.read_bytes()


def test_amalgamate_says_in_one_line_what_is_in_the_way(capfd, tmp_path):
    (tmp_path / "file").write_text("")
    done = run(capfd, "amalgamate", str(tmp_path / "file"))
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1 and str(tmp_path / "file") in done.err


@pytest.mark.parametrize("order", [["--cflags", "--sources", "--libs"], ["--libs", "--sources", "--cflags"]])
def test_config_prints_what_a_compiler_takes(capfd, order):
    done = run(capfd, "config", *order)
    assert (done.code, done.err) == (0, "")
    assert shlex.split(done.out) == [f"-I{pksm.get_include()}", *pksm.get_sources()]
    assert done.out.count("\n") == 1


def test_config_prints_each_part_alone(capfd):
    assert shlex.split(run(capfd, "config", "--cflags").out) == [f"-I{pksm.get_include()}"]
    assert shlex.split(run(capfd, "config", "--sources").out) == pksm.get_sources()
    assert run(capfd, "config", "--libs").out == "\n"


def test_config_without_options_says_what_there_is(capfd):
    done = run(capfd, "config")
    assert (done.code, done.out) == (2, "")
    assert "pksm config --cflags --sources --libs" in done.err


def test_builds_can_run_both_without_numpy(tmp_path):
    script = "import sys; sys.modules['numpy'] = None; from pksm.cli.main import main; sys.exit(main(sys.argv[1:]))"
    for words in (["config", "--cflags"], ["amalgamate", str(tmp_path)]):
        subprocess.run([sys.executable, "-c", script, *words], check=True, capture_output=True)
