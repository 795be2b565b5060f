"""The reverse walk of a merge as the published kernels do it, one vma at a time, for one page.

chain: the vmas of the page's anon_vma, in order. quirks: has the switches of the machine by name.
"""

from dataclasses import dataclass

from .settle import Class


@dataclass
class Vma:
    """holds: it holds the page's index; maps: the pte there points to the page; fit: merging may go there."""

    holds: bool
    maps: bool
    fit: bool


def pte_by_pte(chain, quirks, keeping=False):
    """Return (does the walk succeed, how many ptes has it changed). keeping: the page is to be the kept one."""
    changed, code = 0, "DROP"
    for vma in chain:
        if not vma.holds and not quirks.walks_lists:
            continue  # an interval tree does not come by here
        if not vma.holds or not vma.fit:
            if quirks.walk_stops:
                break
            continue
        if keeping and changed and quirks.one_mapping:
            return False, changed  # it is KSM already, and so not found here
        if vma.maps:
            changed, code = changed + 1, "SUCCESS"
        elif quirks.walk_stops:
            code = "DROP"
            break
    return code == "SUCCESS", changed


def class_of(chain, quirks):
    """Return the Class of the page."""
    mapped = sum(vma.maps for vma in chain)
    succeeds, changed = pte_by_pte(chain, quirks)
    if not quirks.walk_stops:  # walking on, only all ptes will do
        succeeds = changed == mapped
    if not succeeds:
        if quirks.leaks and changed:
            return Class.WALK_LOSES if changed == mapped else Class.WALK_BREAKS
        return Class.WALK_FAILS
    kept, _ = pte_by_pte(chain, quirks, keeping=True)
    return Class.FREE if kept else Class.NOT_KPAGE
