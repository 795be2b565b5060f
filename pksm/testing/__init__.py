"""Proofs of what is not ours: a host, a policy, a reader of your own."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.testing.host import check_host as check_host
    from pksm.testing.policy import check_policy as check_policy
    from pksm.testing.source import check_source as check_source
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "check_host": "pksm.testing.host",
            "check_policy": "pksm.testing.policy",
            "check_source": "pksm.testing.source",
        },
    )
