"""A live process as a source: its resident anonymous pages, copied without touching any other page."""

import contextlib
import errno
import os
import select

import numpy as np

from pksm.errors import PksmError, UnsupportedError, UsageError
from pksm.sources import base, pagemap, procmaps, readv
from pksm.sources.base import Region, State

REGION_PAGES = 1 << 16  # resident pages looked up and copied at a time
ZERO_CHECK_PAGES = 1 << 10
PF_KTHREAD = 0x00200000


class ProcessSource:
    """The memory of process `pid` while it runs. Raises UsageError or PksmError with the reason and the remedy.

    DATA: anonymous pages, private copies of file pages among them. EXCLUDED: resident but shared, of a file, of
    hugetlbfs, under userfaultfd, device memory, or lost while reading. HOLE: not resident, swapped out, or mapped
    to the kernel's zero page, which is no frame of its own.
    """

    kind = "process"

    def __init__(self, pid: int):
        self.pid = pid
        self.name = f"pid {pid}"
        self.mappings = []
        self.lost = 0
        self.warnings = []
        self._pidfd = _open_pidfd(pid)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def regions(self, page_size, allocate, progress):
        """Yield what is resident, by address, in copies of at most REGION_PAGES pages each.

        A process that ends meanwhile keeps what was read and counts the rest in `lost`; it is an error when nothing
        was read.
        """
        if page_size != pagemap.PAGE_SIZE:
            raise UsageError(
                f"{self.name}: page size {page_size}: live processes have pages of {pagemap.PAGE_SIZE} bytes"
            )
        self.lost, self.warnings = 0, []
        with self._opened() as (pages, memory):
            space = _guarded(self.pid, procmaps.read_address_space)
            if not pages.alive():
                raise ended_unread(self.name)
            self.mappings = space.mappings
            yield from _Reading(self, space, pages, memory).regions(allocate, progress)

    def close(self) -> None:
        """Let go of the process."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def exited(self, timeout_seconds: float = 0) -> bool:
        """Wait up to `timeout_seconds` for the process to end and tell whether it has."""
        return wait_for_exit(self._pidfd, timeout_seconds)

    def _check(self) -> None:
        """Refuse now what could not be read later, and learn the name."""
        self.name = f"pid {self.pid} ({_check_kind(self.pid)})"
        with self._opened():
            pass

    @contextlib.contextmanager
    def _opened(self):
        """Open (Pagemap, ProcessMemory); the pidfd tells that they are not those of a later process of this pid."""
        with contextlib.ExitStack() as stack:
            pages = stack.enter_context(contextlib.closing(_guarded(self.pid, pagemap.Pagemap)))
            memory = stack.enter_context(contextlib.closing(_guarded(self.pid, readv.ProcessMemory)))
            if self.exited():
                raise ended_unread(self.name)
            yield pages, memory


class _Reading:
    """One pass over the memory of a process."""

    def __init__(self, source, space, pages, memory):
        self.source = source
        self.space = space
        self.pages = pages
        self.memory = memory
        self.pages_read = 0
        self.pages_mapped_elsewhere = 0
        self.ended = False

    def regions(self, allocate, progress):
        """Yield the regions and leave the warnings in the source."""
        vmas = self.space.vmas
        if len(vmas) == 0:
            raise ended_unread(self.source.name)
        address = int(vmas["start"][0])
        # The next part is looked up when this one has been taken: little time passes between look-up and copy.
        for resident, reached in self.pages.resident(vmas, REGION_PAGES):
            self.ended = not self.pages.alive()  # a map that is not alive shows nothing resident
            if not self.ended:
                runs = runs_between(address, reached, vmas, resident)
                address = reached
                region = self._copy(runs, allocate, progress)
                if len(region.runs) and not (self.ended and self.pages_read == 0):
                    yield region
            if self.ended:
                break
        self._conclude()

    def _copy(self, runs, allocate, progress) -> Region:
        data = base.data_runs(runs)
        if len(data) == 0:
            return Region(None, runs)
        page_size = pagemap.PAGE_SIZE
        buffer = allocate(int(data["pages"].sum()))
        frames, exclusive = self.pages.frames(data)
        states = np.full(len(buffer), State.EXCLUDED, np.uint8)
        for head, end, lost in self.memory.read_runs(data, exclusive, buffer):
            if not self.pages.alive():  # after an exec the bytes may be those of the new program
                self.ended = True
                break
            states[head:end] = State.DATA if lost is None else np.where(lost, State.EXCLUDED, State.DATA)
            progress(end - head)
        self.source.lost += int((states == State.EXCLUDED).sum())
        if not self.pages.tells_zero_pages:
            suspects = (states == State.DATA) & ~exclusive
            states[_zero_mapped(buffer, frames, suspects)] = State.HOLE
        read = states == State.DATA
        self.pages_read += int(read.sum())
        self.pages_mapped_elsewhere += int((read & ~exclusive & (frames == 0)).sum())
        if not read.all():
            runs = base.mark_runs(runs, states, page_size)
        return Region(buffer, runs, frames, exclusive, allocated=True)

    def _conclude(self):
        source, page_size = self.source, pagemap.PAGE_SIZE
        if self.ended:
            if self.pages_read == 0:
                raise ended_unread(source.name)
            not_reached = self.space.anonymous_bytes // page_size - self.pages_read
            source.lost = max(source.lost, not_reached, 1)
            source.warnings.append(
                f"{source.name}: ended (or started another program) while it was read: "
                f"{self.pages_read} pages were read, about {source.lost} were lost"
            )
        elif source.lost:
            source.warnings.append(
                f"{source.name}: {source.lost} pages could not be read (unmapped meanwhile, or bad memory)"
            )
        if self.space.userfault_bytes:
            source.warnings.append(
                f"{source.name}: {self.space.userfault_bytes // page_size} resident pages are under userfaultfd "
                "and were not read"
            )
        if self.pages_mapped_elsewhere:
            source.warnings.append(
                f"{source.name}: {self.pages_mapped_elsewhere} pages are mapped more than once and their frame numbers "
                "are not told without root (CAP_SYS_ADMIN): frames shared after a fork count once for each process"
            )


def wait_for_exit(pidfd: int, timeout_seconds: float) -> bool:
    """Wait up to `timeout_seconds` for the process of a pidfd to end, without reaping it; tell whether it has."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_seconds * 1000))


