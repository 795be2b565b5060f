"""How the checksums of a file look: pure functions of the document `pksm.checksum.sum/1`."""

from collections.abc import Iterable
from itertools import count

from pksm.documents import ChecksumSumDocument

HEADER, COMMA, SPACE = "page,sum\n", ",", " "


def table(document: ChecksumSumDocument, width: int = 80, colour: bool = False) -> str:
    """Return a line for each page: its number and its checksum."""
    return lines(document["sums"])


def csv(document: ChecksumSumDocument) -> str:
    """Return a row for each page."""
    return HEADER + lines(document["sums"], COMMA)


def lines(sums: Iterable[str], between: str = SPACE, first: int = 0) -> str:
    """Return checksums as lines, each behind the number of its page; the first is that of page `first`."""
    return "".join(map(f"{{}}{between}{{}}\n".format, count(first), sums))  # no statement of Python per page
