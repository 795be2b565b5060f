"""Settings of a policy: what each means, its range, the presets of the published kernels, and the quirks.

This module holds values only; who acts on them is pksmd.py (and the machine, for what needs page tables).
"""

from dataclasses import dataclass, field, fields, replace

from pksm.errors import UsageError

# id -> (acts on any host?, published behaviour in one line); the ledger with tests is FIDELITY.md
QUIRKS = {
    "collision-is-success": (True, "equal checksums with other bytes count as merged"),
    "sparse-zero-lost": (True, "a page that is zero where the checksum looks counts as merged"),
    "one-content-per-hash": (True, "trees are ordered by the checksum alone"),
    "blind-sample": (True, "the checksum looks at 64 words of the page"),
    "half-made-kpage": (False, "a failed merge of two leaves a KSM page without a stable node"),
    "multi-mapped-kpage": (False, "a page with two ptes can't become the kept page and is dropped"),
    "walk-stops": (False, "the first unfit vma ends the reverse walk"),
    "drop-is-final": (True, "a page that can't be merged once is forgotten for life"),
    "ageing-defeated": (True, "n visits are over in one wake-up, and the quota derives from the list"),
    "quadratic-assert": (True, "every list move walks the whole list"),
    "head-of-list": (True, "the recheck always starts at the same pages"),
    "period-not-kept": (True, "the recheck quota is capped and loses its remainder"),
    "stale-hash-reentry": (True, "a page found changed is not summed again at its visit"),
    "lifo-batch": (True, "new pages are worked in reverse order of arrival"),
    "batch-plus-two": (True, "every quota takes two more"),
    "births-missed": (False, "only the first write to an anonymous page enters it"),
    "stale-node-aborts": (True, "a node that can't be taken ends a search"),
    "ref-leak": (False, "a failed check keeps a reference on the page"),
    "skipped-vanish": (True, "items that are not valid at their visit are put on no list"),
    "counters-drift": (False, "the first unmap of a kept page and its forks are not counted"),
    "no-unmerge": (False, "run = 2 and MADV_UNMERGEABLE do nothing"),
    "split-vma": (False, "the reverse walk ends at the first vma that does not hold the page"),
    "partial-merge-leak": (False, "a merge that fails half way leaves its sharing count behind"),
    "mlock-hang": (False, "an mlocked page and a kept page that is not: pksmd hangs"),
    "first-break-uncounted": (False, "the first copy-on-write of a group is not subtracted"),
    "useless-rmap": (False, "merged pages can't be swapped or migrated"),
}

# A quirk that is nothing but a value of a tunable: they are set and cleared together.
IMPLIED = {
    "one-content-per-hash": ("order", "checksum"),
    "blind-sample": ("checksum", "sampled"),
    "head-of-list": ("update", "head"),
    "births-missed": ("births", "anonymous"),
}


