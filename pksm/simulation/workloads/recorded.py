"""The workloads that were run in really booted PKSM kernels, as events.

names.py lists them, and says which function here makes each. pksm.validation.recorded holds their counters beside ours.

Each begins with an init process whose few pages are tracked too, as there: they count in pages_unshared and stand at
the head of the list of pages to recheck. Readings have the labels of the recorded phases; before a series of wake-ups
one is called "series".
"""

from collections.abc import Iterator

import numpy as np

from pksm.arrays import I64Array
from pksm.simulation.operations import Event
from pksm.simulation.workloads.names import RECORDED

INIT_PAGES = 6
SETTLED_MS = 2500
INIT_CONTENT = 4_000_000  # ids that no workload uses


def _do(op: str, **fields: object) -> Event:
    return Event(None, op, fields)


def events(name: str, size: int | None = None) -> Iterator[Event]:
    """Yield the Events of a workload of RECORDED. size: of its main part, in its maker's own unit; None: as recorded."""
    known = RECORDED[name]
    yield _do("spawn", process="init")
    yield from _filled("init", range(INIT_CONTENT, INIT_CONTENT + INIT_PAGES))
    yield _do("until_rest", quiet_ms=SETTLED_MS)
    yield _read("baseline")
    for setting, value in known.settings.items():
        yield _set(setting, value)
    yield from globals()[known.maker](known.size if size is None else size)
    yield _read("after_exit_now")
    yield from _settled("after_exit_settled")


# ---- words of which workloads are made ----


def _read(label: str) -> Event:
    return _do("read", label=label)


def _settled(label: str) -> Iterator[Event]:
    yield _do("until_rest", quiet_ms=SETTLED_MS)
    yield _read(label)


def _set(name: str, value: int) -> Event:
    return _do("set", name=name, value=value)


def _mapped(process: str, n: int, name: str = "all", **kind: bool) -> Iterator[Event]:
    yield _do("mmap", process=process, n=n, name=name, **kind)


def _written(process: str, name: str, ids: I64Array | list[int] | range, first: int = 0) -> Iterator[Event]:
    yield _do("write", process=process, address=name, content=[int(id) for id in ids], first=first)


def _filled(process: str, ids: I64Array | list[int] | range, name: str = "all", **kind: bool) -> Iterator[Event]:
    """A new mapping full of pages."""
    yield from _mapped(process, len(ids), name, **kind)
    yield from _written(process, name, ids)


def _patched(process: str, pages: range, word: int = 0, value: int = 1, name: str = "all") -> Iterator[Event]:
    yield _do("patch", process=process, address=name, patches=[[int(page), int(word), value] for page in pages])


def _run_from_rest(ids: I64Array, label: str = "settled", first_label: str = "alloc_run0") -> Iterator[Event]:
    """Fill while pksmd is stopped, and let it run."""
    yield _do("spawn", process="p0")
    yield _set("run", 0)
    yield from _filled("p0", ids)
    yield _read(first_label)
    yield _read("series")
    yield _set("run", 1)
    yield from _settled(label)


def _exit(*processes: str) -> Iterator[Event]:
    for process in processes:
        yield _do("exit", process=process)


def _pairs(n: int) -> I64Array:
    return np.repeat(np.arange(1, n + 1), 2)


# ---- the workloads, each of a size in its own unit ----


