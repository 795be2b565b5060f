"""The document of a fleet, pksm.fleet/1."""

from typing import Annotated, Literal, TypedDict

from pksm.documents.common import Bytes, Count, Pages


class FleetEstimate(TypedDict):
    """A figure with the interval that holds it with 95 %; all three are equal where all contents were counted."""

    value: Annotated[float, "", "the best guess"]
    low: Annotated[float, "", "the least"]
    high: Annotated[float, "", "the most"]


class FleetHost(TypedDict):
    """One host: the files of fingerprints of its name."""

    name: Annotated[str, "", "of the host"]
    files: Annotated[list[str], "", "their paths"]
    vms: Annotated[Count, "VMs"]
    pages: Annotated[Pages, "resident"]
    zero: Annotated[Pages, "of them, zero"]


class FleetPartition(TypedDict):
    """What merging saves if nothing is merged across a boundary."""

    within: Annotated[Literal["vm", "tenant", "host", "all"], "", "the boundary; all: there is none"]
    groups: Annotated[Count, "on either side of boundaries"]
    saving_pages: Annotated[FleetEstimate, "pages", "saved, zero pages too"]
    price_pages: Annotated[FleetEstimate, "pages", "that are not saved because of the boundary"]


class FleetGrowth(TypedDict):
    """What merging across some of the hosts saves, on average over all choices of them."""

    hosts: Annotated[Count, "that merge with each other"]
    pages: Annotated[float, "pages", "resident on them"]
    saving_pages: Annotated[FleetEstimate, "pages", "saved"]


class FleetOverlap(TypedDict):
    """Contents in common, base contents apart."""

    within: Annotated[Literal["vm", "host"], "", "what is compared"]
    names: Annotated[list[str], "", "of the units"]
    pages: Annotated[list[list[float]], "", "contents that two have in common; on the diagonal, those of one"]


class FleetTogether(TypedDict):
    """Two VMs or hosts that have much in common."""

    names: Annotated[list[str], "", "of both"]
    pages: Annotated[float, "contents", "that both have, base contents apart"]
    share: Annotated[float, "", "of the contents of the smaller one, base contents apart"]


class FleetGroup(TypedDict):
    """Three or more VMs or hosts that have much in common: what to put on one host."""

    names: Annotated[
        list[str], "", "in the order in which they join, each time who has most in common with those before"
    ]
    gain_pages: Annotated[list[float], "contents", "of each that those before it have, base contents apart"]
    saving_pages: Annotated[FleetEstimate, "contents", "that merging within the group saves, base contents apart"]
    share: Annotated[float, "", "of the contents of all of them, base contents apart"]


class FleetBase(TypedDict):
    """What a common base image would be: contents that more units have than say who belongs together."""

    more_than: Annotated[Count, "units that have such a content"]
    pages: Annotated[FleetEstimate, "pages", "of the base: its contents"]
    saving_pages: Annotated[FleetEstimate, "pages", "that mapping the base instead of copies of it saves"]


class FleetHeavy(TypedDict):
    """A content with many pages."""

    pages: Annotated[Pages, "that hold it; at least so many, where a content is in no sample"]
    units: Annotated[Count, "that have it"]
    sum: Annotated[str, "", "its checksum of 128 bits, in hexadecimal"]


class FleetPlan(TypedDict):
    """A way to place VMs on hosts."""

    name: Annotated[Literal["as-is", "random", "first-fit", "greedy", "local-search"], "", "how it is made"]
    saving_pages: Annotated[FleetEstimate, "pages", "that merging within hosts saves, zero pages too"]
    hosts_used: Annotated[Count, "with a VM"]
    moves: Annotated[Count, "VMs that are elsewhere than now"]
    moved_bytes: Annotated[Bytes, "resident in these VMs"]
    unplaced: Annotated[Count, "VMs for which there was no room"]
    over_capacity: Annotated[list[str], "", "hosts with less memory than their VMs take; of as-is alone"]


class FleetPlacement(TypedDict):
    """Which VMs on which hosts."""

    plans: list[FleetPlan]
    guarantee: Annotated[str, "", "what is known of how far the best can be"]
    host_of: Annotated[dict[str, str], "", "where the best plan has each VM"]


class FleetDocument(TypedDict):
    """The memory of many machines: what `pksm.fleet.fleet` returns."""

    schema: Literal["pksm.fleet/1"]
    page_size: Annotated[Bytes, "of a page"]
    keep: Annotated[float, "", "the share of contents that was counted; 1: all"]
    hosts: list[FleetHost]
    vms: Annotated[Count, "on all hosts"]
    tenants: Annotated[list[str], "", "names"]
    pages: Annotated[Pages, "resident"]
    zero_pages: Annotated[Pages, "of them"]
    contents: Annotated[FleetEstimate, "contents", "distinct ones, without the zero page"]
    partitions: list[FleetPartition]
    growth: list[FleetGrowth]
    overlap: Annotated[FleetOverlap | None, "", "null: too many to compare"]
    together: Annotated[list[FleetTogether], "", "who should be on one host, those with most in common first"]
    groups: Annotated[list[FleetGroup], "", "of three or more that should be on one host, those that save most first"]
    base: FleetBase
    heavy: Annotated[list[FleetHeavy], "", "those with the most pages first"]
    placement: Annotated[FleetPlacement | None, "", "null: nobody asked for one"]
    work: Annotated[str, "", "the directory in which work is kept; empty: it was not kept"]
    ranges: Annotated[Count, "of contents, which were counted one by one"]
    peak_bytes: Annotated[
        Bytes, "that one of the processes had in memory at a time, at most; of a cluster, since it began"
    ]
    partial: Annotated[bool, "", "whether something could not be read, or is not all there"]
    warnings: Annotated[list[str], "", "one line each"]
