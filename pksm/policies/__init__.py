"""Who merges: a file or folder for each policy, found by name."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.engine.cost import Cost
    from pksm.engine.settings import Settings, setting
    from pksm.policies.base import Policy, Spec
    from pksm.policies.daemon import Daemon
    from pksm.policies.registry import choose, make, names, register, spec

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "Cost": "pksm.engine.cost",
        "Daemon": "pksm.policies.daemon",
        "Policy": "pksm.policies.base",
        "Settings": "pksm.engine.settings",
        "Spec": "pksm.policies.base",
        "choose": "pksm.policies.registry",
        "make": "pksm.policies.registry",
        "names": "pksm.policies.registry",
        "register": "pksm.policies.registry",
        "setting": "pksm.engine.settings",
        "spec": "pksm.policies.registry",
    },
)
