"""Files that processes map shared: RAM files of guests with share=on, databases, other shared memory."""

import fcntl
import os
import re
import signal
from collections.abc import Iterable

from pksm.linux import text
from pksm.linux.proc import tasks

# An area that may be written and is shared: start, end, device, inode.
_SHARED = re.compile(
    rb"^([0-9a-f]{1,16})-([0-9a-f]{1,16}) .w.s [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) ([0-9]{1,20}) ", re.MULTILINE
)

Identity = tuple[int, int]  # st_dev and st_ino


def identity(path: str) -> Identity | None:
    """Return what distinguishes a file from all others; None where it is gone."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino


def may_be_shared(path: str) -> bool:
    """Return whether anybody may have the file open for writing, as is who maps it shared and writable.

    A lease is had for a moment where nobody has: that is quicker than to look through all processes.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return False
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # is ignored; comes if somebody opens the file this moment
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return True  # somebody has, or it is not our file, or its file system knows no leases
    finally:
        os.close(fd)
    return False


def sharers(files: Iterable[Identity]) -> dict[Identity, list[int]]:
    """Return the ids of other processes that map files shared and writable, of those whose mappings may be read.

    Files that nobody maps so are not in it. All processes are looked at once, however many files there are.
    """
    of_inode: dict[bytes, list[Identity]] = {}
    for file in files:
        of_inode.setdefault(b"%d" % file[1], []).append(file)
    found: dict[Identity, list[int]] = {}
    own = os.getpid()
    for pid in tasks.pids() if of_inode else ():
        if pid != own:
            for file in _shared_of(pid, of_inode):
                found.setdefault(file, []).append(pid)
    return found


def _shared_of(pid: int, of_inode: dict[bytes, list[Identity]]) -> set[Identity]:
    data = text.read_if_any(f"/proc/{pid}/maps") or b""
    areas = [area.groups() for area in _SHARED.finditer(data)] if b"s " in data else []
    return {
        file
        for start, end, place, inode in areas
        for file in of_inode.get(inode, ())
        if _is_it(pid, int(start, 16), int(end, 16), place, file)
    }


def _is_it(pid: int, start: int, end: int, place: bytes, file: Identity) -> bool:
    """Whether an area's inode is that of a file's device, which some file systems (btrfs, overlayfs) show otherwise."""
    if place == b"%02x:%02x" % (os.major(file[0]), os.minor(file[0])):
        return True
    return identity(f"/proc/{pid}/map_files/{start:x}-{end:x}") == file
