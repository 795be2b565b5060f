"""The one door to the C core: checks arguments, calls, turns status into exceptions.

Arrays are borrowed for the call. Page numbers and item ids are uint32 arrays; structs of the core are numpy records
whose dtypes stand here, so that whatever lives longer than a call can be copied, pickled and inspected.
cffi drops the GIL round every call: an engine and its memory belong to one thread at a time.
"""

import os

import numpy as np

from pksm import errors
from pksm._core import ffi, lib

NODE = np.dtype(
    [
        ("checksum", "u8"),
        ("left", "u4"),
        ("right", "u4"),
        ("parent_colour", "u4"),
        ("page", "u4"),
        ("flags", "u2"),
        ("visits", "u1"),
        ("skips", "u1"),
        ("link", "u4"),
    ]
)
TREES = np.dtype([(name, "u4") for name in ("unstable_root", "stable_root", "n_unstable", "n_stable", "collided")])
COST = np.dtype(
    [
        (name, "u8")
        for name in (
            "pages_visited",
            "bytes_hashed",
            "bytes_compared",
            "futile_compares",
            "tree_steps",
            "collisions",
            "unlinked",
        )
    ]
)
for _dtype, _struct in ((NODE, "pksm_node"), (TREES, "pksm_trees"), (COST, "pksm_cost")):
    assert _dtype.itemsize == ffi.sizeof(_struct), _struct

UNSTABLE, STABLE = lib.PKSM_UNSTABLE, lib.PKSM_STABLE
INITCHECKSUM, NEWLIST, RESCAN = lib.PKSM_INITCHECKSUM, lib.PKSM_NEWLIST, lib.PKSM_RESCAN
CHECKSUM_LIST, DELLIST, ZERO_REFUSED = lib.PKSM_CHECKSUM_LIST, lib.PKSM_DELLIST, lib.PKSM_ZERO_REFUSED

FREE, BUSY_PAGE, WALK_FAILS = lib.PKSM_FREE, lib.PKSM_BUSY_PAGE, lib.PKSM_WALK_FAILS
NOT_KPAGE, NOT_ANON = lib.PKSM_NOT_KPAGE, lib.PKSM_NOT_ANON

ORDERS = {"content": lib.PKSM_CONTENT, "checksum": lib.PKSM_CHECKSUM, "checksum-content": lib.PKSM_CHECKSUM_CONTENT}
STAGES = {
    "unchanged": lib.PKSM_STAGE_UNCHANGED,
    "zero": lib.PKSM_STAGE_ZERO,
    "stable": lib.PKSM_STAGE_STABLE,
    "unstable": lib.PKSM_STAGE_UNSTABLE,
}
RETRY, SUCCESS, SKIP, STOP = lib.PKSM_RETRY, lib.PKSM_SUCCESS, lib.PKSM_SKIP, lib.PKSM_STOP
VERDICTS = (
    "WAITING",
    "ZERO",
    "JOINED",
    "PAIRED",
    "SAME",
    "BUSY",
    "DIFFERENT",
    "LIMBO",
    "DROP",
    "STALE",
    "ABORTED",
)
assert [getattr(lib, f"PKSM_{name}") for name in VERDICTS] == list(range(lib.PKSM_N_VERDICTS))

_ERRORS = {
    lib.PKSM_EINVAL: (ValueError, "an argument that the C core can't use"),
    lib.PKSM_EPAGE: (errors.PageError, "a page number outside the page store"),
    lib.PKSM_EITEM: (errors.ItemError, "an item id outside the item table"),
    lib.PKSM_EBUS: (errors.BusError, "a mapped file shrank while it was read: scan a copy, or leave the file alone"),
    lib.PKSM_ETREE: (errors.TreeError, "a tree breaks its invariants"),
}


def _check(status):
    if status:
        kind, message = _ERRORS[status]
        raise kind(message)


def _in(array, kind):
    return ffi.from_buffer(kind, array)


def _out(array, kind):
    return ffi.from_buffer(kind, array, require_writable=True)


def ids_array(values):
    """Return values as a contiguous uint32 array, itself if it is one; ValueError if a value doesn't fit."""
    array = np.asarray(values)
    if array.dtype != np.uint32:
        if array.size and (array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 0xFFFFFFFF):
            raise ValueError("page numbers and item ids are integers from 0 to 2**32 - 1")
        array = array.astype(np.uint32)
    return np.ascontiguousarray(array).reshape(-1)


