"""How to scan: the page size, the policy and its settings, and how much to report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pksm.engine.checksums import strategies as checksums
from pksm.engine.checksums.proof import prove
from pksm.errors import UsageError
from pksm.policies import registry
from pksm.policies.ksmd.tunables import KsmTunables
from pksm.policies.pksmd.tunables import Tunables
from pksm.scan.intake import VIEWS
from pksm.sources.base import Source, check_page_size

PAGE_SIZE = 4096
WITHIN = ("process", "user", "cgroup", "vm", "all")
DEFAULTS = {
    "pages_to_scan": 65536,  # few big batches: nobody waits for a page
    "sleep_millisecs": 0,  # no time passes between two, so there is nothing to check again
}


@dataclass(frozen=True)
class Settings:
    """How to scan. Raises UsageError for a value that can't be, PksmError for a checksum that proves to be none.

    Args:
        page_size: bytes; by default those of the fingerprints that are scanned, else PAGE_SIZE.
        policy: who merges, as policies.make takes it: "pksmd:fixed", "ksmd:ksm-6.11".
        changes: {name: value} of its settings that differ from the preset and from DEFAULTS, or texts "name=value".
        seed: of what is random in the policy.
        threads: one merges, the others sum pages ahead of it.
        view: `frames` counts a frame once, `mappings` as often as it is mapped.
        top: how many groups of equal pages to report.
        show_bytes: report the first bytes of these, which may be secret.
        within: names of WITHIN: report what merging within such parts alone saves.
    """

    page_size: int | None = None
    policy: str = "pksmd:fixed"
    changes: Mapping[str, Any] | Iterable[str] = ()
    seed: int = 0
    threads: int = 1
    view: str = "frames"
    top: int = 10
    show_bytes: bool = False
    within: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.page_size is not None:
            check_page_size(self.page_size)
        if self.view not in VIEWS:
            raise UsageError(f"unknown view {self.view!r}: choose from {', '.join(VIEWS)}", "view")
        for name in self.within:
            if name not in WITHIN:
                raise UsageError(f"unknown part {name!r}: choose from {', '.join(WITHIN)}", "within")
        if self.threads < 1:
            raise UsageError(f"{self.threads}: there must be one at least", "threads")
        if self.top < 0:
            raise UsageError(f"{self.top}: give the number of groups to report, from 0", "top")
        values = self.choice.settings.as_dict()
        if values.get("run", 1) != 1:
            raise UsageError(f"run={values['run']}: a scan has to run to find anything", "changes")
        chosen = self.choice.settings
        if isinstance(chosen, Tunables | KsmTunables):
            prove(checksums.make(chosen.checksum, self.page_bytes, self.seed), self.page_bytes)

    @cached_property
    def choice(self) -> registry.Choice:
        """The policy that merges, with its settings."""
        known = registry.choose_one(self.policy).spec.settings.entries()
        defaults = {name: value for name, value in DEFAULTS.items() if name in known}
        if isinstance(self.changes, Mapping):
            return registry.choose_one(self.policy, {**defaults, **self.changes}, self.seed)
        texts = [*(f"{name}={value}" for name, value in defaults.items()), *self.changes]
        return registry.choose_one(self.policy, texts, self.seed)

    @property
    def page_bytes(self) -> int:
        """Bytes of a page."""
        return self.page_size or PAGE_SIZE

    @property
    def is_lossy(self) -> bool:
        """Whether these may leave equal pages unmerged, so that contents have to be counted apart."""
        settings = self.choice.settings
        return not isinstance(settings, Tunables) or settings.order == "checksum" or settings.faults.lossy

    def as_dict(self) -> dict[str, Any]:
        """Return the values as the result has them."""
        choice = self.choice
        own = {"seed": self.seed, "threads": self.threads, "top": self.top}
        return {"policy": choice.spec.name, "preset": choice.preset, **choice.settings.as_dict(), **own}


def fitted(settings: Settings, sources: Sequence[Source]) -> tuple[Settings, bool]:
    """Return the settings with a page size that fits the sources, and whether these are fingerprints.

    Raises UsageError for fingerprints beside memory or of several page sizes, and for settings that don't go with them.
    """
    sizes = {source.page_size for source in sources}
    if sizes == {None}:
        return replace(settings, page_size=settings.page_bytes), False
    if None in sizes:
        raise UsageError("fingerprints and memory can't be scanned together: make fingerprints of the memory first")
    page_size = settings.page_size or next(iter(sizes))
    if sizes != {page_size}:
        found = ", ".join(str(size) for size in sorted(size for size in sizes if size is not None))
        raise UsageError(f"these fingerprints are of pages of {found} bytes, not {page_size}", "page_size")
    if len({source.key_check for source in sources}) > 1:
        raise UsageError("these fingerprints are made with different keys, so their sums cannot be compared")
    if settings.is_lossy:
        raise UsageError(
            "fingerprints show equal pages only: take pksmd with a preset and an order that merge all of them"
        )
    if settings.show_bytes:
        raise UsageError("fingerprints hold no bytes of pages", "show_bytes")
    return replace(settings, page_size=page_size), True
