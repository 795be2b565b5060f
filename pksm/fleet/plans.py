"""Placement of a fleet's VMs: capacities from a file, and plans as the document has them."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pksm.arrays import AnyArray
from pksm.documents.fleet import FleetPlacement, FleetPlan
from pksm.errors import PksmError, UsageError
from pksm.fleet import estimates
from pksm.fleet.mapping import Mapped, stored
from pksm.fleet.placement import GUARANTEE, Plan, place
from pksm.fleet.rows import first_of_contents
from pksm.sources.fingerprints.layout import ALL_SUMS, below_of, places

if TYPE_CHECKING:
    from pksm.fleet.run import Members

MOST_CELLS = 1 << 28  # hosts times contents that are placed with: more are sampled
MOST_VMS = 2000
MOST_HOSTS = 10_000
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True)
class Capacities:
    """Hosts that VMs can be placed on.

    Args:
        names: of the hosts, each once.
        bytes: of memory for VMs, on each.
    """

    names: list[str]
    bytes: list[float]


def read_capacities(path: str | os.PathLike[str]) -> Capacities:
    """Read a CSV file with the columns `host` and `bytes` (a number, or one with K, M, G or T behind it).

    Raises:
        UsageError: it is not such a file.
        PksmError: it cannot be read.
    """
    names, sizes = [], []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if not reader.fieldnames or not {"host", "bytes"} <= set(reader.fieldnames):
                raise UsageError(f"{os.fspath(path)}: must begin with a line of the columns host,bytes")
            for row in reader:
                names.append(str(row["host"]))
                sizes.append(_bytes(str(row["bytes"]), f"{os.fspath(path)}: line {reader.line_num}"))
                if len(names) > MOST_HOSTS:
                    raise UsageError(f"{os.fspath(path)}: has more than {MOST_HOSTS} hosts")
    except OSError as error:
        raise PksmError(f"{os.fspath(path)}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{os.fspath(path)}: is not a CSV file ({error})") from None
    if not names or len(set(names)) < len(names):
        raise UsageError(f"{os.fspath(path)}: must name one host at least, and each once")
    return Capacities(names, sizes)


def _bytes(text: str, where: str) -> float:
    number, unit = text.strip().lower().removesuffix("b").removesuffix("i"), ""
    if number[-1:] in UNITS:
        number, unit = number[:-1], number[-1:]
    try:
        value = float(number) * UNITS[unit]
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{where}: {text!r} is not an amount of memory, such as 64G")
    return value


def placement(chosen: Sequence[Mapped], members: Members, capacities: Capacities, keep: float) -> FleetPlacement:
    """Place the VMs, and return the plans.

    Raises:
        UsageError: too many VMs.
    """
    if len(members.names) > MOST_VMS:
        raise UsageError(f"{len(members.names)} VMs are too many to place: {MOST_VMS} at most")
    share, contents, n_contents = _contents(chosen, keep, len(capacities.names))
    page_size = chosen[0].page_size
    rooms = [bytes_ / page_size * share for bytes_ in capacities.bytes]
    hosts = members.labels["host"]
    known = {name: place for place, name in enumerate(capacities.names)}
    now = [known.get(hosts[host], -1) for host in members.groups["host"].tolist()]
    plans = place(contents, n_contents, rooms, None, now if min(now) >= 0 else None)
    data = sum(sum(one.pages) for one in chosen)
    zeros = np.array([count for one in chosen for count in one.zero])
    resident = (np.array([count for one in chosen for count in one.pages]) + zeros) * page_size
    made = [_plan(plan, contents, n_contents, share, data, int(zeros.sum()), now, resident) for plan in plans]
    best = plans[-1].host_of.tolist()
    where = {name: capacities.names[host] for name, host in zip(members.names, best, strict=True) if host >= 0}
    return {"plans": made, "guarantee": GUARANTEE, "host_of": where}


def _contents(chosen: Sequence[Mapped], keep: float, n_hosts: int) -> tuple[float, list[AnyArray], int]:
    """Return the share of contents that is placed with, the indexes of each VM's, and how many there are."""
    parts, members, offset = [], [], 0
    share = min(keep, MOST_CELLS / max(1, n_hosts) / max(1.0, sum(one.n_rows for one in chosen) / keep))
    for one in chosen:
        rows = stored(one)
        [stop] = places(rows["sum"], [below_of(share) or ALL_SUMS])
        part = np.array(rows[:stop])
        parts.append(part[["sum", "tail"]])
        members.append(part["member"].astype(np.int64) + offset)
        offset += len(one.names)
    found = np.concatenate(parts)
    by_content = np.lexsort((found["tail"], found["sum"]))
    first = first_of_contents(found[by_content])
    index = np.empty(len(found), np.int64)
    index[by_content] = np.cumsum(first) - 1
    owner = np.concatenate(members)
    order = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[order], np.arange(1, offset))
    return share, np.split(index[order].astype(np.uint32), ends), int(first.sum())


def _plan(
    plan: Plan,
    contents: Sequence[AnyArray],
    n_contents: int,
    share: float,
    data: int,
    zeros: int,
    now: Sequence[int],
    resident: AnyArray,
) -> FleetPlan:
    times = np.zeros(n_contents, np.int64)  # copies that hosts hold of each content
    for host in np.unique(plan.host_of[plan.host_of >= 0]).tolist():
        own = [contents[vm] for vm in np.flatnonzero(plan.host_of == host).tolist()]
        times[np.unique(np.concatenate(own))] += 1
    for vm in np.flatnonzero(plan.host_of < 0).tolist():
        times[contents[vm]] += 1  # wherever it will be, nothing is saved of it
    held = estimates.total(float(times.sum()), float((times * times).sum()), share)
    moved = plan.host_of != np.array(now)
    return {
        "name": plan.name,  # type: ignore[typeddict-item]
        "saving_pages": estimates.saved(held, data, zeros),
        "hosts_used": len(np.unique(plan.host_of[plan.host_of >= 0])),
        "moves": int(moved.sum()),
        "moved_bytes": int(resident[moved].sum()),
        "unplaced": int((plan.host_of < 0).sum()),
    }
