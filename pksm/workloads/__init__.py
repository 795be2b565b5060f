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

# What `events` can make, for simulations: name -> one sentence. registry.py has who makes them.
WORKLOADS = LOADS | {
    "fork-family": "A process forks three children before anything is merged; they write a tenth each, and go.",
    "churn": "A server and up to four workers for 30 s: pages rewritten in place, copied on write, freed.",
}


def __getattr__(name):
    """Bring in numpy only when a load or a workload is to be made."""
    if name in ("Load", "make"):
        from pksm.workloads import loads

        return getattr(loads, name)
    if name == "events":
        from pksm.workloads.registry import events

        return events
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
