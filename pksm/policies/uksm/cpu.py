"""What a batch costs: ns of CPU as a function of what it did. A model, so that a run is the same each time.

The figures are those of the recorded kernel, whose clock counted an instruction as a ns.
"""

BATCH_NS = 164
NO_PAGE_NS = 400  # a visit that finds no page, or the zero page
MERGED_NS = 480  # a visit of what is merged already
PAGE_NS = 490
WORD_NS = 11  # of a hash
COMPARE_NS = 730
DRAIN_NS = 3000  # at the end of an evaluation round
MEMCMP_COST = 61  # a compare, in 1024ths of a full hash


def batch_ns(visits: int, no_page: int, hashed: int, words: int, full_sums: int, most_words: int, compares: int) -> int:
    """Return the ns of a batch, from counts of what it did. words: the strength of its hashes."""
    merged = visits - no_page - hashed
    hashing = hashed * (PAGE_NS + WORD_NS * words) + full_sums * WORD_NS * (most_words - words)
    return BATCH_NS + no_page * NO_PAGE_NS + merged * MERGED_NS + hashing + compares * COMPARE_NS
