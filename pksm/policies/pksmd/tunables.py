"""Settings of pksmd: what each means, its range, and the presets of the published kernels. Values only."""

from dataclasses import dataclass
from typing import Any, Self

from pksm.engine.settings import Settings, preset_of, setting
from pksm.errors import UsageError
from pksm.naming import unknown
from pksm.policies.pksmd.quirks import IMPLIED, QUIRKS, Faults
from pksm.policies.variants import within, zero_only


@dataclass(frozen=True)
class Tunables(Settings):
    """Values of pksmd. Make one with preset(), change it with with_(); both check ranges."""

    pages_to_scan: int = setting(1000, "pages: new pages that a wake-up takes, and changed ones again", 1, 1 << 31)
    sleep_millisecs: int = setting(20, "ms between two wake-ups; with 0 no period ever ends", 0, 1 << 31)
    period_seconds: int = setting(10, "s in which every unshared page is summed anew once", 1, 1 << 31)
    run: int = setting(1, "0 stop, 1 merge, 2 stop and unmerge", 0, 2)
    n: int = setting(1, "visits that a page on the new list gets until it is settled", 1, 255)
    delay_time: int = setting(3, "ms; only ageing-defeated makes use of it, for the quota", 1, 1 << 31)
    order: str = setting(
        "checksum-content", "what both trees are ordered by", choices=("content", "checksum", "checksum-content")
    )
    checksum: str = setting("xxh3-64", "name of the checksum strategy")
    reclaim: str = setting(
        "immediate",
        "when the items of freed pages go: at the next wake-up or at once",
        choices=("del-list", "immediate"),
    )
    update: str = setting(
        "rotate",
        "where the recheck of unshared pages starts, or that searches do it",
        choices=("head", "rotate", "on-search"),
    )
    retry: str = setting("rescan", "the list that pages to be visited again go to", choices=("rescan", "new"))
    births: str = setting("all", "which new pages enter", choices=("anonymous", "all"))
    quirks: frozenset[str] = setting(frozenset(), "faults of the published code to have, by id, separated by commas")
    within: str = within()
    zero_only: int = zero_only()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.update == "on-search" and self.order == "content":
            raise UsageError("update=on-search: needs trees that are ordered by checksum, not order=content")

    @property
    def faults(self) -> Faults:
        """The quirks as switches of pksmd."""
        return Faults.of(self.quirks)

    def with_(self, **changes: Any) -> Self:
        """Return a copy with changes, quirks and the tunables they stand for kept in step. UsageError if unfit."""
        names = changes.pop("quirks", self.quirks)
        if not isinstance(names, (str, list, tuple, set, frozenset)):
            raise UsageError(f"quirks={names}: must be names of quirks")
        quirks = frozenset([names] if isinstance(names, str) else names)
        strange = sorted(quirks - QUIRKS.keys())
        if strange:
            raise unknown("unknown quirk", strange[0], QUIRKS)
        for quirk, (name, value) in IMPLIED.items():
            if name in changes:
                quirks = quirks | {quirk} if changes[name] == value else quirks - {quirk}
            elif quirk in quirks:
                changes[name] = value
            elif quirk in self.quirks:
                changes[name] = SETTINGS[name].default
        return super().with_(quirks=quirks, **changes)


SETTINGS = Tunables.entries()

_EVERY_PUBLISHED = frozenset(
    "blind-sample half-made-kpage multi-mapped-kpage drop-is-final batch-plus-two lifo-batch stale-hash-reentry "
    "births-missed stale-node-aborts ref-leak skipped-vanish counters-drift first-break-uncounted partial-merge-leak "
    "mlock-hang useless-rmap no-unmerge period-not-kept sharers-for-life".split()
)
_BY_HASH = frozenset("collision-is-success sparse-zero-lost one-content-per-hash walk-stops".split())
_LIST_WALK = frozenset(["split-vma"])
_HEAD = frozenset(["head-of-list"])
_LATER = frozenset(["ageing-defeated", "quadratic-assert"])

_PUBLISHED = Tunables(reclaim="del-list")
PRESETS = {
    "fixed": Tunables(),
    "v0.1": _PUBLISHED.with_(period_seconds=20, order="content", quirks=_EVERY_PUBLISHED | _LIST_WALK | _HEAD),
    "v0.2": _PUBLISHED.with_(quirks=_EVERY_PUBLISHED | _BY_HASH | _LIST_WALK | _HEAD),
    "android-3.4": _PUBLISHED.with_(
        pages_to_scan=100, sleep_millisecs=50, quirks=_EVERY_PUBLISHED | _BY_HASH | _LIST_WALK | _HEAD
    ),
    "reveriel": _PUBLISHED.with_(sleep_millisecs=200, n=3, retry="new", quirks=_EVERY_PUBLISHED | _BY_HASH | _LATER),
}


def preset(name: str) -> Tunables:
    """Return the Tunables of a preset: fixed (ours), v0.1, v0.2, android-3.4, reveriel. UsageError if unknown."""
    return preset_of(PRESETS, name)
