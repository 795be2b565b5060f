"""Documents that pages are made of in tests: of several sources, of hostile names, and large ones."""

import copy
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from pksm.advice import Settings as AdviceSettings
from pksm.advice import advise
from pksm.policies.registry import choose
from pksm.scan import Settings, scan
from pksm.simulation import sweep
from pksm.simulation.run import Settings as SimulationSettings
from pksm.simulation.run import simulate

from support.memory_sources import GivenSource, data

SIZE = 4096
HOSTILE = [
    "<script>window.hit = 1</script>",
    '"><img src=x onerror="window.hit = 1">',
    "</script><script>window.hit = 1</script>",
    "'-alert(1)-'",
    "a\u202eb\u2066c\u200f",
    "esc\x1b[2J\x00",
    "{{ 7 * 7 }}{% raw %}",
    "]]> <!-- <b>",
    "&lt;b&gt;",
    "n" * 4095,
]


def _source(name, letters, zero=0, mapping="heap"):
    pages = data(*(bytes([letter]) * SIZE for letter in letters), *[bytes(SIZE)] * zero)
    return GivenSource(name, pages, list(range(len(pages))), [1] * len(pages), [mapping] * len(pages))


@cache
def _several():
    sources = [
        _source("one.ram", range(1, 60), 8),
        _source("two.ram", range(30, 90), 3),
        _source("three", range(40, 200)),
    ]
    return scan(sources, Settings(top=1000))


def several():
    """A scan of three sources that have some in common."""
    return copy.deepcopy(_several())


def hostile_scan():
    """A scan of sources, mappings and commands of hostile names."""
    document = scan([_source(name, [7, 7, 8], 1, name) for name in HOSTILE], Settings(top=1000))
    document["warnings"] = list(HOSTILE)
    document["sources"][0] |= {"command": HOSTILE[0], "user": HOSTILE[1]}
    document["sources"][0]["out_of_reach"] = {HOSTILE[0]: 7}
    document["unread"] = [{"pid": 1, "command": HOSTILE[2], "cause": HOSTILE[1]}]
    family = {"processes": 1, "pages": 1, "zero": 0, "duplicates": 0, "saving_pages": 0, "share_bytes": 0}
    document["by_command"] = [{"command": name, "user": name, **family} for name in HOSTILE]
    return document


def large_scan(sources=10_000, groups=100_000):
    """A scan of many sources with many groups."""
    document = several()
    one, group = document["sources"][0], document["groups"][0]
    document["sources"] = [one | {"name": f"pid {number} (worker)"} for number in range(sources)]
    document["groups"] = [group | {"pages": 2 + number % 1000} for number in range(groups)]
    return document | {"groups_found": groups, "matrix": None}


@cache
def _swept():
    with ThreadPoolExecutor(1) as executor:
        return sweep("b", "ksmd", ["pages_to_scan=50,100"], executor=executor, pages=400, until_ms=500)


def swept():
    """A sweep of one setting, and the kernel's advisor."""
    return copy.deepcopy(_swept())


@cache
def _advised():
    sources = [_source("one.ram", range(1, 60), 40), _source("two.ram", range(30, 90), 30)]
    return advise(sources, AdviceSettings(least_percent=0, least_bytes=SIZE))


def advised():
    """Advice about two sources, with settings and their price."""
    return copy.deepcopy(_advised())


@cache
def _simulation():
    return simulate(SimulationSettings("b", pages=500), choose("ksmd,pksmd"))


def simulation():
    """A workload under two policies."""
    return copy.deepcopy(_simulation())
