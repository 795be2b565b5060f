"""Rule 2 in the machine: no Python statement runs once a page. Counted as line events, at two sizes."""

import numpy as np
import pytest

from pksm.hosts.machine import Machine
from pksm.hosts.machine.content import BLOCK_BYTES
from pksm.policies.pksmd import tunables
from pksm.policies.pksmd.daemon import Pksmd

from support.line_events import line_events

SIZE = 64
SMALL, LARGE = 1 << 10, 1 << 14
assert LARGE * SIZE <= BLOCK_BYTES


def prepared(n):
    """A machine with n pages, half of them pairs, an eighth zero; (machine, daemon, mm, address)."""
    machine = Machine(4 * n, SIZE)
    daemon = Pksmd(machine, tunables.preset("fixed").with_(pages_to_scan=2 * n))
    mm = machine.spawn()
    at = machine.mmap(mm, n, mergeable=True)
    ids = np.arange(1, n + 1)
    ids[: n // 2] //= 2
    ids[n // 2 : n // 2 + n // 8] = 0
    machine.write(mm, at, ids)
    return machine, daemon, mm, at


def merged(n):
    machine, daemon, mm, at = prepared(n)
    daemon.wake()
    return machine, daemon, mm, at


def forked(n):
    machine, daemon, mm, at = merged(n)
    machine.fork(mm)
    return machine, daemon, mm, at


def swapped(n):
    machine, daemon, mm, at = forked(n)
    machine.swap_out(mm, at, n)
    return machine, daemon, mm, at


def with_child(n):
    machine, daemon, mm, at = prepared(n)
    machine.fork(mm)
    return machine, daemon, mm, at


def unshared(n):
    machine, daemon, mm, at = merged(n)
    machine.touch(mm, at, n, write=True)
    return machine, daemon, mm, at


WORK = {
    "first write": (prepared, lambda m, d, mm, at, n: m.touch(mm, m.mmap(mm, n), n, write=True)),
    "merge": (prepared, lambda m, d, mm, at, n: d.wake()),
    "merge family": (with_child, lambda m, d, mm, at, n: d.wake()),
    "read": (merged, lambda m, d, mm, at, n: m.read(mm, at, n)),
    "break": (merged, lambda m, d, mm, at, n: m.touch(mm, at, n, write=True)),
    "fork": (merged, lambda m, d, mm, at, n: m.fork(mm)),
    "copy on write": (forked, lambda m, d, mm, at, n: m.touch(mm, at, n, write=True)),
    "patch": (forked, lambda m, d, mm, at, n: m.patch(mm, at, [[page, 1, 2] for page in range(0, n, n // 8)])),
    "munmap": (merged, lambda m, d, mm, at, n: m.munmap(mm, at, n)),
    "mremap": (merged, lambda m, d, mm, at, n: m.mremap(mm, at, n, at + (1 << 30))),
    "exit": (forked, lambda m, d, mm, at, n: m.exit(mm)),
    "swap out": (forked, lambda m, d, mm, at, n: m.swap_out(mm, at, n)),
    "swap in": (swapped, lambda m, d, mm, at, n: m.swap_in(mm, at, n)),
    "migrate": (forked, lambda m, d, mm, at, n: m.migrate(mm, at, n)),
    "mlock": (forked, lambda m, d, mm, at, n: m.mlock(mm, at, n)),
    "unmerge": (forked, lambda m, d, mm, at, n: m.unmerge_all()),
    "pin": (unshared, lambda m, d, mm, at, n: m.unpin(m.pin(mm, at, n))),
}


@pytest.mark.parametrize("name", WORK)
def test_lines_do_not_grow_with_pages(name):
    prepare, work = WORK[name]
    lines = []
    for n in (SMALL, LARGE):
        machine, daemon, mm, at = prepare(n)
        lines.append(line_events(lambda n=n, p=(machine, daemon, mm, at): work(*p, n)))
        machine.check()
        daemon.check()
    # work is done in parts of 8192 pages, and tables grow by doubling; one line a page would be 15360 more
    assert lines[1] < lines[0] + 2000, lines
