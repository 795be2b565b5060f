"""Opting in to the kernel's KSM with all memory of a process, and what a process has opted in."""

import errno

from pksm.errors import PksmError, UnsupportedError
from pksm.linux import text
from pksm.linux.sandbox import system_call

MERGE_ANY = 67  # PR_SET_MEMORY_MERGE
_ABOUT = "this kernel merges no whole processes: that takes Linux 6.4 with CONFIG_KSM"


def merge_any(on: bool) -> None:
    """Let KSM merge all memory of this process that it can, now and later; off: nothing of it any more.

    Children inherit it. It needs no privilege.

    Raises:
        UnsupportedError: the kernel has no such thing.
        PksmError: it refuses.
    """
    try:
        system_call.prctl(MERGE_ANY, int(on))
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise UnsupportedError(_ABOUT) from None
        raise PksmError(f"prctl(PR_SET_MEMORY_MERGE): the system refuses: {error.strerror}") from None


def merges_any(pid: int) -> bool | None:
    """Return whether a process has let KSM merge all of its memory; None where the kernel does not say."""
    said = text.read_if_any(f"/proc/{pid}/ksm_stat")
    found = None if said is None else text.field(said, "ksm_merge_any")
    return None if found is None else found == b"yes"
