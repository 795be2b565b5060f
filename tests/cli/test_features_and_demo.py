"""pksm features says what is so, and pksm demo works, cleans up, and ends with a command that works."""

import json
import mmap
import os
import re
import subprocess
import sys

import pytest

import pksm
from pksm.cli.verbs import demo
from pksm.engine.checksums import strategies as checksums
from pksm.linux.proc import pagemap
from pksm.policies.pksmd.tunables import PRESETS

from support.cli_runs import environment, is_one_line, run, run_apart


def test_features_as_json(capfd):
    done = run(capfd, "features", "--json")
    facts = json.loads(done.out)
    assert (done.code, done.err) == (0, "") and facts["schema"] == "pksm.features/1"
    assert facts["version"] == pksm.__version__
    assert list(facts["checksums"]) == checksums.names() and facts["default_checksum"] in facts["checksums"]
    assert facts["checksums"]["jhash2"] == 32 and facts["checksums"]["xxh64"] == 64
    assert facts["orders"] == ["content", "checksum", "checksum-content"] and facts["presets"] == list(PRESETS)
    assert {"raw", "process"} <= set(facts["sources"])
    machine = facts["machine"]
    assert machine["page_size"] == mmap.PAGESIZE and machine["cpus"] == len(os.sched_getaffinity(0))
    assert machine["kernel_ksm"] == os.path.isdir("/sys/kernel/mm/ksm")
    assert machine["frame_numbers"] == (pagemap.zero_frame() != 0)
    assert machine["huge_pages"] in ("always", "madvise", "never", None)
    assert facts["cpu_levels"][0] == "scalar"


def test_features_for_people(capfd):
    done = run(capfd, "features")
    assert done.code == 0
    for word in [*checksums.names(), *PRESETS, "raw", "process", "frame numbers", "KSM"]:
        assert word in done.out


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
