"""pksm demo works, cleans up, and ends with a command that works."""

import os
import re
import subprocess
import sys

import pytest

from pksm.cli.verbs import demo

from support.cli_runs import environment, is_one_line, run, run_apart


def test_demo():
    done = run_apart("demo")
    assert done.code == 0 and is_one_line(done.err, "4 Python interpreters")
    assert done.out.startswith("4 sources: ")
    pids = re.findall(r"^pid (\d+) \(", done.out, re.MULTILINE)
    assert len(pids) == 4 and not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    saved = re.search(r"^  duplicates +([\d,]+) ", done.out, re.MULTILINE)[1]
    # The common array (4 MiB), half of another (1 MiB) and the text (3 MiB) three times over, but for their edges.
    assert int(saved.replace(",", "")) >= 3 * (8 << 20) // 4096 - 3 * 10
    assert "text" in done.out and "floating point" in done.out
    *_, first, second, third = done.out.splitlines()
    assert "scan --pid $$" in first and "scan -- " in second and "scan ram.img" in third


def test_the_command_that_demo_ends_with_works():
    """As typed into a shell, with the name that fits how the demonstration was started."""
    command = demo._next_steps("pksm").splitlines()[1].split("  a live process")[0].strip()
    assert command == "pksm scan --pid $$"
    run_it = subprocess.run(
        ["bash", "-c", f'pksm() {{ "{sys.executable}" -m pksm "$@"; }}; {command}; exit $?'],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert run_it.returncode == 0, run_it.stderr
    assert re.match(r"pid \d+ \(bash\): [\d,]+ resident pages", run_it.stdout)


@pytest.mark.parametrize(
    ("started_as", "name"),
    [("/venv/lib/pksm/__main__.py", " -m pksm"), ("{}/bin/pksm", "pksm"), ("{}/other/pksm", "other/pksm")],
)
def test_how_to_call_us_again(tmp_path, monkeypatch, started_as, name):
    for folder in ("bin", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pksm").touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("sys.argv", [started_as.format(tmp_path)])
    assert demo._own_name().endswith(name) and (name != "pksm" or demo._own_name() == "pksm")


def test_a_demo_whose_interpreters_fail(capfd, monkeypatch, tmp_path):
    (tmp_path / "service.py").write_text("raise SystemExit('no luck')")
    monkeypatch.setattr(demo.demo_service, "__file__", str(tmp_path / "service.py"))
    done = run(capfd, "demo")
    assert done.code == 1 and done.out == ""
    assert "no luck" in done.err and "ended before it was ready" in done.err.splitlines()[-1]
