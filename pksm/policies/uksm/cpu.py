"""What a batch costs: ns of CPU as a function of what it did. A model, so that a run is the same each time.

The figures are those of the recorded kernel, whose clock counted an instruction as a ns: fitted to 27,534 wake-ups of 94
workloads. The medians of what they miss by are 5 % of the time of a wake-up.
"""

from typing import NamedTuple

BATCH_NS = 164
NO_PAGE_NS = 375  # a visit that finds no page, or the zero page
PAGE_NS = 505  # of another, and
WORD_NS = 10.9  # for each word of a hash
SEARCH_NS = 545  # of the trees, by a page that is not merged
COMPARE_NS = 1500  # of two pages, and their merge
PASS_NS = 100  # at the end of a pass over a slot
MEMCMP_COST = 61  # a compare, in 1024ths of a full hash


class Done(NamedTuple):
    """What a batch did: visits, and how many found no page, or a merged one; words of hashes, compares, passes."""

    visits: int
    no_page: int
    merged: int
    words: int  # of all hashes together
    compares: int
    passes: int


def batch_ns(done: Done) -> int:
    """Return the ns of a batch."""
    hashed = done.visits - done.no_page
    visits = done.no_page * NO_PAGE_NS + hashed * PAGE_NS + (hashed - done.merged) * SEARCH_NS
    return BATCH_NS + int(visits + done.words * WORD_NS) + done.compares * COMPARE_NS + done.passes * PASS_NS
