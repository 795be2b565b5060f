"""Memory to measure with: static loads, made from a seed, whose answer is known by construction; and workloads, which
say what happens to memory and when.
"""

# What `make` can build. Copies lie scattered all over the pages.
LOADS = {
    "a": "All pages unique, random bytes.",
    "b": "Half of the pages unique, half in pairs, random bytes.",
    "c": "Groups of 16 equal pages, random bytes.",
    "d": "30 % zero pages, the others unique random bytes.",
    "e": "All pages unique, yet equal up to their last 8 bytes.",
    "f": "The realistic mix: 15 % zero, 25 % copied in groups of 2 to 32, 20 % behind a zero prefix, "
    "20 % pointer-like words behind one of 64 shared headers, 20 % random.",
    "p": "All pages unique, random bytes behind a zero prefix of random length.",
}

# What was run in booted PKSM kernels; `pksm truth` has what they counted.
RECORDED = {
    "W1": "unique pages",
    "W2": "pairs, a thousand pages apart",
    "W2_onchange": "the same, recorded wake-up by wake-up",
    "TUN_W2_scan100_sleep50": "pairs, 100 pages a wake-up",
    "TUN_W2_scan200_sleep50": "pairs, 200 pages a wake-up",
    "W2_adjacent": "pairs, side by side",
    "W3": "groups of 16",
    "TUN_W3_scan100_sleep20": "groups of 16, a wake-up every 20 ms",
    "W4": "zero pages; half of them written, zeroed again, a quarter unmapped",
    "W5a": "merged pairs, then three forks",
    "W5b": "pairs with three forks, merged only then",
    "W5c": "zero pages, merged, then three forks",
    "W6": "merged pairs; one member of each written, put back, then the other written",
    "W8_small": "merged pairs, and 40 pages that change every 100 ms for 30 s",
    "W9_mlock_both": "pairs, all mlocked",
    "W11": "pairs that differ in the last 8 bytes only",
    "W12": "pairs: pair i differs in word i",
    "W12_triples": "triples A, A', A' of one checksum and two contents",
    "W13_stack": "pairs on a stack",
    "W13_heap": "pairs on a heap",
    "W13_readfault": "pages read before they are written",
    "W15_sparse": "zero but for word i, each page twice",
    "W18_u50_period10": "50 unique pages turned into pairs where they stand",
    "W18_u300_period10": "300 unique pages turned into pairs where they stand",
    "W20_groups": "that many groups each of 2, 3, 4 and 5; every 7th page written, then all",
    "W23_leak": "a process whose child has its own copies, and another with equal pages",
    "W26_few_new": "one new page, then two, and so on",
}

# What `events` can make, for simulations: name -> one sentence. registry.py has who makes them.
WORKLOADS = LOADS | {
    "fork-family": "A process forks three children before anything is merged; they write a tenth each, and go.",
    "opted-in": "A process opts in to a tenth of its memory, and has nothing to share in the rest.",
    "churn": "A server and up to four workers for 30 s: pages rewritten in place, copied on write, freed.",
}
WORKLOADS |= {f"truth:{name}": f"Recorded in kernels: {text}." for name, text in RECORDED.items()}
