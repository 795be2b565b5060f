"""A 32-bit program: it is recorded by contents, and whatever would let it make calls refuses it in one line."""

import platform
import re
import struct
import subprocess

import pytest

from pksm.linux import soft_dirty

from support.cli_runs import is_one_line, run

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="calls are injected on x86-64 alone")
BASE, HEADERS = 0x08048000, 52 + 32
PAUSES = bytes.fromhex("b81d000000 cd80 ebf7")  # mov eax, 29 (pause); int 0x80; and again


def program():
    """Return the bytes of an ELF file of 32 bits that waits for signals."""
    size = HEADERS + len(PAUSES)
    head = b"\x7fELF\x01\x01\x01" + bytes(9)
    head += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, BASE + HEADERS, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    return head + struct.pack("<8I", 1, 0, BASE, BASE, size, size, 5, 4096) + PAUSES


@pytest.fixture
def waiting(tmp_path):
    path = tmp_path / "waits"
    path.write_bytes(program())
    path.chmod(0o755)
    try:
        process = subprocess.Popen([path])
    except OSError as error:
        pytest.skip(f"this kernel runs no 32-bit programs: {error.strerror}")
    with process:
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize(
    "words, code",
    [
        (["record", "--track", "writes", "-o", "FILE"], 77),
        (["opt-in"], 1),
        (["opt-in", "--dry-run"], 1),
    ],
)
def test_it_is_refused_in_one_line(capfd, tmp_path, waiting, words, code):
    words = [tmp_path / "a.pksmrec" if word == "FILE" else word for word in words]
    done = run(capfd, *words, "--pid", str(waiting))
    assert done.code == code and not done.out
    assert is_one_line(done.err, f"pid {waiting} (waits): is a 32-bit program")
    assert not (tmp_path / "a.pksmrec").exists()


@pytest.mark.skipif(not soft_dirty.why_not(), reason="soft-dirty bits track it")
def test_it_is_recorded_by_contents(capfd, tmp_path, waiting):
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            words = ["record", "--every", "10ms", "--duration", "30ms", "--pid", str(waiting)]
            alone = run(capfd, *words, "-o", tmp_path / "a")
            both = run(capfd, *words, "--pid", str(other.pid), "--track", "writes", "-o", tmp_path / "b")
        finally:
            other.kill()
    assert alone.code == 0 and f"pid {waiting} (waits)" in alone.out, alone.err
    assert both.code == 0 and "1 could not be tracked" in " ".join(both.out.split()), both.err
    why = rf"pid {waiting} \(waits\): is a 32-bit program; [^\n]*; its pages are compared by content\n"
    assert re.search(why, both.err), both.err
