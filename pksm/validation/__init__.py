"""Ours against kernels."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.validation.kernel.validate import validate
    from pksm.validation.recorded.run import truth

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "truth": "pksm.validation.recorded.run",
        "validate": "pksm.validation.kernel.validate",
    },
)
