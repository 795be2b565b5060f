"""Bytes that cannot be read when they are to be compared: the line names the file, and the cause."""

import errno
import os

import pytest

from pksm import sources
from pksm.errors import BusError
from pksm.sources.opening import naming_files_at_fault

MIB = 1 << 20


@pytest.fixture
def opened(tmp_path):
    """Two open images of 20 MiB."""
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        path.write_bytes(bytes(range(1, 129)) * (20 * MIB // 128))
    found = [sources.open_target(path) for path in paths]
    yield found
    for source in found:
        source.close()


def fault_of(opened):
    with pytest.raises(BusError) as caught, naming_files_at_fault(opened):
        raise BusError("somewhere")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_that_shrank(opened):
    os.truncate(opened[1].name, MIB)
    assert fault_of(opened).startswith(f"{opened[1].name}: the file became shorter")


def test_a_device_that_fails_is_not_a_file_that_shrank(opened, monkeypatch):
    pread, broken = os.pread, opened[1].file.fd

    def failing(fd, size, offset):
        if fd == broken and offset + size > 17 * MIB:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, size, offset)

    monkeypatch.setattr(os, "pread", failing)
    line = fault_of(opened)
    assert line.startswith(f"{opened[1].name}: cannot be read at byte {16 * MIB}: Input/output error; scan a copy")
    assert "short" not in line and "shrank" not in line


def test_a_fault_that_is_over(opened):
    line = fault_of(opened)
    assert line.startswith(f"{opened[0].name} or 1 more: bytes could not be read for a while") and "shrank" not in line


def test_without_files_it_stays_as_it_is():
    assert fault_of([]) == "somewhere"
