"""Settings that every policy has: what its pages merge within, and whether anything but zero pages merges."""

from __future__ import annotations

from typing import Any

from pksm.engine.settings import setting
from pksm.protocols import WITHIN, require_within

VARIANTS = frozenset({"within", "zero_only"})  # they can't change once the trees are in use


def within() -> Any:
    """Declare the setting."""
    return setting("all", "pages merge with all others, those of their process, or those of their salt", choices=WITHIN)


def zero_only() -> Any:
    """Declare the setting."""
    return setting(0, "1: zero pages merge with the zero page, and nothing else merges", 0, 1)


def set_within(host: Any, settings: Any) -> None:
    """Have a host keep apart what is not to merge. UsageError for parts that it does not know."""
    if hasattr(host, "set_within"):
        host.set_within(settings.within)
    else:
        require_within(settings.within, WITHIN[:1])
        host.store.unsalt()