def span(ids):
    """Return ids as a slice if they are consecutive, else themselves: numpy indexes by a slice many times faster."""
    n = len(ids)
    if n > 64 and int(ids[-1]) - int(ids[0]) == n - 1 and (ids[1:] - ids[:-1] == 1).all():
        return slice(int(ids[0]), int(ids[-1]) + 1)
    return ids


class StoreView:
    """A pksm_store and the arrays it points to, alive together.

    sections: uint64 addresses, one for every 64 pages; n_pages in pages; page_size in bytes.
    """

    def __init__(self, sections, n_pages, page_size):
        self._sections = np.ascontiguousarray(sections, np.uint64)
        if len(self._sections) * 64 < n_pages:
            raise ValueError(f"{len(self._sections)} sections hold fewer than {n_pages} pages")
        self.n_pages, self.page_size = n_pages, page_size
        self.c = ffi.new("pksm_store *")
        self.c.sections = _in(self._sections, "uint64_t[]")
        self.c.n_pages, self.c.page_size = n_pages, page_size


class Checksum:
    """A checksum function of C with its state; ready for any call that sums pages.

    words: uint32 positions for strategies that sample, else None.
    """

    def __init__(self, name, words=None):
        strategy = _strategies()[name]
        self.name, self.width = name, strategy.width
        self.words = None if words is None else ids_array(words)
        if (self.words is not None) != bool(strategy.takes_sample):
            raise ValueError(f"strategy {name} {'needs' if strategy.takes_sample else 'takes no'} word positions")
        self.last_word = int(self.words.max()) if self.words is not None and self.words.size else 0
        self.c = ffi.new("pksm_checksum *")
        self.c.sum, self.c.many = strategy.sum, strategy.many
        if self.words is not None:
            self._sample = ffi.new("pksm_sample *")
            self._sample.n_words = len(self.words)
            self._sample.words = self._words = _in(self.words, "uint32_t[]")
            self.c.state = self._sample

    def check_fits(self, page_size):
        """Raise ValueError if it looks at words behind the end of a page of page_size bytes."""
        if self.last_word * 4 + 4 > page_size:
            raise ValueError(f"a page of {page_size} bytes has no word {self.last_word}")

    def of(self, data):
        """Return the checksum (int) of one page given as bytes."""
        self.check_fits(len(data))
        return self.c.sum(_in(data, "uint8_t[]"), len(data), self.c.state)


CPU_LEVELS = {
    "scalar": lib.PKSM_CPU_SCALAR,
    "sse42": lib.PKSM_CPU_SSE42,
    "avx2": lib.PKSM_CPU_AVX2,
    "avx512": lib.PKSM_CPU_AVX512,
}


def cpu_levels():
    """Return the names of the levels that this machine can do, narrow to wide."""
    return [name for name, level in CPU_LEVELS.items() if level <= lib.pksm_cpu_best()]


def select_cpu(name):
    """Let the kernels work at this level; UsageError for an unknown one, UnsupportedError for one too wide."""
    if name not in CPU_LEVELS:
        raise errors.UsageError(f"PKSM_CPU={name}: must be one of {', '.join(CPU_LEVELS)}")
    if lib.pksm_cpu_select(CPU_LEVELS[name]):
        raise errors.UnsupportedError(f"PKSM_CPU={name}: this processor has {', '.join(cpu_levels())}")


select_cpu(os.environ.get("PKSM_CPU") or cpu_levels()[-1])


def _strategies():
    count = ffi.new("size_t *")
    table = lib.pksm_strategies(count)
    return {ffi.string(table[i].name).decode(): table[i] for i in range(count[0])}


def strategy_widths():
    """Return {name: bits} of every strategy in the core's table, the default first."""
    return {name: strategy.width for name, strategy in _strategies().items()}


def takes_sample(name):
    """Return True if the strategy looks at chosen words only."""
    return bool(_strategies()[name].takes_sample)


def page_compare(a, b):
    """Return (order, common): -1, 0 or 1 as memcmp, and the length in bytes of the common prefix."""
    if len(a) != len(b):
        raise ValueError(f"pages of {len(a)} and {len(b)} bytes")
    common = ffi.new("size_t *")
    return lib.pksm_page_compare(_in(a, "uint8_t[]"), _in(b, "uint8_t[]"), len(a), common), common[0]


