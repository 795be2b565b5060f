"""Proofs of what is not ours: a host, a policy of your own."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.testing.host import check_host
    from pksm.testing.policy import check_policy

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "check_host": "pksm.testing.host",
        "check_policy": "pksm.testing.policy",
    },
)
