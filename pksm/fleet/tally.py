"""What a part of a fleet's contents adds up to. Tallies of parts add, since a content lies in one part only."""

from dataclasses import dataclass, fields

import numpy as np

from pksm.arrays import I64Array, IntArray, StructArray
from pksm.fleet.overlap import BASE, is_base, overlap
from pksm.fleet.rows import Contents

HEAVY = 64  # contents that are kept by name


@dataclass(frozen=True)
class Groups:
    """Which host and tenant each member (VM) belongs to, by number; all from 0."""

    host: IntArray
    tenant: IntArray

    def __len__(self) -> int:
        return len(self.host)


@dataclass(frozen=True)
class Tally:
    """Sums over contents. `holders_*` have the contents that 0, 1, 2 … members, hosts, tenants hold."""

    pages: int
    zero_pages: int
    zero_members: int
    member_pages: I64Array
    member_contents: I64Array
    holders: I64Array
    holders_host: I64Array
    holders_tenant: I64Array
    base: int  # contents of more than BASE members
    common: I64Array  # contents that two members share, [member, member]
    heavy: StructArray  # HEAVY contents of most pages: high, low, pages, members

    def __add__(self, other: "Tally") -> "Tally":
        summed = {one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)[:-1]}
        return Tally(**summed, heavy=_heaviest(np.concatenate([self.heavy, other.heavy])))

    @property
    def contents(self) -> int:
        """Return how many distinct contents there are."""
        return int(self.holders.sum())

    def within(self) -> dict[str, int]:
        """Return the frames that are left if pages merge within each VM, tenant, host, and among all."""
        return {
            "vm": _held(self.holders),
            "tenant": _held(self.holders_tenant),
            "host": _held(self.holders_host),
            "all": self.contents,
        }


HEAVY_ROW = np.dtype([("high", "<u8"), ("low", "<u8"), ("pages", "<i8"), ("members", "<i8")])


def tally(contents: Contents, groups: Groups) -> Tally:
    """Return the sums over contents of a fleet whose members are in these groups."""
    rows, n, starts = contents.rows, len(groups), contents.starts[:-1]
    counts = rows["count"].astype(np.int64)
    members = np.diff(contents.starts)
    pages = np.add.reduceat(counts, starts) if len(contents) else np.zeros(0, np.int64)
    heavy = np.zeros(len(contents), HEAVY_ROW)
    heavy["high"], heavy["low"] = rows["high"][starts], rows["low"][starts]
    heavy["pages"], heavy["members"] = pages, members
    zero = (heavy["high"] == 0) & (heavy["low"] == 0)
    return Tally(
        pages=int(counts.sum()),
        zero_pages=int(pages[zero].sum()),
        zero_members=int(members[zero].sum()),
        member_pages=_weighed(rows["member"], counts, n),
        member_contents=np.bincount(rows["member"], minlength=n).astype(np.int64),
        holders=_histogram(members, n),
        holders_host=_histogram(contents.holders(groups.host), _most(groups.host)),
        holders_tenant=_histogram(contents.holders(groups.tenant), _most(groups.tenant)),
        base=int(is_base(contents, BASE).sum()),
        common=overlap(contents, n),
        heavy=_heaviest(heavy),
    )


def _weighed(member: IntArray, counts: I64Array, n: int) -> I64Array:
    return np.rint(np.bincount(member, weights=counts, minlength=n)).astype(np.int64)  # exact below 2**53


def _histogram(holders: I64Array, most: int) -> I64Array:
    return np.bincount(holders, minlength=most + 1).astype(np.int64)


def _most(group: IntArray) -> int:
    return int(group.max(initial=-1)) + 1


def _held(histogram: I64Array) -> int:
    return int((histogram * np.arange(len(histogram))).sum())


def _heaviest(heavy: StructArray) -> StructArray:
    order = np.lexsort((heavy["low"], heavy["high"], -heavy["pages"]))
    return heavy[order[:HEAVY]]