def page_is_zero(data):
    """Return True if all bytes are zero."""
    return bool(lib.pksm_page_is_zero(_in(data, "uint8_t[]"), len(data)))


def pages_are_zero(store, pages):
    """Return a bool array: which of the pages are all zeros."""
    pages = ids_array(pages)
    zero = np.empty(len(pages), np.uint8)
    _check(lib.pksm_pages_are_zero(store.c, _in(pages, "uint32_t[]"), len(pages), _out(zero, "uint8_t[]")))
    return zero.view(bool)


def pages_compare(store, a, b):
    """Return an int8 array: the order of page a[i] and page b[i]."""
    a, b = ids_array(a), ids_array(b)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} pages against {len(b)}")
    order = np.empty(len(a), np.int8)
    _check(
        lib.pksm_pages_compare(store.c, _in(a, "uint32_t[]"), _in(b, "uint32_t[]"), len(a), _out(order, "int8_t[]"))
    )
    return order


def pages_copy(store, pages):
    """Return the bytes of the pages: a uint8 array (n, page_size)."""
    pages = ids_array(pages)
    out = np.empty((len(pages), store.page_size), np.uint8)
    _check(lib.pksm_pages_copy(store.c, _in(pages, "uint32_t[]"), len(pages), _out(out, "uint8_t[]")))
    return out


def checksum_pages(store, checksum, pages, out=None):
    """Return the checksums of the pages: a uint64 array (n,), in `out` if that is given."""
    checksum.check_fits(store.page_size)
    pages = ids_array(pages)
    sums = np.empty(len(pages), np.uint64) if out is None else out
    if sums.dtype != np.uint64 or len(sums) != len(pages):
        raise ValueError("out must be a uint64 array, one entry a page")
    _check(
        lib.pksm_checksum_pages(
            store.c, checksum.c, _in(pages, "uint32_t[]"), len(pages), _out(sums, "uint64_t[]")
        )
    )
    return sums


class TableView:
    """A pksm_table over a NODE array with the two trees in it, alive together.

    nodes: NODE array, entry 0 is nil; trees: TREES array of one entry.
    """

    def __init__(self, nodes, trees):
        if nodes.dtype != NODE or trees.dtype != TREES or len(trees) != 1:
            raise ValueError("nodes and trees must be arrays of native.NODE and one native.TREES")
        self.nodes, self.trees = nodes, trees
        self._nodes = _out(nodes, "pksm_node[]")
        self.c = ffi.new("pksm_table *")
        self.c.nodes, self.c.n_nodes = self._nodes, len(nodes)
        self.c_trees = _out(trees, "pksm_trees *")


def unlink(table, ids):
    """Take the items out of the tree they are in."""
    ids = ids_array(ids)
    _check(lib.pksm_unlink(table.c, table.c_trees, _in(ids, "uint32_t[]"), len(ids)))


def relink(store, table, order, ids, cost):
    """Put items back into the unstable tree by the checksum column, one by one; equals are left out."""
    ids = ids_array(ids)
    _check(
        lib.pksm_relink(
            store.c, table.c, table.c_trees, ORDERS[order], _in(ids, "uint32_t[]"), len(ids), _out(cost, "pksm_cost *")
        )
    )


def tree_items(table, which):
    """Return the ids in the tree of which (UNSTABLE or STABLE), in its order: a uint32 array."""
    out = np.empty(int(table.trees["n_stable" if which == STABLE else "n_unstable"][0]), np.uint32)
    _check(lib.pksm_tree_items(table.c, table.c_trees, which, _out(out, "uint32_t[]")))
    return out


def trees_check(table, order, store=None):
    """Raise TreeError unless both trees are sound; with a store, by the bytes too."""
    _check(lib.pksm_trees_check(store.c if store else ffi.NULL, table.c, table.c_trees, ORDERS[order]))


