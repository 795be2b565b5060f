"""The document of fingerprints that were made, pksm.fingerprint/1."""

from typing import Annotated, Literal, TypedDict

from pksm.documents.common import Bytes, Count, Pages


class FingerprintedSource(TypedDict):
    """A source that was read."""

    name: Annotated[str, "", "of the source"]
    pages: Annotated[Pages, "resident; a frame that several map counts for the first"]
    zero_pages: Annotated[Pages, "of them"]


class FingerprintDocument(TypedDict):
    """What `pksm fingerprint` has written."""

    schema: Literal["pksm.fingerprint/1"]
    path: Annotated[str, "", "of the file"]
    bytes: Annotated[Bytes, "of the file"]
    page_size: Annotated[Bytes, "of a page"]
    keep: Annotated[float, "", "the share of contents that is in the file; 1: all"]
    keyed: Annotated[bool, "", "whether sums are made with a key"]
    records: Annotated[Count, "in the file"]
    sources: list[FingerprintedSource]
    interrupted: Annotated[bool, "", "whether an interrupt ended the reading early"]
    partial: Annotated[bool, "", "whether something could not be read"]
    warnings: Annotated[list[str], "", "one line each"]
