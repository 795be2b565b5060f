"""A new file appears whole or not at all, and takes the place of none but its like."""

import os
import stat

import pytest

from pksm.errors import PksmError, UsageError
from pksm.linux import new_file as module
from pksm.linux.new_file import new_file


@pytest.fixture(params=["without a name", "with one"])
def folder(request, tmp_path, monkeypatch):
    """A folder, on a file system that can make files without names, and on one that can't."""
    if request.param == "with one":
        real = os.open

        def without(path, flags, *rest, **more):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(module._WITHOUT[0], "not supported")
            return real(path, flags, *rest, **more)

        monkeypatch.setattr(module.os, "open", without)
    return tmp_path


def made(path, **more):
    return new_file(str(path), "notes", lambda head: head.startswith(b"note"), **more)


def test_it_appears_at_the_end_of_the_block(folder):
    path = folder / "new"
    with made(path) as new:
        new.write(lambda file: file.write(b"note 1"))
        assert not path.exists()
    assert path.read_bytes() == b"note 1" and stat.S_IMODE(path.stat().st_mode) == 0o600
    with made(path, mode=0o644) as new:
        new.write(lambda file: file.write(b"note 2"))
        assert path.read_bytes() == b"note 1"
    assert path.read_bytes() == b"note 2" and stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(folder) == ["new"]


def test_nothing_is_left_of_what_failed_or_wrote_nothing(folder):
    path = folder / "new"
    path.write_bytes(b"note 1")
    with pytest.raises(KeyboardInterrupt), made(path) as new:
        new.write(lambda file: file.write(b"note 2"))
        raise KeyboardInterrupt
    with made(path):
        pass
    with pytest.raises(ZeroDivisionError), made(path) as new:
        new.write(lambda file: 1 / 0)
    assert path.read_bytes() == b"note 1" and os.listdir(folder) == ["new"]


def test_an_error_of_the_block_is_not_taken_for_one_of_the_file(folder):
    with pytest.raises(FileNotFoundError), made(folder / "new"):
        open(folder / "other")


def test_what_holds_something_else_stays(folder):
    (folder / "other").write_bytes(b"precious")
    (folder / "link").symlink_to(folder / "old")
    (folder / "old").write_bytes(b"note 1")
    os.mkfifo(folder / "pipe")
    for name, words in [
        ("other", "does not hold notes"),
        ("link", "symbolic link"),
        ("pipe", "regular file"),
        (".", "directory"),
    ]:
        with pytest.raises(UsageError, match=words), made(folder / name):
            pass
    (folder / "empty").touch()
    with made(folder / "empty") as new:
        new.write(lambda file: file.write(b"note"))
    assert (folder / "empty").read_bytes() == b"note"
    assert (folder / "other").read_bytes() == b"precious" and (folder / "old").read_bytes() == b"note 1"


def test_a_file_that_cannot_be_written_is_one_line(folder):
    for path in (folder / "no" / "where", folder / "old" / "new"):
        (folder / "old").write_bytes(b"")
        with pytest.raises(PksmError, match="cannot be written"), made(path):
            pass
    with pytest.raises(PksmError, match="cannot be written: No space"), made(folder / "new") as new:
        with open("/dev/full", "wb", buffering=0) as full:
            new.write(lambda file: full.write(b"note"))
    assert os.listdir(folder) == ["old"]
