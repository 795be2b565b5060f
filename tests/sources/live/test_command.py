"""Commands as sources: started, read, and always ended."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from pksm import sources
from pksm.errors import PksmError, UsageError
from pksm.linux.proc import pagemap
from pksm.sources.live import command

PAGE = pagemap.PAGE_SIZE


def allocate(n_pages):
    return sources.Allocation(np.zeros((n_pages, PAGE), np.uint8))


def read(source):
    return list(source.regions(PAGE, allocate, lambda pages: None))


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def wait_for(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never happened")


def test_command_is_read_and_ended():
    code = f"import time\ndata = bytearray(b'marked page.') * (300 * {PAGE} // 12)\ntime.sleep(99)"
    with contextlib.closing(sources.run_command([sys.executable, "-c", code], after=0.5)) as source:
        regions = read(source)
        # the name is cut: where the interpreter lies may be long
        assert (
            source.kind == "process" and source.name.startswith(sys.executable[:40]) and str(source.pid) in source.name
        )
        assert "\n" not in source.name
    marked = sum((region.buffer.tobytes().count(b"marked page.") for region in regions if region.copies), 0)
    assert marked >= 299 * PAGE // 12
    # Its maps are those of the program, and it is gone and reaped.
    assert any("python" in mapping.name for mapping in source.mappings)
    assert not os.path.exists(f"/proc/{source.pid}")


@pytest.mark.parametrize("children, words", [(0, None), (1, "without the 1 process that it has started"),
                                             (2, "without the 2 processes that it has started")])  # fmt: skip
def test_what_a_command_starts_is_not_read_and_said(children, words):
    code = f"import os, time\nany(os.fork() == 0 for _ in range({children}))\ntime.sleep(99)"
    with contextlib.closing(sources.run_command([sys.executable, "-c", code], after=0.5)) as source:
        read(source)
        assert [words in line for line in source.warnings] == ([True] if words else [])


def test_stdout_goes_to_stderr(capfd):
    with contextlib.closing(sources.run_command(["sh", "-c", "echo said; exec sleep 99"], after=0.3)) as source:
        read(source)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "said\n")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["sh", "-c", "exit 7"], "status 7"),
        (["true"], "status 0"),
        (["sh", "-c", "kill -SEGV $$"], "signal 11"),
    ],
)
def test_command_that_ends_early(argv, words):
    with contextlib.closing(sources.run_command(argv, after=30)) as source:
        with pytest.raises(PksmError, match=words) as caught:
            read(source)
    assert argv[0] in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["no-such-command-here"], "no-such-command-here: command not found"),
        (["/"], "may not be executed"),
        ([], "no command"),
    ],
)
def test_command_that_does_not_start(argv, words):
    with pytest.raises(UsageError, match=words):
        sources.run_command(argv)


def test_file_without_a_format(tmp_path):
    path = tmp_path / "nothing"
    path.write_bytes(b"\0\0\0\0")
    path.chmod(0o755)
    with pytest.raises(UsageError, match="cannot be started"):
        sources.run_command([str(path)])


def test_group_and_stubborn_commands_are_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "GRACE_SECONDS", 0.1)
    noted = tmp_path / "pid"
    script = f"trap '' TERM; sleep 99 & echo $! > {noted}; while :; do sleep 0.05; done"
    source = sources.run_command(["sh", "-c", script], after=0)
    wait_for(lambda: noted.exists() and noted.read_text().strip())
    source.close()
    grandchild = int(noted.read_text())
    assert gone(source.pid)
    wait_for(lambda: gone(grandchild))
    source.close()  # once more does no harm


def test_settling_counts_from_the_start(monkeypatch):
    """Commands settle at the same time: what passed while one was waited for is not waited for again."""
    now, waits = 1000.0, []
    monkeypatch.setattr(command, "time", types.SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(command.CommandSource, "exited", lambda self, timeout=0: waits.append(timeout))
    with contextlib.closing(sources.run_command(["sleep", "99"], after=3)) as source:
        for now in (1001.0, 1002.5, 1010.0):
            read(source)
    assert [wait for wait in waits if wait] == [2.0, 0.5] and waits.count(0) == 1 + 3


SCANNER = """
import os, sys
from pksm import sources
source = sources.run_command(["sleep", "99"], after=99)
print(source.pid, flush=True)
try:
    next(source.regions(4096, None, None))
finally:
    if sys.argv[1] == "closes":
        source.close()
"""


@pytest.mark.parametrize(
    ("number", "closes"), [(signal.SIGINT, "closes"), (signal.SIGKILL, "dies"), (signal.SIGTERM, "dies")]
)
def test_no_orphan_is_left(number, closes):
    scanner = subprocess.Popen(
        [sys.executable, "-c", SCANNER, closes], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with scanner.stdout:
        pid = int(scanner.stdout.readline())
        assert not gone(pid)
        scanner.send_signal(number)
        scanner.wait(timeout=30)
    wait_for(lambda: gone(pid))
