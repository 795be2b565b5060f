"""Who merges: a file or folder for each policy, found by name."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.engine.cost import Cost as Cost
    from pksm.engine.settings import Settings as Settings
    from pksm.engine.settings import setting as setting
    from pksm.policies.base import Pace as Pace
    from pksm.policies.base import Policy as Policy
    from pksm.policies.base import Spec as Spec
    from pksm.policies.daemon import Daemon as Daemon
    from pksm.policies.registry import choose as choose
    from pksm.policies.registry import make as make
    from pksm.policies.registry import names as names
    from pksm.policies.registry import register as register
    from pksm.policies.registry import spec as spec
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "Cost": "pksm.engine.cost",
            "Daemon": "pksm.policies.daemon",
            "Pace": "pksm.policies.base",
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