class PackedRules:
    """A pksm_rules with the checksum it points to, alive together."""

    def __init__(self, stages, order, checksum, zero_checksum, zero_on_differ, on_differ, on_stale, distrust, window=1):
        self._checksum = checksum
        self.order = order
        self.c = ffi.new("pksm_rules *")
        self.c.stages = bytes(STAGES[stage] for stage in stages).ljust(8, b"\0")
        self.c.order = ORDERS[order]
        self.c.zero_on_differ, self.c.on_differ, self.c.on_stale = zero_on_differ, on_differ, on_stale
        self.c.distrust, self.c.window = distrust, window
        self.c.zero_checksum = zero_checksum
        self.c.checksum = checksum.c[0]


def settle(store, table, rules, classes, ids, cost):
    """Settle items in order of arrival; see pksm_settle in pksm.h.

    classes: uint8 array, one entry a page number, or None; cost: COST array of one entry, added to.
    Returns (verdicts uint8, others uint32, revisit uint32, done int): done may be less than len(ids).
    """
    ids = ids_array(ids)
    n = len(ids)
    if classes is not None and (classes.dtype != np.uint8 or len(classes) < store.n_pages):
        raise ValueError("classes must be a uint8 array with an entry for every page number")
    verdicts, others, revisit = np.empty(n, np.uint8), np.empty(n, np.uint32), np.empty(n, np.uint32)
    counts = ffi.new("size_t[2]")
    status = lib.pksm_settle(
        store.c,
        table.c,
        table.c_trees,
        rules.c,
        ffi.NULL if classes is None else _in(classes, "uint8_t[]"),
        _in(ids, "uint32_t[]"),
        n,
        _out(verdicts, "uint8_t[]"),
        _out(others, "uint32_t[]"),
        _out(revisit, "uint32_t[]"),
        counts,
        counts + 1,
        _out(cost, "pksm_cost *"),
    )
    _check(status)
    return verdicts[: counts[1]], others[: counts[1]], revisit[: counts[0]], counts[1]


def group(keys, n_keys):
    """Sort positions by key, stable: return (order uint32, starts list of n_keys + 1 ints)."""
    order, starts = np.empty(len(keys), np.uint32), np.empty(n_keys + 1, np.uint32)
    _check(
        lib.pksm_group(
            _in(keys, "uint8_t[]"), len(keys), n_keys, _out(order, "uint32_t[]"), _out(starts, "uint32_t[]")
        )
    )
    return order, starts.tolist()


class RingView:
    """A pksm_ring over its ids and an item table's stamps, alive together.

    ids: uint32 ring; stamps: uint32 by item id; flag: the native flag of the ring.
    """

    def __init__(self, ids, stamps, flag):
        self._ids, self._stamps = _out(ids, "uint32_t[]"), _out(stamps, "uint32_t[]")
        self.c = ffi.new("pksm_ring *")
        self.c.ids, self.c.stamps, self.c.size = self._ids, self._stamps, len(ids)
        self.c.head = self.c.tail = 1
        self.c.flag = flag

    def move_stamps(self, stamps):
        """Use another stamp column: the table has grown."""
        self._stamps = _out(stamps, "uint32_t[]")
        self.c.stamps = self._stamps


def ring_push(table, ring, ids):
    """Append ids; ValueError if there is no room."""
    _check(lib.pksm_ring_push(table.c, ring.c, _in(ids, "uint32_t[]"), len(ids)))


def ring_take(table, ring, n, peek=False):
    """Take (or only look at) the first n ids: uint32, oldest first."""
    out, count = np.empty(min(n, ring.c.length), np.uint32), ffi.new("size_t *")
    _check(lib.pksm_ring_take(table.c, ring.c, len(out), peek, _out(out, "uint32_t[]"), count))
    return out[: count[0]]


def ring_drop(table, ring, ids):
    """Take those of the ids that are on the ring off it."""
    _check(lib.pksm_ring_drop(table.c, ring.c, _in(ids, "uint32_t[]"), len(ids)))


def remap(frame_of, mapcount, pages, frames):
    """Point pages with a frame to themselves to other, mapped frames; ValueError, and nothing done, if they don't fit."""
    pages, frames = ids_array(pages), ids_array(frames)
    _check(
        lib.pksm_remap(
            _out(frame_of, "uint32_t[]"),
            _out(mapcount, "uint32_t[]"),
            len(frame_of),
            _in(pages, "uint32_t[]"),
            _in(frames, "uint32_t[]"),
            len(pages),
        )
    )


