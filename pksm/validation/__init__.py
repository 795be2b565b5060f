"""Ours against kernels."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.validation.kernel.calibrate import calibrate as calibrate
    from pksm.validation.kernel.predict import predict as predict
    from pksm.validation.kernel.replayed import replayed as replayed
    from pksm.validation.kernel.validate import validate as validate
    from pksm.validation.recorded.run import truth as truth
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "calibrate": "pksm.validation.kernel.calibrate",
            "predict": "pksm.validation.kernel.predict",
            "replayed": "pksm.validation.kernel.replayed",
            "truth": "pksm.validation.recorded.run",
            "validate": "pksm.validation.kernel.validate",
        },
    )
