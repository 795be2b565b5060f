"""Whether the kernel has moved pages to other frames by itself. It counts that for the whole machine."""

from pksm.linux import text

VMSTAT = "/proc/vmstat"
_MIGRATED, *_OTHERS = "pgmigrate_success", "thp_collapse_alloc", "pswpin", "zswpin", "ksm_swpin_copy"


def count(path: str = VMSTAT) -> int | None:
    """Return how often pages have come to lie in other frames without a write: migrated, made huge, swapped in.

    While it stays the same, only a write, a fork or a merge gives a page another frame. None: the kernel does not say.
    """
    data = text.read_if_any(path)
    if data is None:
        return None
    counts = dict(line.split(b" ", 1) for line in text.lines(data) if b" " in line)
    migrated = text.number(counts.get(_MIGRATED.encode()))
    if migrated is None:
        return None
    return migrated + sum(text.number(counts.get(name.encode())) or 0 for name in _OTHERS)
