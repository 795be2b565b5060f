"""The one door to the C core: checks arguments, calls, turns status into exceptions.

Arrays are borrowed for the call. Page numbers and item ids are uint32 arrays. cffi drops the GIL round every call: an
engine and its memory belong to one thread at a time. Only door.py imports the extension.
"""

from pksm.engine.native.buckets import BucketsView, CksmRules, buckets_remove, cksm_visit
from pksm.engine.native.checksums import (
    AnyChecksum,
    Batched,
    Checksum,
    Function,
    Known,
    checksum_pages,
    keyed_sums,
    strategy_widths,
    takes_sample,
)
from pksm.engine.native.door import CPU_LEVELS, catch_bus_errors, cpu_levels, ids_array, select_cpu, span
from pksm.engine.native.ksm import (
    LEAF,
    KsmView,
    PlacesView,
    ksm_bury,
    ksm_drop,
    ksm_limits,
    ksm_meet,
    ksm_pass,
    ksm_remove_dead,
    ksm_visit,
)
from pksm.engine.native.lists import (
    FramesView,
    ItemsOfPages,
    RecordsView,
    RingView,
    bear,
    clear,
    collect,
    detach,
    mark,
    records_append,
    records_release,
    release_items,
    remap,
    rings_array,
    select,
    tally,
)
from pksm.engine.native.pages import StoreView, page_compare, page_is_zero, pages_are_zero, pages_compare, pages_copy
from pksm.engine.native.pointers import address_of, is_c_function, lent
from pksm.engine.native.trees import (
    Ahead,
    Answers,
    PackedRules,
    TableView,
    relink,
    settle,
    sorted_answers,
    tree_items,
    trees_check,
    unlink,
)
from pksm.engine.native.types import (
    BUSY_PAGE,
    CHAIN,
    CHECKSUM_LIST,
    CKSM_CURSOR,
    COST,
    DELLIST,
    DUP,
    FREE,
    INITCHECKSUM,
    KSM_COUNTS,
    MAX_FOREST_BITS,
    MAX_WINDOW,
    MLOCKED,
    NEWLIST,
    NO_PAGE,
    NODE,
    NOT_ANON,
    NOT_KPAGE,
    ORDERS,
    PASSED,
    RESCAN,
    RETIRED,
    RETRY,
    SKIP,
    STABLE,
    STAGES,
    STOP,
    SUCCESS,
    TREES,
    UKSM_WORK,
    UNSTABLE,
    VERDICTS,
    WALK_BREAKS,
    WALK_FAILS,
    WALK_LOSES,
    ZERO_REFUSED,
    Verdict,
)
from pksm.engine.native.uksm import (
    UksmView,
    uksm_bury,
    uksm_drop,
    uksm_empty,
    uksm_pace,
    uksm_shuffle,
    uksm_sort_in,
    uksm_unshuffle,
    uksm_visit,
)
from pksm.engine.native.yardstick import (
    SLOT,
    yardstick_calls,
    yardstick_ksm,
    yardstick_memcmp,
    yardstick_memcpy,
    yardstick_read,
    yardstick_table,
)
