"""Reduce: the rows that all files have within a range of sums become a tally."""

from collections.abc import Mapping, Sequence

import numpy as np

from pksm.arrays import StructArray, U32Array
from pksm.errors import PksmError
from pksm.fleet.mapping import Part, stored
from pksm.fleet.rows import in_order
from pksm.fleet.tally import Tally, tally
from pksm.sources.fingerprints.layout import places

PIECES = 4  # that a task counts its range in: what fits the caches is counted faster


def reduce(parts: Sequence[Part], low: int, high: int, groups: Mapping[str, U32Array], units: str) -> Tally:
    """Count all contents whose sums lie in a range.

    Args:
        parts: the rows of all files; members count through them.
        low, high: the range, without `high`, which may be 2^64.
        groups, units: as tally() takes them.
    """
    bounds = [low + (high - low) * number // PIECES for number in range(PIECES + 1)]
    pieces: list[list[StructArray]] = [[] for _ in range(PIECES)]
    offset = 0
    for part in parts:
        rows = stored(part)
        start, *stops = places(rows["sum"], bounds)
        own = np.array(rows[start : stops[-1]])
        if int(own["member"].max(initial=0)) >= part.n_members:
            raise PksmError(f"{part.rows}: its rows can't be right: delete it, and count again")
        own["member"] += np.uint32(offset)
        for piece, begin, end in zip(pieces, [start, *stops], stops, strict=False):
            piece.append(own[begin - start : end - start])
        offset += part.n_members
    total = Tally()
    for piece in pieces:
        total.add(tally(in_order(np.concatenate(piece)), groups, units))
    return total
