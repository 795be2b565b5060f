"""Which processes there are: all of them, or those of a control group."""

import os

from pksm.errors import PksmError, UsageError
from pksm.linux import text
from pksm.linux.proc import access, tasks

CGROUP_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


def all_pids() -> list[int]:
    """Return the ids of all processes with memory that /proc shows, but our own, in order."""
    access.check_namespace()
    own = os.getpid()
    return [pid for pid in tasks.pids() if pid != own and _may_have_memory(pid)]


def _may_have_memory(pid: int) -> bool:
    """Whether this is neither a kernel thread nor a zombie, whose memory is gone."""
    try:
        stat = tasks.read_stat(pid)
        if stat.is_kernel_thread:
            return False
        return stat.state not in tasks.ENDED_STATES or tasks.living_thread(pid) is not None
    except (OSError, PksmError):
        return True  # whoever opens it finds out why


def find_cgroup(path: "str | os.PathLike[str]") -> str:
    """Return the directory of a control group: given as it is, or as in /proc/PID/cgroup, below where groups are.

    Raises UsageError when there is none.
    """
    path = os.fspath(path)
    below = [os.path.join(mount, path.lstrip("/")) for mount in CGROUP_MOUNTS]
    for directory in (path, *below):
        if os.path.isfile(os.path.join(directory, "cgroup.procs")):
            return os.path.realpath(directory)
    if os.path.isdir(path):
        raise UsageError(f"{path}: is not a control group: it has no file cgroup.procs")
    raise UsageError(f"{path}: no such control group, here or under {CGROUP_MOUNTS[0]}")


def cgroups_below(path: str) -> list[str]:
    """Return the names of the control groups right below one, which is given as for find_cgroup; "" for the first ones."""
    for above in (path, *(os.path.join(mount, path.lstrip("/")) for mount in CGROUP_MOUNTS)):
        if above and _is_below_a_mount(above):
            try:
                with os.scandir(above) as entries:
                    return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
            except OSError:
                continue
    return []


def _is_below_a_mount(path: str) -> bool:
    return any(os.path.commonpath([mount, os.path.abspath(path)]) == mount for mount in CGROUP_MOUNTS)


def cgroup_pids(directory: str) -> list[int]:
    """Return the ids of all processes with memory in a control group and those below it, but our own, in order.

    Raises PksmError when the group itself can't be read; one below it may vanish meanwhile.
    """
    pids = _members(directory)
    for folder, _, _ in os.walk(directory):
        if folder != directory:
            try:
                pids |= _members(folder)
            except PksmError:
                continue  # removed meanwhile: its processes had ended
    pids -= {os.getpid(), 0}  # 0: a process of a namespace that is not seen from here
    return sorted(pid for pid in pids if _may_have_memory(pid))


def _members(directory: str) -> set[int]:
    try:
        numbers = map(text.number, text.lines(text.read(os.path.join(directory, "cgroup.procs"))))
    except OSError as error:
        raise PksmError(f"{directory}: its processes cannot be listed: {error.strerror}") from None
    return {pid for pid in numbers if pid is not None}


def own_cgroups() -> dict[str, str]:
    """Return the control groups we are in, {controllers: path}; "" stands for the unified hierarchy's."""
    return _cgroups_of("self")


def cgroup_of(pid: int) -> str:
    """Return the control group of a process, as a path below where groups are; "" where it is not known."""
    groups = _cgroups_of(str(pid))
    return groups.get("") or groups.get("memory", "")


def _cgroups_of(process: str) -> dict[str, str]:
    rows = [line.split(b":", 2) for line in text.lines(text.read_if_any(f"/proc/{process}/cgroup") or b"")]
    return {text.decoded(row[1]): os.fsdecode(row[2]) for row in rows if len(row) == 3}


def is_in_cgroup(directory: str) -> bool:
    """Return whether we are in a control group or below it; True where that cannot be known."""
    path = own_cgroups().get("")
    return path is None or any(f"{mount}{path}/".startswith(f"{directory}/") for mount in CGROUP_MOUNTS)


def is_frozen(directory: str) -> bool:
    """Return whether all processes of a control group stand still."""
    return b"frozen 1" in text.lines(text.read_if_any(os.path.join(directory, "cgroup.events")) or b"")


def own_line() -> set[int]:
    """Return our process and all its ancestors."""
    line, pid = set[int](), os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        try:
            pid = tasks.read_stat(pid).parent
        except OSError:
            break  # of another namespace, or ended
    return line


def children_of(pid: int) -> list[str]:
    """Return the pids of the processes that the first thread of a process has started and that are there."""
    return text.decoded(text.read_if_any(f"/proc/{pid}/task/{pid}/children") or b"").split()
