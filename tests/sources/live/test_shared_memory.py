"""Files that guests map shared, wherever they lie: a kernel merges private memory only, which is said with the remedy."""

import contextlib
import os
import subprocess
import sys
import tempfile

import pytest

from pksm import scan, sources
from pksm.linux.proc.shared_files import identity, may_be_shared, sharers

MAP_AND_WAIT = """
import mmap, sys
flags = {"shared": mmap.MAP_SHARED, "private": mmap.MAP_PRIVATE}[sys.argv[2]]
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0, flags=flags) as memory:
    print("mapped", flush=True)
    sys.stdin.read()
"""
PLACES = ["/dev/shm", "/var/tmp"]  # a file that is memory, as with memory-backend-memfd, and one on a disk


@contextlib.contextmanager
def guest(path, kind):
    """A process that has mapped a file."""
    command = [sys.executable, "-c", MAP_AND_WAIT, path, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"mapped\n"
        yield process
        process.stdin.close()


@contextlib.contextmanager
def ram_file(place):
    if not os.access(place, os.W_OK):
        pytest.skip(f"no {place} here")
    with tempfile.NamedTemporaryFile(dir=place, prefix="pksm-test-") as file:
        file.write(b"x" * 8192)
        file.flush()
        yield file.name


def said_of(*paths):
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(contextlib.closing(sources.open_target(path))) for path in paths]
        return [line for line in scan.scan(opened)["warnings"] if "share=off" in line]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("kind", "said"), [("shared", True), ("private", False)])
def test_a_ram_file_that_a_guest_shares_is_said_to_be_out_of_reach(place, kind, said):
    with ram_file(place) as path:
        with guest(path, kind) as process:
            lines = said_of(path)
            assert len(lines) == said
            assert all(line.startswith(f"{path}: ") and f"process {process.pid} " in line for line in lines)
        assert said_of(path) == [], "nobody shares it any more"


def test_of_several_files_each_is_told_with_its_processes():
    with ram_file("/var/tmp") as one, ram_file("/dev/shm") as other, ram_file("/var/tmp") as free:
        with guest(one, "shared") as first, guest(one, "shared") as second, guest(other, "shared") as third:
            found = sharers([identity(path) for path in (one, other, free)])
            assert found == {identity(one): sorted([first.pid, second.pid]), identity(other): [third.pid]}
            lines = said_of(one, free, other)
        assert len(lines) == 2 and " and 1 more maps shared" in lines[0]


@pytest.mark.parametrize("place", PLACES)
def test_where_nobody_writes_no_process_is_looked_at(place):
    with ram_file(place) as path, open(path, "rb"):
        assert may_be_shared(path), "we write it ourselves"
        copy = f"{path}-copy"
        with open(copy, "xb") as file:
            file.write(b"x")
        try:
            assert not may_be_shared(copy)
            with guest(copy, "shared"):
                assert may_be_shared(copy)
        finally:
            os.unlink(copy)


def test_a_file_that_has_gone_is_no_file():
    assert identity("/nowhere/at/all") is None and sharers([]) == {} and not may_be_shared("/nowhere/at/all")
