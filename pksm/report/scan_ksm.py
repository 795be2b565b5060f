"""How KSM's own answer to a scan looks, and what isolation costs: parts of the table of `pksm.scan/1`."""

from collections.abc import Callable

from pksm.documents import ScanDocument
from pksm.plain import plain
from pksm.report.text import BOLD, columns, cut, paragraph, size, with_title

NAME_WIDTH = 44  # characters of a process's name, at most
CHARGED = (
    "A page that is kept for several control groups stays charged to one of them: memory.current of the others falls, "
    "and the limit (memory.max) of the one that pays need not."
)


def under_ksm(result: ScanDocument, paint: Callable[..., str]) -> list[list[str]]:
    """Return what KSM's files would show at rest, as memory has opted in and as if all had; and the processes by profit."""
    under = result["under_ksm"]
    now, everything = under["opted_in"], under["if_all"]
    counts = ("rmap_items", "pages_shared", "pages_sharing", "ksm_zero_pages", "frames_saved")
    rows = [("KSM at rest would show", "as opted in", "if all did")]
    rows += [(f"  {name}", f"{now[name]:,}", f"{everything[name]:,}") for name in counts]  # type: ignore[literal-required]
    rows += [
        ("  general_profit", size(now["general_profit"]), size(everything["general_profit"])),
        ("  saved, less KSM's records", size(now["net_bytes"]), size(everything["net_bytes"])),
    ]
    lines = columns(rows, right=(1, 2))
    said = [paint(lines[0], BOLD), *lines[1:]]
    ordered = sorted(everything["processes"], key=lambda row: -row["ksm_process_profit"])
    if len(ordered) < 2:
        return [said]
    profits = [
        (
            cut(plain(row["name"]), NAME_WIDTH),
            f"{row['ksm_merging_pages']:,}",
            f"{row['ksm_zero_pages']:,}",
            size(row["ksm_process_profit"]),
        )
        for row in ordered
    ]
    title = ("Process, if all opted in", "ksm_merging_pages", "ksm_zero_pages", "ksm_process_profit")
    return [said, with_title(title, profits, paint)]


def within(result: ScanDocument, width: int, paint: Callable[..., str]) -> list[str]:
    """Return what isolation costs, and who is charged."""
    page_size = result["page_size"]
    rows = [
        (
            row["within"],
            f"{row['parts']:,}",
            size(row["saving_pages"] * page_size),
            size(row["ksm_frames_saved"] * page_size),
            size(row["ksm_net_bytes"]),
        )
        for row in result["within"]
    ]
    lines = with_title(("Merged only within", "parts", "all equal pages", "by KSM", "less its records"), rows, paint)
    return [*lines, *paragraph(CHARGED, width)]
