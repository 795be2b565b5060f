"""The update period without an update list: unshared pages are summed anew when a search passes them.

What the notes propose (update=on-search): a wake-up sums the items that its batch meets on the way down the unstable
tree, and whatever has changed is visited again. Pages that no search passes are not looked at.
"""

import numpy as np

from pksm.arrays import Ids, U32Array, U64Array
from pksm.engine import native
from pksm.engine.settle import class_of
from pksm.engine.summing import Summing
from pksm.policies.pksmd.items import Items
from pksm.protocols import PageHost


def changed(host: PageHost, items: Items, summing: Summing, ids: Ids, known: U32Array) -> U32Array:
    """Sum every item anew that a search of ids meets in the unstable tree; return those that have changed, by page.

    host: PageHost; summing: Summing; ids: items to be settled, in no tree; those with INITCHECKSUM are summed, which
    settle needs not do again; known: others that have changed. uint32 all. The order has to begin with the checksum.
    """
    to_sum = ids[(items.flags[ids] & native.INITCHECKSUM) != 0]
    items.checksum[to_sum] = summing.pages(items.page[to_sum])
    items.clear_flags(to_sum, native.INITCHECKSUM)
    met = _met(items, items.checksum[ids])
    met = met[(items.flags[met] & native.DELLIST) == 0]
    if host.classes is not None:
        met = met[class_of(host.classes, items.page[met]) != native.BUSY_PAGE]
    found = np.union1d(known, met[summing.pages(items.page[met]) != items.checksum[met]])
    return found[np.argsort(items.page[found])]


def _met(items: Items, sums: U64Array) -> U32Array:
    """Return the items of the unstable tree that searches for these checksums meet, each once, ascending.

    All searches go down a step at a time; each ends at the first item of its checksum.
    """
    at = items.roots(native.UNSTABLE, sums)
    met = np.zeros(len(items.checksum), bool)
    while len(at := at[(there := at != 0)]):
        sums = sums[there]
        met[at] = True
        found = items.checksum[at]
        at = np.where(sums < found, items.left[at], items.right[at])
        at[sums == found] = 0
    return np.flatnonzero(met).astype(np.uint32)
