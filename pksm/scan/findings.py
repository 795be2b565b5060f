"""What was found: counts of all pages, of each source, of families of processes; shares; groups of equal pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from pksm.documents import Family, Group, UnderKsm, WithinRow
from pksm.scan import under_ksm
from pksm.scan.attribution import Shares, in_document, largest_first
from pksm.scan.counting import Count, Tally
from pksm.scan.gather import Gathered
from pksm.scan.settings import Settings
from pksm.scan.unmerged import unmerged


@dataclass(frozen=True)
class Findings:
    """Counts of what was gathered.

    total: all sources together; of_sources: each alone, in order; by_command, by_user: rows of the live processes that
    are alike; groups, groups_found: as Tally.groups returns them; under_ksm: if KSM is the policy; within: what merging
    within parts saves.
    """

    total: Count
    of_sources: list[Count]
    shares: Shares
    by_command: list[Family]
    by_user: list[Family]
    groups: list[Group]
    groups_found: int
    under_ksm: UnderKsm | None
    within: list[WithinRow]


def find(gathered: Gathered, contents: np.ndarray, settings: Settings, stand_ins: bool) -> Findings:
    """Count what was gathered.

    Args:
        contents: the column that distinguishes contents, uint32 by page number.
        stand_ins: the pages are fingerprints, which look like nothing.
    """
    tally, shares = Tally(gathered, contents), Shares(gathered, contents)
    families = _Families(tally, gathered, shares, settings)
    of_sources = [tally.of_source(taken) for taken in gathered.taken]
    groups, groups_found = tally.groups(settings.top, not stand_ins, settings.show_bytes)
    answer, within = _of_ksm(gathered, contents, settings)
    return Findings(
        total=of_sources[0] if tally.is_of_one else tally.total(),
        of_sources=of_sources,
        shares=shares,
        by_command=families.rows(("command", "user")),
        by_user=families.rows(("user",)),
        groups=groups,
        groups_found=groups_found,
        under_ksm=answer,
        within=within,
    )


def _of_ksm(gathered: Gathered, contents: np.ndarray, settings: Settings) -> tuple[UnderKsm | None, list[WithinRow]]:
    """Return KSM's answer, if it is the policy, and what merging within parts saves. What it has merged counts as saved."""
    if not under_ksm.answers_to(settings) and not settings.within:
        return None, []
    before = unmerged(gathered, contents)
    rows = [under_ksm.within(before.gathered, before.contents, settings, name) for name in settings.within]
    return under_ksm.answers(before, settings), rows


class _Families:
    """Live processes that are alike in some of their facts, taken together."""

    def __init__(self, tally: Tally, gathered: Gathered, shares: Shares, settings: Settings) -> None:
        self._tally, self._settings = tally, settings
        self._taken, self._shares = gathered.taken, shares.of_source
        self._counted: dict[tuple[int, ...], Count] = {}  # by the places of the members among all sources

    def rows(self, fields: Sequence[str]) -> list[Family]:
        """Count processes that are alike in these fields, those that have the largest share first."""
        families: dict[tuple[Any, ...], list[int]] = {}
        for place, one in enumerate(self._taken):
            if "command" in one.facts:
                families.setdefault(tuple(one.facts[field] for field in fields), []).append(place)
        rows = [self._row(dict(zip(fields, values, strict=True)), places) for values, places in families.items()]
        return sorted(rows, key=largest_first)

    def _row(self, alike: dict[str, Any], places: list[int]) -> Family:
        count = self._count(tuple(places))
        row: dict[str, Any] = {
            **alike,
            "processes": len(places),
            "pages": count.pages,
            "zero": count.zero,
            "duplicates": count.duplicates,
            "saving_pages": count.saving,
            **in_document(sum(self._shares[place] for place in places), self._settings),
        }
        return cast(Family, row)

    def _count(self, places: tuple[int, ...]) -> Count:
        if places not in self._counted:
            self._counted[places] = self._tally.of_sources([self._taken[place] for place in places])
        return self._counted[places]
