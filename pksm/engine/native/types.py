"""The structs and enums of pksm.h as numpy dtypes and Python names.

Structs are numpy records, so that whatever lives longer than a call can be copied, pickled and inspected.
"""

from enum import IntEnum

import numpy as np

from pksm.engine.native.door import ffi, lib

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
KSM_COUNTS = np.dtype([(name, "u4") for name in ("n_spare", "shared", "sharing", "passed", "chains", "dups")])
CKSM_CURSOR = np.dtype(
    [(name, "u8") for name in ("at", "status", "visited", "unmerged", "over")]
    + [(name, "u4") for name in ("pass", "step", "new_pages", "restless", "resting", "ended")]
)
UKSM_WORK = np.dtype(
    [(name, "u8") for name in ("positive", "negative", "hashed", "full_sums", "compares", "done", "n_spare", "n_freed")]
    + [(name, "i8") for name in ("shared", "sharing", "unshared")]
    + [(name, "u4") for name in ("slot", "unused")]
)
for _dtype, _struct in (
    (UKSM_WORK, "pksm_uksm_work"),
    (CKSM_CURSOR, "pksm_cksm_cursor"),
    (NODE, "pksm_node"),
    (TREES, "pksm_trees"),
    (COST, "pksm_cost"),
    (KSM_COUNTS, "pksm_ksm_counts"),
):
    assert _dtype.itemsize == ffi.sizeof(_struct), _struct

UNSTABLE, STABLE = lib.PKSM_UNSTABLE, lib.PKSM_STABLE
INITCHECKSUM, NEWLIST, RESCAN = lib.PKSM_INITCHECKSUM, lib.PKSM_NEWLIST, lib.PKSM_RESCAN
CHECKSUM_LIST, DELLIST, ZERO_REFUSED = lib.PKSM_CHECKSUM_LIST, lib.PKSM_DELLIST, lib.PKSM_ZERO_REFUSED
NO_PAGE = 0xFFFFFFFF
CHAIN, DUP, PASSED, RETIRED = lib.PKSM_CHAIN, lib.PKSM_DUP, lib.PKSM_PASSED, lib.PKSM_RETIRED

FREE, BUSY_PAGE, WALK_FAILS = lib.PKSM_FREE, lib.PKSM_BUSY_PAGE, lib.PKSM_WALK_FAILS
NOT_KPAGE, NOT_ANON = lib.PKSM_NOT_KPAGE, lib.PKSM_NOT_ANON
WALK_BREAKS, WALK_LOSES, MLOCKED = lib.PKSM_WALK_BREAKS, lib.PKSM_WALK_LOSES, lib.PKSM_MLOCKED

ORDERS = {"content": lib.PKSM_CONTENT, "checksum": lib.PKSM_CHECKSUM, "checksum-content": lib.PKSM_CHECKSUM_CONTENT}
STAGES = {
    "unchanged": lib.PKSM_STAGE_UNCHANGED,
    "zero": lib.PKSM_STAGE_ZERO,
    "stable": lib.PKSM_STAGE_STABLE,
    "unstable": lib.PKSM_STAGE_UNSTABLE,
}
MAX_WINDOW = lib.PKSM_MAX_WINDOW  # searches in flight
MAX_FOREST_BITS = lib.PKSM_MAX_FOREST_BITS
RETRY, SUCCESS, SKIP, STOP = lib.PKSM_RETRY, lib.PKSM_SUCCESS, lib.PKSM_SKIP, lib.PKSM_STOP


class Verdict(IntEnum):
    """What settle says of an item; meanings in enum pksm_verdict, pksm.h."""

    WAITING = 0
    ZERO = 1
    JOINED = 2
    PAIRED = 3
    SAME = 4
    BUSY = 5
    DIFFERENT = 6
    LIMBO = 7
    DROP = 8
    STALE = 9
    ABORTED = 10
    HANGS = 11
    SKIPPED = 12
    APPENDED = 13
    LEFT = 14


VERDICTS = tuple(Verdict.__members__)
assert [getattr(lib, f"PKSM_{name}") for name in VERDICTS] == list(range(lib.PKSM_N_VERDICTS))
