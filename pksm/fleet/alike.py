"""Which files of fingerprints can be counted together; one line for each thing that is wrong with the others."""

from collections.abc import Callable, Sequence
from typing import Any

from pksm.fleet.mapping import Mapped
from pksm.sources.fingerprints.layout import share_text

APART_S = 3600  # between the first and the last file: more is worth a line


def alike(mapped: Sequence[Mapped], warnings: list[str]) -> list[Mapped]:
    """Return the files that can be counted together, and add a line for each of the others, and for what is odd.

    Most files decide about the page size and the key. Samples of different shares are counted at the smallest.

    Args:
        mapped: one file at least.
        warnings: to which lines are added.
    """
    size = _most(mapped, lambda one: one.page_size)
    key = _most([one for one in mapped if one.page_size == size], lambda one: one.key_check)
    chosen: list[Mapped] = []
    seen: dict[str, str] = {}
    for one in mapped:
        if one.page_size != size:
            warnings.append(f"{one.path}: its pages are of {one.page_size} bytes, those of others of {size}: left out")
        elif one.key_check != key:
            what = "with a key, and others without" if one.key_check and not key else "with another key than others"
            what = what if one.key_check else "without a key, and others with one"
            warnings.append(f"{one.path}: its sums are made {what}: left out")
        elif one.digest in seen:
            warnings.append(f"{one.path}: is of the same memory as {seen[one.digest]}: counted once")
        else:
            seen[one.digest] = one.path
            chosen.append(one)
    _look_at_samples(chosen, warnings)
    _look_at_clocks(chosen, warnings)
    return chosen


def _most(mapped: Sequence[Mapped], value: Callable[[Mapped], Any]) -> Any:
    values = [value(one) for one in mapped]
    return max(set(values), key=lambda one: (values.count(one), one))


def _look_at_samples(chosen: Sequence[Mapped], warnings: list[str]) -> None:
    least = min(chosen, key=lambda one: one.keep)
    others = sum(one.keep > least.keep for one in chosen)
    if others:
        warnings.append(
            f"{least.path}: its sample of {share_text(least.keep)} is the smallest, and {others} of the files hold more: so "
            "much is counted of all"
        )


def _look_at_clocks(chosen: Sequence[Mapped], warnings: list[str]) -> None:
    first, last = (choose(chosen, key=lambda one: one.time) for choose in (min, max))
    if last.time - first.time > APART_S:
        hours = (last.time - first.time) / 3600
        warnings.append(
            f"{first.path} and {last.path} were made {hours:,.1f} hours apart, or by clocks that are: what has changed "
            "meanwhile is not found in common"
        )
