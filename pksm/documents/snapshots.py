"""The document of snapshots of microVMs, pksm.snapshots/1."""

from typing import Annotated, Literal, TypedDict

from pksm.documents.common import Bytes, Pages


class Snapshot(TypedDict):
    """One image, and what it has in common with the first one."""

    path: Annotated[str, "", "of the image"]
    zero_pages: Annotated[Pages, "that are zero, holes of the file too"]
    unknown_pages: Annotated[Pages, "that the image should hold and does not: each counts as a page of its own"]
    same_offset_pages: Annotated[Pages, "that the first image has at the same offset"]
    any_offset_pages: Annotated[Pages, "that the first image has at some offset"]
    run_64k_pages: Annotated[Pages, "of those at the same offset, in runs of 64 KiB or more"]
    run_2m_pages: Annotated[Pages, "of those at the same offset, in runs of 2 MiB or more"]


class SnapshotBase(TypedDict):
    """A base that all are restored from, mapped privately: what they have in common with it, added up."""

    name: Annotated[
        Literal["first", "best", "built"], "", "which one: the first image, the best one, or one that is built"
    ]
    path: Annotated[str, "", "of the image; empty: there is none yet"]
    memory_pages: Annotated[Pages, "in memory once all was touched: the base, and what each has of its own"]
    same_offset_pages: Annotated[Pages, "of all images, that the base has at the same offset"]
    any_offset_pages: Annotated[Pages, "of all images, that the base has at some offset"]
    run_64k_pages: Annotated[Pages, "of those at the same offset, in runs of 64 KiB or more"]
    run_2m_pages: Annotated[Pages, "of those at the same offset, in runs of 2 MiB or more"]


class SnapshotsDocument(TypedDict):
    """Snapshots of microVMs: what `pksm.fleet.compare_snapshots` returns."""

    schema: Literal["pksm.snapshots/1"]
    page_size: Annotated[Bytes, "of a page"]
    pages: Annotated[Pages, "of each image"]
    separate_pages: Annotated[Pages, "in memory once all was touched, if each is restored from its own image"]
    snapshots: Annotated[list[Snapshot], "", "in the order in which they were named"]
    bases: Annotated[list[SnapshotBase], "", "first, best, built"]
    partial: Annotated[bool, "", "whether an image was left out, or is not all there"]
    warnings: Annotated[list[str], "", "one line each"]
