"""Which processes have one memory between them: as after vfork, or made with CLONE_VM and without CLONE_THREAD."""

import ctypes
import errno
import functools
import itertools
import os
from collections.abc import Iterable, Sequence

import numpy as np

from pksm.linux.proc import pagemap, tasks

KCMP_VM = 1
EQUAL, LESS = 0, 1
# The numbers of kcmp by machine: the C library has no function for it.
_NUMBERS = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "loongarch64": 272, "s390x": 343, "ppc64le": 354}
_number = _NUMBERS.get(os.uname().machine)
_syscall = ctypes.CDLL(None, use_errno=True).syscall


def of_one_memory(pids: Iterable[int]) -> list[list[int]]:
    """Return the processes that have one memory, in groups of two or more, each in the order given.

    The kernel is asked about those alone whose programs lie at the same addresses, as forks do. Where it does not
    answer, a memory is known by the frame of its stack's first page, if that is mapped once and its number is shown.
    What is not known is not in any group.
    """
    alike: dict[tuple[int, int, int], list[int]] = {}
    for pid in pids:
        layout = tasks.layout(pid)
        if layout is not None and any(layout):
            alike.setdefault(layout, []).append(pid)
    groups = []
    for (_, _, stack), candidates in alike.items():
        if len(candidates) > 1:
            groups += _equal(candidates) if _compares() else _of_one_frame(candidates, stack)
    return groups


def _kcmp(one: int, other: int) -> int:
    """Return EQUAL, LESS or more; below 0 when the kernel does not say."""
    return -1 if _number is None else int(_syscall(_number, one, other, KCMP_VM, 0, 0))


def _compares() -> bool:
    return _kcmp(os.getpid(), os.getpid()) == EQUAL


def _equal(pids: Sequence[int]) -> list[list[int]]:
    """Group by what kcmp says, which orders memories as it compares them."""
    threads = {}
    for pid in pids:
        thread = _living_thread(pid)
        if thread is not None and _kcmp(thread, thread) == EQUAL:
            threads[pid] = thread

    def compare(one: int, other: int) -> int:
        answer = _kcmp(threads[one], threads[other])
        return 0 if answer == EQUAL else -1 if answer == LESS else 1

    groups: list[list[int]] = []
    ordered = sorted(threads, key=functools.cmp_to_key(compare))
    for one, other in itertools.pairwise(ordered):
        if compare(one, other) == 0:
            if groups and groups[-1][-1] == one:
                groups[-1].append(other)
            else:
                groups.append([one, other])
    return groups  # sorting keeps the order of equals


def _of_one_frame(pids: Sequence[int], address: int) -> list[list[int]]:
    """Group by the frame at an address, where it is mapped once: two page tables can't both have it."""
    found: dict[int, list[int]] = {}
    for pid in pids:
        frame = _own_frame(pid, address)
        if frame:
            found.setdefault(frame, []).append(pid)
    return [group for frame, group in found.items() if len(group) > 1 and _own_frame(group[0], address) == frame]


def _own_frame(pid: int, address: int) -> int:
    """Return the frame of a page of a process if it is mapped once and its number is shown, else 0."""
    try:
        with open(f"{tasks.directory(pid)}/pagemap", "rb", buffering=0) as file:
            entry = np.frombuffer(os.pread(file.fileno(), 8, address // pagemap.PAGE_SIZE * 8), np.uint64)
    except (OSError, OverflowError):
        return 0
    exclusive = len(entry) > 0 and bool(pagemap.is_exclusive(pagemap.flags_of(entry))[0])
    return int(entry[0] & pagemap.PM_PFN) if exclusive else 0


def _living_thread(pid: int) -> int | None:
    try:
        return tasks.living_thread(pid)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH, errno.EACCES):
            return None
        raise
