"""uksm, by name: its settings, presets, quirks and counters. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pksm.engine.settings import Settings, setting
from pksm.errors import UsageError
from pksm.naming import unknown
from pksm.policies.base import Pace, Policy, Spec
from pksm.policies.uksm.governors import GOVERNORS, intervals_of, ratios_of
from pksm.policies.variants import VARIANTS, within, zero_only

if TYPE_CHECKING:
    from pksm.protocols import VmaHost

# id -> published behaviour in one line
QUIRKS = {
    "first-not-counted": "the first item of a node of the unstable tree is met by nobody until it is visited again",
    "inherited-no-partner": "a page inherited by fork can't be the partner of another in the unstable tree",
    "judge-by-count": "slots are judged by the number of pages merged in a pass, and not by their share",
    "pool-loss": "parts of a permutation without items are forgotten: pages get lost, others are visited twice",
    "stall": "visits of slots that were scanned fully count for nothing: full scans and strength may stop for ever",
    "wrap": "when the last vma is gone the visits counted are below zero, and the next round is a full scan",
    "reset-stride": "a rung that begins anew, and may have a share of all that is allowed, has a stride of 1 at first",
    "offset-one": "every slot but the first of a rung is entered at its second page",
    "pagevec": "up to 13 new pages wait for the end of a round: they merge with none, and what they meet starts anew",
}
ITEM_BYTES, NODE_BYTES, TREE_NODE_BYTES, SLOT_BYTES = 64, 64, 32, 144
LEAST_CPU, MOST_CPU = 10, 99
COUNTERS = {
    "pages_shared": "kept pages that items hang on",
    "pages_sharing": "items that hang on a kept page, beyond the first of each",
    "pages_unshared": "items in the unstable tree, of this and earlier strengths",
    "uksm_zero_pages": "ptes merged with the zero page",
    "full_scans": "times that a quarter of all pages was visited, from 1 on",
    "pages_scanned": "pages looked at so far, those without a page left out",
    "hash_strength": "words of a page that the hash looks at",
    "sleep_times": "wake-ups so far",
    "ema_per_page_time": "mean ns of a visit",
    "eval_round": "evaluation rounds, from 1 on",
    "vma_slots": "vmas on the ladder",
}


@dataclass(frozen=True)
class UksmSettings(Settings):
    """Values of UKSM, under the kernel's names. Make one from a preset, change it with with_(); both check ranges."""

    max_cpu_percentage: int = setting(
        95, "percent of a CPU at most; from 10 on, unless a governor sets it", 1, MOST_CPU
    )
    sleep_millisecs: int = setting(100, "ms between two wake-ups at least", 0, 1000)
    cpu_governor: str = setting("full", "sets max_cpu_percentage, cpu_ratios, eval_intervals", choices=tuple(GOVERNORS))
    run: int = setting(1, "0 stop, 1 merge", 0, 1)
    abundant_threshold: int = setting(10, "a slot that merges so much goes up", 0, 99)
    thrash_threshold: int = setting(50, "percent of merges broken from which a slot counts as useless; 0: off", 0, 99)
    cpu_ratios: str = setting(GOVERNORS["full"].cpu_ratios, "of the rungs: 1/10000 of a CPU, or MAX/n")
    eval_intervals: str = setting(GOVERNORS["full"].eval_intervals, "of the rungs: ms in which they are sampled once")
    quirks: frozenset[str] = setting(frozenset(), "faults of the published code to have, by id, separated by commas")
    within: str = within()
    zero_only: int = zero_only()

    def __post_init__(self) -> None:
        super().__post_init__()
        strange = sorted(self.quirks - QUIRKS.keys())
        if strange:
            raise unknown("unknown quirk", strange[0], QUIRKS)
        for name, read in (("cpu_ratios", lambda text: ratios_of(text, 1)), ("eval_intervals", intervals_of)):
            try:
                read(getattr(self, name))
            except (ValueError, AttributeError, IndexError):
                raise UsageError(f"{name}={getattr(self, name)}: must be four of the form of the default's") from None

    def with_(self, **changes: Any) -> Self:
        """Return a copy with changes. UsageError if unfit. A governor brings its own values; they can be changed, too."""
        quirks = changes.pop("quirks", self.quirks)
        if not isinstance(quirks, (str, frozenset, set, list, tuple)):
            raise UsageError(f"quirks={quirks}: must be names of quirks")
        governor = changes.get("cpu_governor")
        given = changes.get("max_cpu_percentage")
        if isinstance(given, int) and LEAST_CPU > given > 0 and given != self.max_cpu_percentage:
            raise UsageError(f"max_cpu_percentage={given}: must be a whole number from {LEAST_CPU} to {MOST_CPU}")
        if governor in GOVERNORS and governor != self.cpu_governor:
            changes = {**GOVERNORS[governor]._asdict(), **changes}
        return super().with_(quirks=frozenset([quirks] if isinstance(quirks, str) else quirks), **changes)


def make(host: VmaHost, settings: UksmSettings, seed: int = 0) -> Policy:
    """Return a Uksm. seed: of the words that it looks at, and of the order in which it visits."""
    from pksm.policies.uksm.daemon import Uksm

    return Uksm(host, settings, seed=seed)


PRESETS = {
    "uksm-0.1.2": UksmSettings(quirks=frozenset(QUIRKS)),
    "uksm-4.14": UksmSettings(quirks=frozenset(QUIRKS) - {"judge-by-count"}),
    "uksm-fixed": UksmSettings(),
}
SPEC = Spec(
    name="uksm",
    about="UKSM: all private anonymous memory, vma by vma, faster where it merges",
    settings=UksmSettings,
    presets=PRESETS,
    default="uksm-0.1.2",
    counters=COUNTERS,
    make=make,
    shown=("pages_shared", "pages_sharing", "pages_unshared", "uksm_zero_pages", "hash_strength", "vma_slots"),
    work=frozenset(
        {
            "pages_scanned",
            "full_scans",
            "sleep_times",
            "ema_per_page_time",
            "hash_strength",
            "eval_round",
            "pages_unshared",
        }
    ),
    fixed=VARIANTS,
    pace=Pace("max_cpu_percentage", 10, 99),
)
