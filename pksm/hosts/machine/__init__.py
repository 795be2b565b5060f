"""The simulated machine: processes with page tables over frames, as a host for policies that merge pages."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.hosts.machine.machine import Machine as Machine
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "Machine": "pksm.hosts.machine.machine",
        },
    )
