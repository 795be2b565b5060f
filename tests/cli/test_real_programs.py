"""Redis servers and Python interpreters: within 0.5 % of a count made beside, page by page, without any code of ours."""

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys

import pytest

from support.cli_runs import run
from support.writers import programs

PAGE = os.sysconf("SC_PAGESIZE")
TOLERANCE = 0.005
PRESENT, FILE = 1 << 63, 1 << 61
NUMBER = (1 << 55) - 1
INTERPRETER = """
import random, sys
rng = random.Random("all")
records = {f"record {n}": [rng.random() for _ in range(8)] for n in range(20_000)}
text = "a line of text that all of them have\\n" * 100_000
own = random.Random(sys.argv[1]).randbytes(4 << 20)
empty = bytearray(4 << 20)
empty[0] = 1
print("ready", flush=True)
sys.stdin.read()
"""


def counted(pids):
    """Count frames of anonymous memory with plain sets: {pages, zero, distinct}. As slow as it is simple."""
    frames, alone = {}, []
    for pid in pids:
        with (
            open(f"/proc/{pid}/maps") as maps,
            open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap,
            open(f"/proc/{pid}/mem", "rb", 0) as memory,
        ):
            for line in maps:
                bounds, access = line.split()[:2]
                start, end = (int(bound, 16) for bound in bounds.split("-"))
                if "vvar" in line or "vsyscall" in line or access.endswith("s"):
                    continue
                entries = os.pread(pagemap.fileno(), (end - start) // PAGE * 8, start // PAGE * 8)
                for at, (entry,) in enumerate(struct.iter_unpack("<Q", entries)):
                    if entry & PRESENT and not entry & FILE:
                        content = os.pread(memory.fileno(), PAGE, start + at * PAGE)
                        if entry & NUMBER:
                            frames[entry & NUMBER] = content
                        else:
                            alone.append(content)
    contents = [content for content in [*frames.values(), *alone] if len(content) == PAGE]
    zero = contents.count(bytes(PAGE))
    return {"pages": len(contents), "zero": zero, "distinct": len(set(contents))}


@contextlib.contextmanager
def interpreters(count):
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", INTERPRETER, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            for number in range(count)
        ]
        for process in processes:
            assert process.stdout.readline() == b"ready\n"
        yield [process.pid for process in processes]


@contextlib.contextmanager
def redis_servers(count, directory):
    """Run servers that have the same 20,000 keys, and give their pids."""
    with contextlib.ExitStack() as stack:
        pids = []
        for number in range(count):
            name = f"{number}.sock"
            command = ["redis-server", "--port", "0", "--unixsocket", name, "--save", ""]
            server = stack.enter_context(subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL))
            stack.callback(server.kill)
            _fill(server, directory, name)
            pids.append(server.pid)
        yield pids


def _fill(server, directory, name):
    with socket.socket(socket.AF_UNIX) as talk:
        programs.connect(talk, directory, name, server)
        with talk.makefile("rb") as answers:
            for number in range(20_000):
                talk.sendall(b"SET key:%d %s\r\n" % (number, b"%d-" % number * 40))
                assert answers.readline() == b"+OK\r\n"


def compare(capfd, pids):
    """Scan, and count beside it while all stand still."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        done = run(capfd, "scan", "--json", *(word for pid in pids for word in ("--pid", str(pid))))
        beside = counted(pids)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    totals = json.loads(done.out)["totals"]
    assert done.code == 0, done.err
    for name, count in beside.items():
        assert abs(totals[name] - count) <= TOLERANCE * beside["pages"], (name, totals, beside)
    return totals


@pytest.fixture
def frames_told():
    if os.geteuid():
        pytest.skip("frame numbers are told to root (CAP_SYS_ADMIN) only")


def test_four_interpreters(capfd, frames_told):
    with interpreters(4) as pids:
        totals = compare(capfd, pids)
    assert totals["zero"] >= 4 * 1000 and totals["duplicates"] >= 3 * 1000


def test_two_redis_servers(capfd, frames_told, tmp_path):
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    with redis_servers(2, tmp_path) as pids:
        totals = compare(capfd, pids)
    assert totals["duplicates"] > totals["pages"] // 20