def w1(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield _set("run", 0)
    yield from _filled("p0", range(1, size + 1))
    # what stands in a per-CPU list of new pages has a reference more: two pages here
    yield _do("pin", process="p0", address="all", first=size - 2, n=2, name="pagevec")
    yield _read("alloc")
    yield _read("series")
    yield _set("run", 1)
    yield from _settled("settled_undrained")
    yield _do("unpin", name="pagevec")
    yield from _settled("settled_drained")
    yield from _exit("p0")


def w2(size: int) -> Iterator[Event]:
    yield from _run_from_rest(np.arange(size) % (size // 2) + 1)
    yield from _exit("p0")


def w2_adjacent(size: int) -> Iterator[Event]:
    yield from _run_from_rest(_pairs(size // 2))
    yield from _exit("p0")


def w3(size: int) -> Iterator[Event]:
    yield from _run_from_rest(np.arange(size) % (size // 16) + 1)
    yield from _exit("p0")


def w4(size: int) -> Iterator[Event]:
    half, quarter = size // 2, size // 4
    yield from _run_from_rest(np.zeros(size, int))
    yield from _written("p0", "all", range(1, half + 1))
    yield _read("cow500_now")
    yield from _settled("cow500_settled")
    yield from _written("p0", "all", [0] * half)
    yield from _settled("rezero_settled")
    # half of the unmapped ones are still merged
    yield _do("munmap", process="p0", address="all", first=half - quarter // 2, n=quarter)
    yield _read("munmap250_now")
    yield from _settled("munmap250_settled")
    yield from _exit("p0")


def w5a(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield from _filled("p0", _pairs(size // 2))
    yield from _settled("merged")
    for kid in ("kid1", "kid2", "kid3"):
        yield _do("fork", process="p0", child=kid)
    yield _read("fork3_now")
    yield from _settled("fork3_settled")
    yield from _exit("kid1")
    yield from _settled("kid1_dead")
    yield from _exit("kid2", "kid3")
    yield from _settled("kids_dead")
    yield from _exit("p0")


def w5b(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield _set("run", 0)
    yield from _filled("p0", _pairs(size // 2))
    for kid in ("kid1", "kid2", "kid3"):
        yield _do("fork", process="p0", child=kid)
    yield _read("fork3_run0")
    yield _set("run", 1)
    yield from _settled("fork3_settled")
    yield from _exit("kid1", "kid2", "kid3")
    yield from _settled("kids_dead")
    yield from _patched("p0", range(size))
    yield from _settled("parent_wrote_all")
    yield from _exit("p0")


def w5c(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield from _filled("p0", [0] * size)
    yield from _settled("merged0")
    for kid in ("kid1", "kid2", "kid3"):
        yield _do("fork", process="p0", child=kid)
    yield _read("fork3_now")
    yield from _exit("kid1")
    yield from _settled("kid1_dead")
    yield from _exit("kid2", "kid3")
    yield _read("kids_dead")
    yield from _exit("p0")


def w6(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield from _filled("p0", _pairs(size // 2))
    yield from _settled("merged")
    yield from _patched("p0", range(0, size, 2))
    yield _read("cow_even_now")
    yield from _settled("cow_even_settled")
    for page in range(0, size, 2):
        yield from _written("p0", "all", [page // 2 + 1], first=page)
    yield _read("restore_even_now")
    yield from _settled("restore_even_settled")
    yield from _patched("p0", range(1, size, 2))
    yield _read("cow_odd_now")
    yield from _settled("cow_odd_settled")
    yield from _exit("p0")


def w8_small(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield from _filled("p0", _pairs(size // 2))
    yield from _mapped("p0", 40, "volatile")
    for turn in range(300):
        yield from _written("p0", "volatile", range(10_000 + turn * 40, 10_040 + turn * 40))
        for _ in range(2):
            yield _do("wait", ms=50)
            if turn >= 30:
                yield _read("range_3s_to_30s")
    yield _read("stop_writing")
    yield from _settled("settled")
    yield from _written("p0", "volatile", 1_000_000 + _pairs(20))
    yield _do("wait", ms=5000)
    yield _read("volatile_made_pairs")
    yield from _exit("p0")


def w9(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield _set("run", 0)
    yield from _filled("p0", _pairs(size // 2))
    yield _do("mlock", process="p0", address="all", n=size)
    yield _read("mlocked_run0")
    yield _set("run", 1)
    yield from _settled("settled")
    yield _do("munlock", process="p0", address="all", n=size)
    yield from _settled("munlocked")
    yield from _exit("p0")


def w11(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield _set("run", 0)
    yield from _filled("p0", _pairs(size // 2))
    for word in (1022, 1023):
        yield from _patched("p0", range(1, size, 2), word)
    yield _set("run", 1)
    yield from _settled("settled")
    yield from _exit("p0")


def w12(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield _set("run", 0)
    yield from _filled("p0", _pairs(size // 2))
    words = np.arange(size // 2) % 1024
    yield _do("patch", process="p0", address="all", patches=[[2 * i + 1, int(word), 1] for i, word in enumerate(words)])
    yield _read("alloc_run0")
    yield _set("run", 1)
    yield from _settled("settled")
    yield from _patched("p0", range(size), word=1, value=7)
    yield from _settled("wrote_all_settled")
    yield from _exit("p0")


def w12_triples(size: int) -> Iterator[Event]:
    third = size // 3
    yield _do("spawn", process="p0")
    yield _set("run", 0)
    for name in ("A", "A1", "A2"):
        yield from _filled("p0", range(1, third + 1), name)
        if name != "A":
            yield from _patched("p0", range(third), name=name)
    yield _set("run", 1)
    yield from _settled("settled")
    yield from _exit("p0")


def w13_stack(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield from _filled("p0", np.arange(size) % (size // 2) + 1, stack=True)
    yield from _settled("stack_settled")
    yield from _exit("p0")


def w13_heap(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield from _filled("p0", np.arange(size) % (size // 2) + 1)
    yield from _settled("heap_settled")
    yield from _exit("p0")


def w13_readfault(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield from _mapped("p0", size)
    yield _do("touch", process="p0", address="all", n=size)
    yield from _settled("readfault_zero_settled")
    yield from _written("p0", "all", np.arange(size) % (size // 2) + 1)
    yield from _settled("then_written_settled")
    yield from _exit("p0")


def w15(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield _set("run", 0)
    yield from _filled("p0", [0] * size)
    yield _do("patch", process="p0", address="all", patches=[[i, i // 2 % 1024, 0x5A5A5A5A] for i in range(size)])
    yield _read("alloc_run0")
    yield _set("run", 1)
    yield from _settled("settled")
    yield from _exit("p0")


def w18(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    yield from _filled("p0", range(1, size + 1))
    yield from _settled("unique_settled")
    for page in range(1, size, 2):
        yield from _written("p0", "all", [page], first=page)  # what the page before it has
    yield _read("made_pairs_now")
    yield _read("series")
    yield _do("wait", ms=40_000)
    yield _read("made_pairs_40s")
    yield from _exit("p0")


def w20(size: int) -> Iterator[Event]:
    groups = np.repeat(np.arange(1, 4 * size + 1), np.repeat([2, 3, 4, 5], size))
    yield _do("spawn", process="p0")
    yield from _filled("p0", groups)
    yield from _settled("sizes2to5_x100_settled")
    yield from _patched("p0", range(0, len(groups), 7))
    yield from _settled("wrote_every7th")
    yield from _patched("p0", range(len(groups)), word=2)
    yield _read("wrote_all_now")
    yield from _settled("wrote_all_settled")
    yield from _exit("p0")


def w23(size: int) -> Iterator[Event]:
    yield _do("spawn", process="B")
    yield from _filled("B", range(1, size + 1))
    yield _do("fork", process="B", child="child")
    yield from _written("child", "all", range(10_001, 10_001 + size))
    yield from _settled("B_and_child_settled")
    yield _do("spawn", process="A")
    yield from _filled("A", range(1, size + 1))
    yield from _settled("A_settled")
    yield from _exit("A")
    yield from _settled("A_dead")
    yield from _exit("B", "child")
    yield from _settled("all_dead")


def w26(size: int) -> Iterator[Event]:
    yield _do("spawn", process="p0")
    for n in range(1, size + 1):
        yield _set("run", 0)
        yield from _filled("p0", range(100 * n, 101 * n), f"new{n}")
        yield _set("run", 1)
        yield _do("until_rest", quiet_ms=SETTLED_MS)
    yield from _exit("p0")
