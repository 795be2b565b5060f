"""What was found: counts of all pages, of each source, of families of processes; shares; groups of equal pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from pksm.documents import Family, Group
from pksm.scan.attribution import Shares, in_document, largest_first
from pksm.scan.counting import Count, Tally
from pksm.scan.gather import Gathered
from pksm.scan.settings import Settings


@dataclass(frozen=True)
class Findings:
    """Counts of what was gathered.

    total: all sources together; of_sources: each alone, in order; by_command, by_user: rows of the live processes that
    are alike; groups, groups_found: as Tally.groups returns them.
    """

    total: Count
    of_sources: list[Count]
    shares: Shares
    by_command: list[Family]
    by_user: list[Family]
    groups: list[Group]
    groups_found: int


def find(gathered: Gathered, contents: np.ndarray, settings: Settings, stand_ins: bool) -> Findings:
    """Count what was gathered.

    Args:
        contents: the column that tells contents apart, uint32 by page number.
        stand_ins: the pages are fingerprints, which look like nothing.
    """
    tally, shares = Tally(gathered, contents), Shares(gathered, contents)
    groups, groups_found = tally.groups(settings.top, not stand_ins, settings.show_bytes)
    return Findings(
        total=tally.total(),
        of_sources=[tally.of_source(taken) for taken in gathered.taken],
        shares=shares,
        by_command=_families(tally, gathered, shares, ("command", "user"), settings),
        by_user=_families(tally, gathered, shares, ("user",), settings),
        groups=groups,
        groups_found=groups_found,
    )


def _families(
    tally: Tally, gathered: Gathered, shares: Shares, fields: Sequence[str], settings: Settings
) -> list[Family]:
    """Count live processes that are alike in these of their facts, those that have the largest share first."""
    families: dict[tuple[Any, ...], list[Any]] = {}
    for one, share in zip(gathered.taken, shares.of_source, strict=True):
        if "command" in one.facts:
            families.setdefault(tuple(one.facts[field] for field in fields), []).append((one, share))
    rows: list[Family] = []
    for values, members in families.items():
        count = tally.of_sources([one for one, _ in members])
        alike = dict(zip(fields, values, strict=True))
        row: dict[str, Any] = {
            **alike,
            "processes": len(members),
            "pages": count.pages,
            "zero": count.zero,
            "duplicates": count.duplicates,
            "saving_pages": count.saving,
            **in_document(sum(share for _, share in members), settings),
        }
        rows.append(cast(Family, row))
    return sorted(rows, key=largest_first)
