"""The directory for what has to outlive a run of pksm until the next one: this user's alone, gone with the boot."""

import json
import os
from collections.abc import Mapping
from typing import Any

from pksm.errors import UnsupportedError
from pksm.linux import text

DIRECTORY = "/run/pksm"  # root's
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def directory() -> str | None:
    """Return the directory's path; None for a user who has none (see XDG_RUNTIME_DIR)."""
    if os.geteuid() == 0:
        return DIRECTORY
    home = os.environ.get("XDG_RUNTIME_DIR", "")
    return os.path.join(home, "pksm") if os.path.isabs(home) else None


def open_directory(path: str | None = None) -> int:
    """Open a directory of ours, which is made if it is not there, and return its descriptor. path: None for directory().

    Raises:
        UnsupportedError: it cannot be made, or somebody else could put something there.
    """
    path = path or directory()
    if path is None:
        raise UnsupportedError("XDG_RUNTIME_DIR: not set: pksm keeps there what has to outlive a run")
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise UnsupportedError(
            f"{path}: cannot be made: {error.strerror}: pksm keeps there what has to outlive a run"
        ) from None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise UnsupportedError(f"{path}: cannot be opened: {error.strerror}: remove it") from None
    facts = os.fstat(fd)
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        os.close(fd)
        user = "root" if os.geteuid() == 0 else "this user"
        raise UnsupportedError(f"{path}: others than {user} may use it: remove it")
    return fd


def write_record(fd: int, facts: Mapping[str, Any]) -> None:
    """Write a record into an empty file, with the boot that it is of."""
    data = json.dumps({"boot_id": _boot_id(), **facts}).encode("ascii")
    with open(fd, "wb", closefd=False) as file:
        file.write(data)


def replace_record(directory: int, name: str, facts: Mapping[str, Any]) -> None:
    """Write a record into a directory, in place of one with that name: the old one or the new one is there at any time."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(f"{name}.new", flags, 0o600, dir_fd=directory)
    try:
        write_record(fd, facts)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(f"{name}.new", name, src_dir_fd=directory, dst_dir_fd=directory)


def parse_record(data: bytes) -> dict[str, Any] | None:
    """Return what write_record() wrote; None for what is damaged, or of another boot."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("boot_id") == _boot_id() else None


def _boot_id() -> str:
    return text.decoded(text.read_if_any(BOOT_ID) or b"").strip()
