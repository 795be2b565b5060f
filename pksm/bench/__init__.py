"""Merge throughput beside the limits of the machine, rivals, and the running kernel."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.bench.differences import diff as diff
    from pksm.bench.run import bench as bench
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "bench": "pksm.bench.run",
            "diff": "pksm.bench.differences",
        },
    )
