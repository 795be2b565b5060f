"""Placement of a fleet's VMs: capacities from a file, and plans as the document has them."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pksm.arrays import AnyArray
from pksm.documents.fleet import FleetPlacement, FleetPlan
from pksm.errors import PksmError, UsageError
from pksm.fleet import estimates
from pksm.fleet.filling import Plan
from pksm.fleet.incidence import incidence
from pksm.fleet.mapping import Mapped
from pksm.fleet.members import Members
from pksm.fleet.placement import place
from pksm.fleet.settings import ROW_BYTES

CELL_BYTES = 8  # that a content takes for each host, about
MOST_VMS = 2000
MOST_HOSTS = 10_000
MOST_BYTES = 16 << 20  # of a file of hosts
NAMED = 5  # in a line
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
        with open(path, "rb") as file:
            octets = file.read(MOST_BYTES + 1)  # a device may never end
        if len(octets) > MOST_BYTES:
            raise UsageError(f"{os.fspath(path)}: is larger than {MOST_BYTES >> 20} MiB, which no list of hosts is")
        with io.StringIO(octets.decode("utf-8-sig"), newline="") as text:
            reader = csv.DictReader(text)
            if not reader.fieldnames or not {"host", "bytes"} <= set(reader.fieldnames):
                raise UsageError(f"{os.fspath(path)}: must begin with a line of the columns host,bytes")
            for row in reader:
                where = f"{os.fspath(path)}: line {reader.line_num}"
                if not row["host"]:
                    raise UsageError(f"{where}: names no host")
                names.append(str(row["host"]))
                sizes.append(_bytes(row["bytes"] or "", where))
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


def check_number(members: Members) -> None:
    """Raise UsageError if there are too many VMs to place."""
    if len(members.names) > MOST_VMS:
        raise UsageError(f"{len(members.names):,} VMs are too many to place: {MOST_VMS:,} at most")


def placement(
    chosen: Sequence[Mapped],
    members: Members,
    capacities: Capacities,
    keep: float,
    most_rows: int,
    warnings: list[str],
) -> FleetPlacement:
    """Place the VMs, and return the plans. A line is added to `warnings` if today's plan does not fit, or is not known.

    Args:
        chosen, members: the files, and who is in them.
        capacities: the hosts.
        keep: the share of contents that all files hold.
        most_rows: that may be in memory at a time: of more contents, a sample is placed with.
        warnings: to which lines are added.
    """
    held = incidence(chosen, keep, min(most_rows, most_rows * ROW_BYTES // CELL_BYTES // len(capacities.names)))
    held = held.of_groups(members.groups["vm"], len(members.names))
    share, contents, n_contents = held.share, held.of_members, held.contents
    page_size = chosen[0].page_size
    rooms = [bytes_ / page_size * share for bytes_ in capacities.bytes]
    hosts = members.labels["host"]
    known = {name: place for place, name in enumerate(capacities.names)}
    lacking = [name for name in hosts if name not in known]
    if lacking:
        warnings.append(f"{_some(lacking)}: not among the hosts to place on, so there is no plan as-is")
    now = [known.get(hosts[host], -1) for host in members.host_of.tolist()]
    plans = place(contents, n_contents, rooms, None, None if lacking else now)
    over = [place for place in range(len(rooms)) if plans[0].left[place] < 0]
    if over:
        taken = [
            f"{capacities.names[place]} ({100 * (1 - plans[0].left[place] / rooms[place]):.0f} %)" for place in over
        ]
        warnings.append(f"{_some(taken)}: VMs take more than the memory of their host today, even merged")
    data = sum(sum(one.pages) for one in chosen)
    zeros = sum(sum(one.zero) for one in chosen)
    pages = [pages + zero for one in chosen for pages, zero in zip(one.pages, one.zero, strict=True)]
    resident = members.of_vms(pages) * page_size
    made = [_plan(plan, capacities.names, contents, n_contents, share, data, zeros, now, resident) for plan in plans]
    best = plans[-1].host_of.tolist()
    where = {name: capacities.names[host] for name, host in zip(members.names, best, strict=True) if host >= 0}
    every = estimates.saved(estimates.total(n_contents, n_contents, share), data, zeros)["value"]
    return {"plans": made, "guarantee": _guarantee(plans[-1], made[-1], every), "host_of": where}


def _guarantee(plan: Plan, made: FleetPlan, every: float) -> str:
    """Return what is known of how far a plan is from the best one. every: what merging across all hosts would save."""
    parts = [
        "None is known beforehand for several hosts with limits: what is saved grows faster the more alike VMs are "
        "together (it is supermodular)."
    ]
    if plan.is_local_optimum:
        parts.append("The plan cannot be improved by moving one VM or by swapping two.")
    if every:
        share = 100 * min(1.0, made["saving_pages"]["value"] / every)
        parts.append(
            f"It saves {share:.1f} % of what merging across all hosts would, and no plan can save more than that."
        )
    return " ".join(parts)


def _plan(
    plan: Plan,
    hosts: Sequence[str],
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
        "over_capacity": [hosts[place] for place in np.flatnonzero(plan.left < 0).tolist()],
    }


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
