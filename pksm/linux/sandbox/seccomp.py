"""seccomp: from now on this process makes only the system calls that reading descriptors and computing take.

Whatever is not in the list fails with EPERM: no program is started, nothing opened, connected, traced or forked.
"""

import ctypes
import os
import platform
import struct
from typing import NamedTuple

from pksm.linux.sandbox import system_call

_SECCOMP = {"x86_64": 317, "aarch64": 277}  # seccomp() itself
_SET_FILTER, _ACTION_AVAILABLE, _SPECULATE = 1, 2, 4
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM = 1
_LOAD, _EQUAL, _GREATER_EQUAL, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of classic BPF
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data, little endian
_X32 = 0x40000000  # the calls of another ABI begin here
_PROT_EXEC = 4


class Architecture(NamedTuple):
    """AUDIT_ARCH of an architecture, and which of the columns of CALLS is its own."""

    audit: int
    column: int


ARCHITECTURES = {"x86_64": Architecture(0xC000003E, 0), "aarch64": Architecture(0xC00000B7, 1)}
# {call: its numbers on x86-64 and arm64}; None where there is none.
CALLS: dict[str, tuple[int | None, int | None]] = {
    # descriptors that are there
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "fstatfs": (138, 44),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "preadv": (295, 69),
    "dup": (32, 23),
    "fadvise64": (221, 223),
    "poll": (7, None),
    "ppoll": (271, 73),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    # memory
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    # time and this process
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getrusage": (98, 165),
    "times": (100, 153),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrandom": (318, 278),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# Calls that are allowed with some values of an argument only.
_NOT_EXECUTABLE = {"mmap": (9, 222), "mprotect": (10, 226)}  # their third one
_FCNTL, _FCNTL_COMMANDS = (72, 25), (1, 2, 3, 4, 1030)  # F_GETFD to F_SETFL, F_DUPFD_CLOEXEC
_TGKILL, _SIGABRT = (234, 131), 6  # abort(): a process that could send itself others could stop, and never answer

Instruction = tuple[int, int, int, int]


def is_offered() -> bool:
    """Return whether this kernel and architecture have what restrict() needs."""
    machine = platform.machine()
    if machine not in ARCHITECTURES or struct.calcsize("P") != 8:
        return False
    try:
        system_call.call(_SECCOMP[machine], _ACTION_AVAILABLE, 0, ctypes.byref(ctypes.c_uint32(REFUSE)))
    except OSError:
        return False
    return True


def restrict() -> bool:
    """Let the kernel refuse all calls but those of the list, in this thread. It has no_new_privs already.

    Returns:
        Whether the kernel has done it.
    """
    if not is_offered():
        return False
    machine = platform.machine()
    instructions = program(ARCHITECTURES[machine], os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in instructions))
    filter_ = ctypes.create_string_buffer(struct.pack("=H6xQ", len(instructions), ctypes.addressof(code)), 16)
    for flags in (_SPECULATE, 0):  # before Linux 4.17 the first is unknown
        try:
            system_call.call(_SECCOMP[machine], _SET_FILTER, flags, filter_)
            return True
        except OSError:
            continue
    return False


def program(architecture: Architecture, pid: int) -> list[Instruction]:
    """Return the filter as instructions of BPF: (code, jump if true, jump if false, operand).

    Args:
        architecture: one of ARCHITECTURES.
        pid: of this process, the only one that may be signalled.
    """
    column = architecture.column
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture.audit),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_GREATER_EQUAL, 0, 1, _X32),
        (_RETURN, 0, 0, KILL),
    ]
    for numbers in CALLS.values():
        number = numbers[column]
        if number is not None:
            lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, ALLOW)]
    for pair in _NOT_EXECUTABLE.values():
        lines += _if_call(pair[column], [_load_argument(2), (_BITS, 1, 0, _PROT_EXEC), (_RETURN, 0, 0, ALLOW)])
    lines += _if_call(_FCNTL[column], _if_argument(1, _FCNTL_COMMANDS))
    to_itself = [_load_argument(0), (_EQUAL, 0, 3, pid)]
    lines += _if_call(_TGKILL[column], [*to_itself, *_if_argument(2, (_SIGABRT,))])
    return [*lines, _refuse()]


def _if_call(number: int, checks: list[Instruction]) -> list[Instruction]:
    """Run the checks, which allow or fall through, for one call; refuse it behind them."""
    return [(_EQUAL, 0, len(checks) + 1, number), *checks, _refuse()]


def _if_argument(place: int, values: tuple[int, ...]) -> list[Instruction]:
    allowed = [line for value in values for line in ((_EQUAL, 0, 1, value), (_RETURN, 0, 0, ALLOW))]
    return [_load_argument(place), *allowed]


def _load_argument(place: int) -> Instruction:
    """Load the lower half of an argument: the kernel takes these as 32 bits."""
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * place)


def _refuse() -> Instruction:
    return (_RETURN, 0, 0, REFUSE | EPERM)
