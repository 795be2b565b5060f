"""The signal frame by which a thread returns to where it was: what rt_sigreturn restores."""

import struct

from pksm.errors import PksmError
from pksm.linux.inject.ptrace import Registers

RED_ZONE = 128  # bytes below the stack pointer that belong to the program
_CONTEXT = struct.Struct("<QQ QiiQ 18Q 4H QQQQQ 64x Q")  # behind the address of the restorer: a ucontext
_SIGINFO_BYTES = 128
_FLAGS = 1 | 2 | 4  # XSAVE state follows; SS is saved, and restored as it is
_NO_STACK = 0x7FFF  # flags of no alternate stack: the kernel leaves the present one
_MAGIC_1, _MAGIC_2 = 0x46505853, 0x46505845
_SOFTWARE = 464  # offset in the state: words for software
_HEADER = 512  # offset in the state: which components are in use
_LEAST_STATE = 576
_PKRU, _AMX = 1 << 9, 3 << 17
_TILES_AT = 2752  # offset of the tiles, which come last; threads that never used them have no place for them
_ORDER = ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp")
_RESTARTS = {512, 513, 514, 516}  # errors by which the kernel marks calls that it begins again
_EINTR = 4
# epoll_wait, epoll_pwait, epoll_pwait2, semop, semtimedop, rt_sigtimedwait, io_getevents, io_pgetevents:
# any stop ends them with EINTR.
_ENDED_BY_STOPS = {232, 281, 441, 65, 220, 128, 208, 333}
_CALL_BYTES = 2


def resumed(registers: Registers) -> Registers:
    """Return registers with which the call that a stop has interrupted begins anew, as a whole."""
    made, error = registers.copy(), -registers.signed("rax")
    call = registers.signed("orig_rax")
    if call >= 0 and (error in _RESTARTS or (error == _EINTR and call in _ENDED_BY_STOPS)):
        made.rax, made.rip = registers.orig_rax, registers.rip - _CALL_BYTES
    made.orig_rax = (1 << 64) - 1
    return made


def build(registers: Registers, vector_state: bytes, blocked: int, restorer: int) -> tuple[int, bytes]:
    """Return the address and the bytes of a frame.

    Args:
        registers: which it restores.
        vector_state: the same, of the vector registers.
        blocked: the same, signals.
        restorer: address of code that calls rt_sigreturn.

    Raises:
        PksmError: this state cannot be put in a frame.
    """
    state = _state(vector_state)
    size = 8 + _CONTEXT.size + _SIGINFO_BYTES
    state_at = (registers.rsp - RED_ZONE - len(state)) & ~63
    at = (state_at - size) & ~15
    at -= 8  # as a call leaves the stack: the restorer's address on top
    context = _CONTEXT.pack(
        *(_FLAGS, 0, 0, _NO_STACK, 0, 0),
        *(getattr(registers, name) for name in _ORDER),
        *(registers.rip, registers.eflags),
        *(registers.cs & 0xFFFF, registers.gs & 0xFFFF, registers.fs & 0xFFFF, registers.ss & 0xFFFF),
        *(0, 0, blocked, 0, state_at, blocked),
    )
    frame = struct.pack("<Q", restorer) + context
    return at, frame + bytes(state_at - at - len(frame)) + state


def _state(saved: bytes) -> bytes:
    """Return the vector state as signal frames have it."""
    if len(saved) < _LEAST_STATE:
        raise PksmError("this processor has no XSAVE")
    [in_use] = struct.unpack_from("<Q", saved, _HEADER)
    [there] = struct.unpack_from("<Q", saved, _SOFTWARE)
    size = len(saved)
    if size > _TILES_AT and not in_use & _AMX:
        there &= ~_AMX
        size = 2696 if there & _PKRU else 2688
    state = bytearray(saved[:size])
    struct.pack_into("<IIQI28x", state, _SOFTWARE, _MAGIC_1, size + 4, there, size)
    return bytes(state) + struct.pack("<I", _MAGIC_2)
