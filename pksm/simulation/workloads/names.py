"""Memory to measure with: static loads, made from a seed, whose answer is known by construction; and workloads, which
say what happens to memory and when.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

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


class Recorded(NamedTuple):
    """A workload that was run in booted PKSM kernels.

    text: a phrase; size: of its main part, in its own unit; maker: the function of recorded.py that makes its events;
    settings: of pksmd, set before it.
    """

    text: str
    size: int
    maker: str
    settings: Mapping[str, int] = MappingProxyType({})


# `pksm truth` has what the kernels counted.
RECORDED = {
    "W1": Recorded("unique pages", 2000, "w1"),
    "W2": Recorded("pairs, a thousand pages apart", 2000, "w2"),
    "W2_onchange": Recorded("the same, recorded wake-up by wake-up", 2000, "w2"),
    "TUN_W2_scan100_sleep50": Recorded("pairs, 100 pages per wake-up", 2000, "w2", {"pages_to_scan": 100}),
    "TUN_W2_scan200_sleep50": Recorded("pairs, 200 pages per wake-up", 2000, "w2", {"pages_to_scan": 200}),
    "W2_adjacent": Recorded("pairs, side by side", 2000, "w2_adjacent"),
    "W3": Recorded("groups of 16", 1600, "w3"),
    "TUN_W3_scan100_sleep20": Recorded("groups of 16, a wake-up every 20 ms", 1600, "w3", {"sleep_millisecs": 20}),
    "W4": Recorded("zero pages; half of them written, zeroed again, a quarter unmapped", 1000, "w4"),
    "W5a": Recorded("merged pairs, then three forks", 500, "w5a"),
    "W5b": Recorded("pairs with three forks, merged only then", 500, "w5b"),
    "W5c": Recorded("zero pages, merged, then three forks", 100, "w5c"),
    "W6": Recorded("merged pairs; one member of each written, put back, then the other written", 2000, "w6"),
    "W8_small": Recorded("merged pairs, and 40 pages that change every 100 ms for 30 s", 2000, "w8_small"),
    "W9_mlock_both": Recorded("pairs, all mlocked", 400, "w9"),
    "W11": Recorded("pairs that differ in the last 8 bytes only", 2000, "w11"),
    "W12": Recorded("pairs: pair i differs in word i", 2048, "w12"),
    "W12_triples": Recorded("triples A, A', A' of one checksum and two contents", 1200, "w12_triples"),
    "W13_stack": Recorded("pairs on a stack", 400, "w13_stack"),
    "W13_heap": Recorded("pairs on a heap", 400, "w13_heap"),
    "W13_readfault": Recorded("pages read before they are written", 400, "w13_readfault"),
    "W15_sparse": Recorded("zero but for word i, each page twice", 2048, "w15"),
    "W18_u50_period10": Recorded("50 unique pages turned into pairs where they stand", 50, "w18"),
    "W18_u300_period10": Recorded("300 unique pages turned into pairs where they stand", 300, "w18"),
    "W20_groups": Recorded("that many groups each of 2, 3, 4 and 5; every 7th page written, then all", 100, "w20"),
    "W23_leak": Recorded("a process whose child has its own copies, and another with equal pages", 200, "w23"),
    "W26_few_new": Recorded("one new page, then two, and so on", 4, "w26"),
}

# What `events` can make, for simulations: name -> one sentence. registry.py has who makes them.
WORKLOADS = LOADS | {
    "fork-family": "A process forks three children before anything is merged; they write a tenth each, and go.",
    "opted-in": "A process opts in to a tenth of its memory, and has nothing to share in the rest.",
    "churn": "A server and up to four workers for 30 s: pages rewritten in place, copied on write, freed.",
    "zygote": "A zygote forks eight apps, 2 s apart: each writes to what it inherits, and has memory of its own.",
    "browser": "Ten tabs, 3 s apart, a third of each what others have; the two in front change, old ones are closed.",
    "vm-boots": "Four guests of one image boot 5 s apart; page cache grows, and memory is zeroed, written and freed.",
    "database": "Two replicas: equal tables at rest, buffers that both rewrite at random, and private memory.",
    "functions": "A function starts every 250 ms, of one of three runtimes, and lives for about 2 s.",
    "cow-storm": "Four equal processes, all merged; then all write to the same quarter, and back, ten times.",
    "swapping": "Two processes with half in common; parts of one are swapped out and come back when they are read.",
}
WORKLOADS |= {f"truth:{name}": f"Recorded in kernels: {workload.text}." for name, workload in RECORDED.items()}
