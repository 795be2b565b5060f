"""Who belongs together: pairs of units, ranked by what they have in common."""

import numpy as np

from pksm.arrays import AnyArray
from pksm.documents.fleet import FleetTogether

MOST = 50


def together(overlap: AnyArray | None, names: list[str], scale: float) -> list[FleetTogether]:
    """Return the pairs that have most contents in common, first those with most.

    Args:
        overlap: int (n, n): contents in common; on the diagonal, those of one. None: not known.
        names: of the units.
        scale: contents for each that was counted.
    """
    if overlap is None:
        return []
    ones, others = np.triu_indices(len(names), 1)
    common = overlap[ones, others]
    best = np.argsort(-common, kind="stable")[:MOST]
    own = np.diag(overlap)
    return [
        {
            "names": [names[one], names[other]],
            "pages": many * scale,
            "share": many / int(min(own[one], own[other])),
        }
        for one, other, many in zip(ones[best].tolist(), others[best].tolist(), common[best].tolist(), strict=True)
        if many
    ]
