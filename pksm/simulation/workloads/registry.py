"""Workloads by name: what a simulation plays."""

from collections.abc import Iterator
from functools import partial

from pksm.errors import UsageError
from pksm.naming import unknown
from pksm.simulation.operations import Event
from pksm.simulation.workloads import families, field, recorded
from pksm.simulation.workloads.loads import make
from pksm.simulation.workloads.names import LOADS, RECORDED, WORKLOADS

_FEW_PAGES = 512  # what happens does not depend on how many there are
_STILL = ("read", "until_rest")  # operations that change no memory


def events(name: str, pages: int = 65536, seed: int = 0, page_size: int = 4096) -> Iterator[Event]:
    """Return an iterator of the Events of a workload. UsageError for an unknown name or number of pages.

    pages: what it has to do with, about; a workload that was measured has its own. seed: of what is random in it.
    """
    if name not in MAKERS:
        raise unknown("unknown workload", name, WORKLOADS, has_list=True)
    if not isinstance(pages, int) or pages < 1:
        raise UsageError(f"workload {name} of {pages} pages: must be a whole number from 1")
    return MAKERS[name](pages, seed, page_size)


def waits_for_rest(name: str) -> bool:
    """Return whether a workload goes on once merging has come to rest, and so at another time under each policy."""
    rested = False
    for event in events(name, _FEW_PAGES):
        if rested and event.op not in _STILL:
            return True
        rested = rested or event.op == "until_rest"
    return False


def _load(name: str, pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """A static load, written by one process, until it has settled."""
    content = partial(make, name, seed=seed)  # where it is to be: a copy would take as long again
    yield Event(0, "spawn", {"process": "p0"})
    yield Event(0, "mmap", {"process": "p0", "n": pages, "name": "load", "mergeable": True})
    yield Event(0, "write", {"process": "p0", "address": "load", "n": pages, "content": content})
    yield Event(None, "until_rest", {})
    yield Event(None, "read", {"label": "settled"})


def _recorded(name: str, pages: int, seed: int, page_size: int) -> Iterator[Event]:
    """A workload as it was recorded in a kernel, at its own size."""
    return recorded.events(name)


# name -> function(pages, seed, page_size) -> iterator of Events; the names and a sentence for each: WORKLOADS
MAKERS = {name: partial(_load, name) for name in LOADS} | families.MAKERS | field.MAKERS
MAKERS |= {f"truth:{name}": partial(_recorded, name) for name in RECORDED}