def _open_pidfd(pid: int) -> int:
    if not isinstance(pid, int) or pid <= 0:
        raise UsageError(f"{pid}: not a process id; give a number above 0")
    try:
        return os.pidfd_open(pid)
    except (ProcessLookupError, OverflowError):
        raise PksmError(f"pid {pid}: no such process") from None
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):  # the answer for a thread's id, by kernel version
            raise PksmError(f"pid {pid}: is a thread; give the id of its process") from None
        if error.errno == errno.ENOSYS:
            raise UnsupportedError("reading live processes needs Linux 5.3 or newer") from None
        raise PksmError(f"pid {pid}: cannot be opened: {error.strerror}") from None


def ended_unread(name: str) -> PksmError:
    """Make the error for a process that left nothing."""
    return PksmError(f"{name}: ended before any of its memory was read")


def _check_kind(pid: int) -> str:
    """Return the name of the command of `pid`; refuse what has no memory of its own."""
    stat = _guarded(pid, _read_stat)
    name, fields = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
    if int(fields[6]) & PF_KTHREAD:
        raise PksmError(f"pid {pid} ({name}): is a kernel thread; it has no memory of its own to read")
    if fields[0] in "ZX":
        raise PksmError(f"pid {pid} ({name}): has ended already (zombie)")
    return name


def _read_stat(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        return stat.read()


def _guarded(pid: int, opener):
    """Call `opener(pid)`, which opens files of /proc/PID, and say why when they do not open."""
    try:
        return opener(pid)
    except PermissionError:
        raise PksmError(f"pid {pid}: {_refusal()}") from None
    except (FileNotFoundError, ProcessLookupError):
        raise PksmError(f"pid {pid}: ended, or /proc does not show it to this user") from None
    except OSError as error:
        raise PksmError(f"pid {pid}: its memory cannot be opened: {error.strerror}") from None


def _refusal() -> str:
    """Name the rule that forbids reading a process and the remedy."""
    rule = f"its memory may not be read: that takes the same user and ptrace allowed{_ptrace_scope()}"
    if os.geteuid() == 0:
        return f"{rule}, or CAP_SYS_PTRACE over it, which this root user lacks; run pksm outside the container"
    return f"{rule}; run pksm as root, or start the process as: pksm scan -- COMMAND"


def _ptrace_scope() -> str:
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as scope:
            return f" (kernel.yama.ptrace_scope = {scope.read().strip()})"
    except OSError:
        return " (kernel.yama.ptrace_scope)"


def runs_between(start: int, end: int, vmas: np.ndarray, resident: np.ndarray) -> np.ndarray:
    """Make the runs of the mapped part of [start, end): what is resident, and HOLE for the rest."""
    edges = [vmas["start"], vmas["end"], resident["start"], resident["end"], [start, end]]
    cuts = np.unique(np.clip(np.concatenate(edges), start, end))
    low, high = cuts[:-1], cuts[1:]
    vma, mapped = _holder(vmas, low)
    low, high, vma = low[mapped], high[mapped], vma[mapped]
    found, is_resident = _holder(resident, low)
    categories = np.zeros(len(low), np.uint64)
    categories[is_resident] = resident["categories"][found[is_resident]]
    out_of_reach = (categories & pagemap.PAGE_IS_FILE != 0) | vmas["barred"][vma]
    is_resident &= categories & pagemap.PAGE_IS_PFNZERO == 0
    states = np.full(len(low), State.HOLE, np.uint8)
    states[is_resident] = np.where(out_of_reach, State.EXCLUDED, State.DATA)[is_resident]
    states[vmas["device"][vma]] = State.EXCLUDED
    return base.make_runs(states, vma, low, (high - low) // pagemap.PAGE_SIZE)


def _holder(ranges: np.ndarray, address: np.ndarray):
    """Return (index, inside): the sorted range each address lies in, and whether it lies in any."""
    index = np.searchsorted(ranges["start"], address, "right") - 1
    inside = index >= 0
    inside[inside] = address[inside] < ranges["end"][index[inside]]
    return index, inside


def _zero_mapped(buffer: np.ndarray, frames: np.ndarray, suspects: np.ndarray) -> np.ndarray:
    """Return which of the `suspects` (bool) are mapped to the kernel's zero page, as buffer indexes.

    Without frame numbers a written zero page that is shared after a fork looks the same and is taken for one.
    """
    suspects = np.flatnonzero(suspects & ((frames == 0) | (frames == pagemap.zero_frame())))
    parts = [suspects[at : at + ZERO_CHECK_PAGES] for at in range(0, len(suspects), ZERO_CHECK_PAGES)]
    zero = [part[~buffer[part].view(np.uint64).any(axis=1)] for part in parts]
    return np.concatenate([*zero, np.empty(0, np.int64)])
