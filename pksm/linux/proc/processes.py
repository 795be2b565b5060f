"""Which processes there are: all of them, or those of a control group."""

import os

from pksm.errors import PksmError, UsageError

CGROUP_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


def all_pids() -> list[int]:
    """Return the ids of all processes that /proc shows, but our own, in order."""
    own = os.getpid()
    return sorted(int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != own)


def find_cgroup(path) -> str:
    """Return the directory of a control group: given as it is, or as in /proc/PID/cgroup, below where groups are.

    Raises UsageError when there is none.
    """
    path = os.fspath(path)
    below = [os.path.join(mount, path.lstrip("/")) for mount in CGROUP_MOUNTS]
    for directory in (path, *below):
        if os.path.isfile(os.path.join(directory, "cgroup.procs")):
            return os.path.realpath(directory)
    if os.path.isdir(path):
        raise UsageError(f"{path}: is no control group: it has no file cgroup.procs")
    raise UsageError(f"{path}: no such control group, here or under {CGROUP_MOUNTS[0]}")


def cgroup_pids(directory: str) -> list[int]:
    """Return the ids of all processes in a control group and those below it, but our own, in order.

    Raises PksmError when the group itself can't be read; one below it may vanish meanwhile.
    """
    pids = _members(directory)
    for folder, _, _ in os.walk(directory):
        if folder != directory:
            try:
                pids |= _members(folder)
            except PksmError:
                continue  # removed meanwhile: its processes had ended
    return sorted(pids - {os.getpid(), 0})  # 0: a process of a namespace that is not seen from here


def _members(directory):
    try:
        with open(os.path.join(directory, "cgroup.procs"), encoding="ascii") as procs:
            return set(map(int, procs))
    except OSError as error:
        raise PksmError(f"{directory}: its processes cannot be listed: {error.strerror}") from None


def own_line() -> set[int]:
    """Return our process and all its ancestors."""
    line, pid = set(), os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                pid = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            break  # of another namespace, or ended
    return line