def setting(default, text, low=None, high=None, choices=None):
    """Return a field of a class of tunables: its default, unit and meaning, range or choices."""
    return field(default=default, metadata={"text": text, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True)
class Tunables:
    """Values of one policy. Make one with preset(), change it with with_(); both check ranges."""

    pages_to_scan: int = setting(1000, "pages: new pages a wake-up takes, and changed ones again", 1, 1 << 31)
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
    quirks: frozenset = setting(frozenset(), "faults of the published code to have, by id, separated by commas")

    def __post_init__(self):
        for name, entry in SETTINGS.items() if SETTINGS else ():
            check_setting(name, getattr(self, name), entry)
        if self.update == "on-search" and self.order == "content":
            raise UsageError("update=on-search: needs trees that are ordered by checksum, not order=content")

    def with_(self, **changes):
        """Return a copy with changes, quirks and the tunables they stand for kept in step. UsageError if unfit."""
        unknown = set(changes) - set(SETTINGS)
        if unknown:
            raise UsageError(f"unknown setting {sorted(unknown)[0]!r}: choose from {', '.join(SETTINGS)}")
        quirks = changes.pop("quirks", self.quirks)
        if not isinstance(quirks, (str, list, tuple, set, frozenset)):
            raise UsageError(f"quirks={quirks}: must be names of quirks")
        quirks = frozenset([quirks] if isinstance(quirks, str) else quirks)
        strange = quirks - set(QUIRKS)
        if strange:
            raise UsageError(f"unknown quirk {sorted(strange)[0]!r}: choose from {', '.join(QUIRKS)}")
        for quirk, (name, value) in IMPLIED.items():
            if name in changes:
                quirks = quirks | {quirk} if changes[name] == value else quirks - {quirk}
            elif quirk in quirks:
                changes[name] = value
            elif quirk in self.quirks:
                changes[name] = SETTINGS[name].default
        return replace(self, quirks=quirks, **changes)


SETTINGS = {}  # name -> dataclass field; empty while the class is made
SETTINGS.update({entry.name: entry for entry in fields(Tunables)})


def check_setting(name, value, entry):
    """Raise UsageError unless a value fits a setting's range."""
    low, choices = entry.metadata["low"], entry.metadata["choices"]
    if low is not None:
        high = entry.metadata["high"]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise UsageError(f"{name}={value}: must be a whole number from {low} to {high}")
    elif choices is not None and value not in choices:
        raise UsageError(f"{name}={value}: must be one of {', '.join(choices)}")


def parse_setting(text, settings=SETTINGS):
    """Return (name, value) of "name=value" as the command line has it. UsageError if it can't be read.

    settings: {name: field} of those that there are.
    """
    name, equals, value = text.partition("=")
    if not equals or name not in settings:
        raise UsageError(f"setting {text!r}: write name=value, with a name of {', '.join(settings)}")
    if name == "quirks":
        return name, frozenset(part for part in value.split(",") if part)
    if settings[name].metadata["low"] is None:
        return name, value
    try:
        return name, int(value)
    except ValueError:
        raise UsageError(f"{name}={value}: must be a whole number") from None


_EVERY_PUBLISHED = frozenset(
    "blind-sample half-made-kpage multi-mapped-kpage drop-is-final batch-plus-two lifo-batch stale-hash-reentry "
    "births-missed stale-node-aborts ref-leak skipped-vanish counters-drift first-break-uncounted partial-merge-leak "
    "mlock-hang useless-rmap no-unmerge period-not-kept".split()
)
_BY_HASH = frozenset("collision-is-success sparse-zero-lost one-content-per-hash walk-stops".split())
_LIST_WALK = frozenset(["split-vma"])
_HEAD = frozenset(["head-of-list"])
_LATER = frozenset(["ageing-defeated", "quadratic-assert"])

_PUBLISHED = Tunables(reclaim="del-list")
_PRESETS = {
    "fixed": Tunables(),
    "v0.1": _PUBLISHED.with_(period_seconds=20, quirks=_EVERY_PUBLISHED | _LIST_WALK | _HEAD),
    "v0.2": _PUBLISHED.with_(quirks=_EVERY_PUBLISHED | _BY_HASH | _LIST_WALK | _HEAD),
    "android-3.4": _PUBLISHED.with_(
        pages_to_scan=100, sleep_millisecs=50, quirks=_EVERY_PUBLISHED | _BY_HASH | _LIST_WALK | _HEAD
    ),
    "reveriel": _PUBLISHED.with_(sleep_millisecs=200, n=3, retry="new", quirks=_EVERY_PUBLISHED | _BY_HASH | _LATER),
}
_PRESETS["v0.1"] = _PRESETS["v0.1"].with_(order="content")
PRESETS = tuple(_PRESETS)


def preset(name):
    """Return the Tunables of a preset: fixed (ours), v0.1, v0.2, android-3.4, reveriel. UsageError if unknown."""
    if name not in _PRESETS:
        raise UsageError(f"unknown preset {name!r}: choose from {', '.join(PRESETS)}")
    return _PRESETS[name]
