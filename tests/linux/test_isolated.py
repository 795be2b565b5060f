"""Programs that we start import nothing from the current directory or the environment."""

import os
import subprocess

import pytest

from pksm.cli import demo_service
from pksm.linux import guard, isolated
from pksm.linux.ksm import put_back
from pksm.sources.live import thaw
from pksm.validation.kernel import interpreter, puppet
from pksm.validation.kernel.live_process import LiveProcess

TRAPS = ("json", "signal", "socket", "ctypes", "array", "math", "decimal", "email", "sitecustomize", "usercustomize")


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A current directory whose modules leave a file when they are imported."""
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'caught')!r}, 'w'); raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "json.py"))
    return tmp_path / "caught"


@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        (interpreter, (), b"\n"),
        (demo_service, ("1",), b"ready\n"),
        (guard, (put_back.__file__, "inf", "/missing", "record.json"), b"+"),
        (guard, (thaw.__file__, "inf", "", "-"), b"+"),
    ],
)
def test_what_lies_about_is_not_imported(trap, program, arguments, said):
    with open("record.json", "w", encoding="ascii") as record:
        record.write('{"values": []}')
    command = isolated.command(program.__file__, *arguments)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.read(len(said)) == said
        process.kill()
    assert not trap.exists()


def test_nor_by_a_process_that_does_as_it_is_told(trap):
    process = LiveProcess()
    process.exit()
    assert os.path.isabs(isolated.command(puppet.__file__)[2]) and not trap.exists()
