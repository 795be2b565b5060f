"""All that a worker gives up, in the one order in which it can, and what this kernel offers of it."""

import contextlib
from typing import NamedTuple

from pksm.linux.sandbox import capabilities, landlock, seccomp, system_call

_NO_NEW_PRIVS = 38


class Held(NamedTuple):
    """What holds.

    Attributes:
        no_new_privs: no program that is started gets more privileges.
        capabilities: there are none.
        landlock: no path can be opened.
        seccomp: only the system calls of a list can be made; this alone is enough.
    """

    no_new_privs: bool
    capabilities: bool
    landlock: bool
    seccomp: bool


def restrict() -> Held:
    """Give up all this kernel lets us give up, for good. Descriptors that are open stay open."""
    dropped = capabilities.keep_only()  # takes CAP_SETPCAP: first of all
    settled = False
    with contextlib.suppress(OSError):
        system_call.prctl(_NO_NEW_PRIVS, 1)
        settled = True
    return Held(settled, dropped, settled and landlock.restrict(), settled and seccomp.restrict())