def part(item_of_page, pages):
    """Return the items of those pages that have one, in order, and make them have none: item_of_page is uint32."""
    ids, count = np.empty(len(pages), np.uint32), ffi.new("size_t *")
    columns = _out(item_of_page, "uint32_t[]"), len(item_of_page), _in(pages, "uint32_t[]"), len(pages)
    _check(lib.pksm_part(*columns, _out(ids, "uint32_t[]"), count))
    return ids[: count[0]]


def clear(table, ids):
    """Make items blank again; ItemError, and nothing done, if one is in a tree or on a list."""
    _check(lib.pksm_clear(table.c, _in(ids, "uint32_t[]"), len(ids)))


def prepend(table, next_, ids, records):
    """Put records[i] at the head of the list of item ids[i], in this order; links are in next_ (uint32)."""
    _check(
        lib.pksm_prepend(
            table.c,
            _out(next_, "uint32_t[]"),
            len(next_),
            _in(ids, "uint32_t[]"),
            _in(records, "uint32_t[]"),
            len(ids),
        )
    )


def collect(next_, heads):
    """Follow `next_` (uint32, 0 ends) from every head: return all records met, list by list."""
    heads, count = ids_array(heads), ffi.new("size_t *")
    lists = _in(next_, "uint32_t[]"), len(next_), _in(heads, "uint32_t[]"), len(heads)
    _check(lib.pksm_collect(*lists, ffi.NULL, count))
    out = np.empty(count[0], np.uint32)
    _check(lib.pksm_collect(*lists, _out(out, "uint32_t[]"), count))
    return out


def catch_bus_errors():
    """Make reads of a mapped file that shrank raise BusError; for programs, it installs a SIGBUS handler."""
    _check(lib.pksm_catch_bus_errors())


# ---- yardsticks: what benchmarks hold the engine against ----
SLOT = np.dtype([("checksum", "u8"), ("page", "u4"), ("used", "u4")])
assert SLOT.itemsize == ffi.sizeof("pksm_slot")


def yardstick_read(store, pages):
    """Return the sum of all 64-bit words of the pages, modulo 2**64."""
    pages, total = ids_array(pages), ffi.new("uint64_t *")
    _check(lib.pksm_yardstick_read(store.c, _in(pages, "uint32_t[]"), len(pages), total))
    return total[0]


def yardstick_memcpy(store, pages, out):
    """Copy the pages' bytes to out: uint8 (n, page_size)."""
    pages = ids_array(pages)
    if out.dtype != np.uint8 or out.shape != (len(pages), store.page_size):
        raise ValueError("out must be a uint8 array, one row a page")
    _check(lib.pksm_pages_copy(store.c, _in(pages, "uint32_t[]"), len(pages), _out(out, "uint8_t[]")))


def yardstick_memcmp(store, a, b):
    """Return how many pairs of pages a[i], b[i] have equal bytes."""
    a, b, equal = ids_array(a), ids_array(b), ffi.new("uint64_t *")
    if len(a) != len(b):
        raise ValueError(f"{len(a)} pages against {len(b)}")
    _check(lib.pksm_yardstick_memcmp(store.c, _in(a, "uint32_t[]"), _in(b, "uint32_t[]"), len(a), equal))
    return equal[0]


def yardstick_table(store, checksum, pages, slots, kept):
    """Fill kept (uint32) with the first page of the bytes of each; slots: zeroed SLOT array, a power of two above n."""
    pages = ids_array(pages)
    if slots.dtype != SLOT or kept.dtype != np.uint32 or len(kept) != len(pages):
        raise ValueError("slots must be a SLOT array, kept a uint32 array with one entry a page")
    given = _in(pages, "uint32_t[]"), len(pages)
    taken = _out(slots, "pksm_slot[]"), len(slots), _out(kept, "uint32_t[]")
    _check(lib.pksm_yardstick_table(store.c, checksum.c, *given, *taken))


def yardstick_ksm(store, pages, table, kept):
    """Fill kept (uint32) with the page that KSM merges each into; table: a TableView of n + 1 zeroed nodes."""
    pages = ids_array(pages)
    if kept.dtype != np.uint32 or len(kept) != len(pages):
        raise ValueError("kept must be a uint32 array with one entry a page")
    given = _in(pages, "uint32_t[]"), len(pages)
    _check(lib.pksm_yardstick_ksm(store.c, *given, table.c, _out(kept, "uint32_t[]")))
