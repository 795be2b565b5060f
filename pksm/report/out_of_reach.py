"""Memory that a scan did not look at: why, and what to do about it."""

from collections import Counter
from collections.abc import Callable

from pksm.documents import ScanDocument
from pksm.plain import plain
from pksm.report.text import BOLD, hanging, many, paragraph, size

REASONS = {
    "not_resident": "not resident", "swapped": "swapped out", "file": "of files", "shared": "shared memory",
    "huge": "huge pages of hugetlbfs", "userfault": "under userfaultfd", "device": "of devices",
    "racy": "dropped as written since they were read", "unreadable": "not readable",
    "unclear": "of files, shared or private", "left_out": "left out of the image", "untold": "mapped more than once, frames hidden",
}  # fmt: skip
REMEDIES = {
    "not_resident": "nothing to do, for these pages use no memory",
    "swapped": "swap it in, if it is to be merged",
    "file": "pages of files are shared by the page cache already; anonymous memory merges",
    "shared": "KSM merges private memory alone; map it MAP_PRIVATE",
    "huge": "hugetlbfs is never merged; use transparent huge pages, which KSM splits",
    "userfault": "whoever handles its page faults has to let go of it first",
    "device": "memory of devices is never merged",
    "racy": "read it again while the process is frozen",
    "unreadable": "read it as root, or take it off whoever locks it",
    "unclear": "scan the process itself, as root",
    "left_out": "write the image without a filter",
    "untold": "scan as root, so that frames can be told apart",
}


def by_reason(document: ScanDocument) -> list[tuple[str, int]]:
    """Return (reason, pages) of all sources, those with most pages first."""
    pages: Counter[str] = Counter()
    for source in document["sources"]:
        pages.update(source["out_of_reach"])
    return [(reason, count) for reason, count in pages.most_common() if count]


def out_of_reach(document: ScanDocument, width: int, paint: Callable[..., str]) -> list[str]:
    """Return lines about what was not looked at, and what was written meanwhile."""
    reasons = by_reason(document)
    lines = [paint("Out of reach", BOLD)] if reasons else []
    for reason, pages in reasons:
        amount = f"{size(pages * document['page_size'])} {REASONS.get(reason, plain(reason))}"
        lines += hanging(f"{amount}: {REMEDIES[reason]}" if reason in REMEDIES else amount, width)
    rest = []
    racy = sum(source.get("racy") or 0 for source in document["sources"]) - dict(reasons).get("racy", 0)
    if racy > 0:
        rest.append(f"Written since they were read, and kept: {many(racy, 'page')}.")
    merged = sum(source.get("ksm_merged") or 0 for source in document["sources"])
    if merged:
        rest.append(f"Merged by the kernel's KSM already: {many(merged, 'mapping')}.")
    return lines + paragraph(" ".join(rest), width)
