"""What was counted, as the document pksm.fleet/1: totals with their intervals, boundaries, growth, and who is alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pksm.documents.fleet import FleetDocument, FleetGroup, FleetHost, FleetPartition
from pksm.fleet import estimates
from pksm.fleet.groups import LEAST_MEMBERS, groups
from pksm.fleet.incidence import incidence
from pksm.fleet.mapping import Mapped
from pksm.fleet.members import Members
from pksm.fleet.tally import HEAVY, Tally, base_over
from pksm.fleet.together import together
from pksm.sources.fingerprints.layout import below_of

SCHEMA: Final = "pksm.fleet/1"
LEVELS: Final = ("vm", "tenant", "host", "all")
POINTS = 64  # of the growth curve


def document_of(
    chosen: Sequence[Mapped], members: Members, total: Tally, keep: float, most_rows: int, warnings: list[str]
) -> FleetDocument:
    """Return the document of a fleet, without a placement.

    Args:
        chosen, members: the files that are counted, and who is in them.
        total: of all ranges of contents.
        keep: the share of contents that was counted.
        most_rows: that may be in memory at a time: groups are found with a sample where there are more.
        warnings: what is wrong with files that are left out.
    """
    pages = np.concatenate([np.array(one.pages, np.int64) for one in chosen])
    zero = np.concatenate([np.array(one.zero, np.int64) for one in chosen])
    data, zeros = int(pages.sum()), int(zero.sum())
    n_hosts = len(members.labels["host"])
    sizes = sorted({max(1, round(n_hosts * place / POINTS)) for place in range(1, POINTS + 1)})
    grown = estimates.growth(total.hosts[: n_hosts + 1], keep, sizes)
    scale = 1 / keep
    n_units = len(members.labels[members.units])
    return {
        "schema": SCHEMA,
        "page_size": chosen[0].page_size,
        "keep": keep,
        "hosts": _hosts(chosen, members, pages, zero),
        "vms": len(members.names),
        "tenants": [name for name in members.labels["tenant"] if name],
        "pages": data + zeros,
        "zero_pages": zeros,
        "contents": estimates.total(total.contents, total.contents, keep),
        "partitions": _partitions(total, members, data, zeros, keep),
        "growth": [
            {
                "hosts": m,
                "pages": (data + zeros) * m / n_hosts,
                "saving_pages": estimates.saved(one, data * m / n_hosts, zeros * m / n_hosts),
            }
            for m, one in zip(sizes, grown, strict=True)
        ],
        "overlap": None
        if total.overlap is None
        else {
            "within": "vm" if members.units == "vm" else "host",
            "names": members.labels[members.units],
            "pages": (total.overlap * scale).round(1).tolist(),
        },
        "groups": _groups(chosen, members, total, keep, most_rows),
        "base": {
            "more_than": base_over(n_units),
            "pages": estimates.total(total.common, total.common, keep),
            "saving_pages": estimates.total(total.spare, total.spare_square, keep),
        },
        "together": together(total.overlap, members.labels[members.units], scale),
        "heavy": [
            {"pages": many, "units": units, "sum": f"{first:016x}{tail:016x}"}
            for many, units, first, tail in _heavy(chosen, total, keep)
        ],
        "placement": None,
        "work": "",
        "ranges": 0,
        "peak_bytes": 0,
        "partial": bool(warnings) or any(one.partial for one in chosen),
        "warnings": [*warnings, *(f"{one.path}: is partial" for one in chosen if one.partial)],
    }


def _hosts(chosen: Sequence[Mapped], members: Members, pages: Any, zero: Any) -> list[FleetHost]:
    host_of = members.groups["host"]
    names = members.labels["host"]
    files: list[list[str]] = [[] for _ in names]
    start = 0
    for one in chosen:
        files[int(host_of[start])].append(one.path)
        start += len(one.names)
    vms = np.bincount(members.host_of, minlength=len(names))
    in_all, zeros = (np.bincount(host_of, of, len(names)).astype(np.int64) for of in (pages + zero, zero))
    counts = zip(vms.tolist(), in_all.tolist(), zeros.tolist(), strict=True)
    return [
        FleetHost(name=name, files=own, vms=many, pages=resident, zero=of_zeros)
        for name, own, (many, resident, of_zeros) in zip(names, files, counts, strict=True)
    ]


def _partitions(total: Tally, members: Members, data: int, zeros: int, keep: float) -> list[FleetPartition]:
    made = []
    for level in LEVELS:
        if level == "tenant" and not any(members.labels["tenant"]):
            continue
        weight, square = total.weight[level], total.square[level]
        # What a boundary costs: a content that w groups have is there w - 1 times more than it had to be.
        price, spread = weight - total.contents, square - 2 * weight + total.contents
        made.append(
            FleetPartition(
                within=level,
                groups=len(members.labels[level]),
                saving_pages=estimates.saved(estimates.total(weight, square, keep), data, zeros),
                price_pages=estimates.total(price, spread, keep),
            )
        )
    return made


def _groups(chosen: Sequence[Mapped], members: Members, total: Tally, keep: float, most_rows: int) -> list[FleetGroup]:
    names = members.labels[members.units]
    if total.overlap is None or len(names) < LEAST_MEMBERS:
        return []
    held = incidence(chosen, keep, most_rows)
    held = held.of_groups(members.groups[members.units], len(names))
    return groups(held, total.overlap, keep, base_over(len(names)), names)


def _heavy(chosen: Sequence[Mapped], total: Tally, keep: float) -> list[tuple[int, int, int, int]]:
    """Return the contents with the most pages: those counted, and those that files name besides."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for one in chosen:
        for pages, members, first, tail in one.heavy:
            if first >= (below_of(keep) or first + 1):
                known = found.get((first, tail), (0, 0))
                found[first, tail] = known[0] + pages, known[1] + members
    named = [(pages, members, first, tail) for (first, tail), (pages, members) in found.items()]
    return sorted([*total.heavy, *named], reverse=True)[:HEAVY]
