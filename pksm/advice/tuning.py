"""Settings: each with its reason, and with what the kernel's default would do."""

from collections.abc import Sequence
from typing import NamedTuple

from pksm.advice.settings import Settings
from pksm.documents.advise import Advised, ParetoRow, Verdict
from pksm.documents.common import Setting
from pksm.linux import memory_facts

SHARING = 256  # mappings of a stable page, by default
SLEEP_MS = 20


class Saving(NamedTuple):
    """What merging saves, as far as settings go by it.

    zero_bytes: by zero pages; saved_bytes: by all kinds; largest_group: mappings of one content, the zero page aside.
    """

    zero_bytes: int
    saved_bytes: int
    largest_group: int


def settings_for(
    saving: Saving, verdict: Verdict, settings: Settings, rows: Sequence[ParetoRow], nodes: int, thp: bool
) -> list[Advised]:
    """Return the settings that are advised; none if merging is not worth it.

    Args:
        saving: what merging saves.
        verdict: on it.
        settings: what counts as worth it, zero pages by themselves too.
        rows: what was simulated, one of them starred.
        nodes: memory nodes of the machine.
        thp: it makes transparent huge pages.
    """
    if verdict["kind"] == "not worth it":
        return []
    found: list[Advised] = [_of("run", 1, 0, "KSM does nothing until it is 1.")]
    starred = next((row for row in rows if row["starred"]), None)
    default = next((row for row in rows if row["default"]), None)
    if starred:
        found += _pace(starred, default)
    if _zero_pages_matter(saving, verdict, settings):
        share = saving.zero_bytes / max(1, saving.saved_bytes)
        found.append(
            _of("use_zero_pages", 1, 0, f"{100 * share:.0f} % of what is saved are zero pages; they go to the kernel's zero page "
                "and need no record. With 0 they are merged with each other, in groups of max_page_sharing.")
        )  # fmt: skip
        if thp:
            found.append(
                _of(memory_facts.MAX_PTES_NONE, 0, 511, "With the default, khugepaged builds huge pages over merged zero pages and "
                    "so undoes the merging.")
            )  # fmt: skip
    found.append(_of("smart_scan", 1, 1, "Pages that did not merge are visited more and more seldom: less CPU."))
    if saving.largest_group > SHARING:
        found.append(
            _of("max_page_sharing", SHARING, SHARING, f"The largest group has {saving.largest_group:,} equal pages, so "
                f"{-(-saving.largest_group // SHARING)} copies are kept: that costs little, and a higher limit makes "
                "reclaiming a page slow.")
        )  # fmt: skip
    if nodes > 1:
        found.append(
            _of("merge_across_nodes", 1, 1, f"There are {nodes} memory nodes: 1 saves most, 0 keeps pages near their "
                "processes. It can only be changed while nothing is merged (run=2 first).")
        )  # fmt: skip
    return found


def _zero_pages_matter(saving: Saving, verdict: Verdict, settings: Settings) -> bool:
    """Whether zero pages alone are worth it: what is advised for them, khugepaged does to all memory."""
    if verdict["kind"] == "zero pages only":
        return True
    return 0 < saving.zero_bytes >= settings.least(verdict["of_bytes"])


def _pace(starred: ParetoRow, default: ParetoRow | None) -> list[Advised]:
    then = "" if default is None or default is starred else f" The default, 100, would take {_time(default)}."
    took = f"90 % of the saving is there after {_time(starred)}, at {starred['cpu_percent']:.1f} % of a core."
    if "advisor_mode" in starred["settings"]:
        return [_of("advisor_mode", "scan-time", "none", f"The kernel sets pages_to_scan itself: {took}{then}")]
    pages = starred["settings"]["pages_to_scan"]
    return [
        _of("advisor_mode", "none", "none", "pages_to_scan stays as it is set here."),
        _of("pages_to_scan", pages, 100, took + then),
        _of("sleep_millisecs", SLEEP_MS, SLEEP_MS, "The kernel's default; pages_to_scan sets the pace."),
    ]


def _time(row: ParetoRow) -> str:
    seconds = row["seconds_to_90"]
    if seconds is None:
        return "no time"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} minutes"


def _of(name: str, value: Setting, default: Setting, reason: str) -> Advised:
    return {"name": name, "value": value, "default": default, "reason": reason}
