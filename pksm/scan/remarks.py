"""Remarks: lines about all that a reader of the result should know."""

from pksm.documents import ScanDocument
from pksm.linux.proc.access import tell_unread
from pksm.policies.pksmd.quirks import QUIRKS
from pksm.policies.pksmd.tunables import Tunables
from pksm.scan.gather import Gathered
from pksm.scan.settings import Settings

_SAVED, _MERGED = "save {} pages of the {} that could be saved", "merge {} mappings of the {} that could be merged"


def of_reading(gathered: Gathered) -> list[str]:
    """Return the lines about what was not read, or not as wanted, without those of the sources."""
    lines = tell_unread(gathered.failed) + gathered.remarks + _untold(gathered)
    if gathered.interrupted:
        read = f"{len(gathered.taken)} of {gathered.n_sources} sources were read"
        lines.append(f"interrupted: {read}, the last maybe in part")
    return lines


def _untold(gathered: Gathered) -> list[str]:
    if not gathered.untold:
        return []
    if gathered.frames_told:
        reason, remedy = "they moved to other frames while they were read", "scan again"
    else:
        reason = "they are mapped more than once, and frames can't be told apart without root (CAP_SYS_ADMIN)"
        remedy = "scan as root"
    return [f"{gathered.untold} pages are left out: {reason}; {remedy}, or take the view `mappings`"]


def of_result(result: ScanDocument, settings: Settings, gathered: Gathered, at_rest: bool) -> list[str]:
    """Return the lines that go with a result."""
    warnings = [*tell_unread(gathered.failed), *gathered.warnings, *gathered.remarks, *_untold(gathered)]
    chosen = settings.choice.settings
    quirks = chosen.quirks if isinstance(chosen, Tunables) else frozenset()
    idle = sorted(quirk for quirk in quirks if not QUIRKS[quirk][0])
    if idle:
        warnings.append(
            f"{len(idle)} quirks of these settings need page tables and have no effect on memory that is only read: "
            f"preset {settings.choice.preset} sets values and the other quirks here"
        )
    warnings += _not_opted_in(settings, gathered)
    if not at_rest and not result["interrupted"]:
        warnings.append(f"{settings.choice.name} did not come to rest: it was stopped when it merged no more")
    totals, saving = result["totals"], result["saving"]
    possible = totals["duplicates"] + totals["zero"]
    if saving["pages"] < possible:
        did = _MERGED if settings.view == "mappings" else _SAVED
        warnings.append(f"these settings {did.format(saving['pages'], possible)}: {_why_apart(chosen)}")
    if result["interrupted"]:
        warnings.append(
            f"interrupted: this is about the {totals['pages']} pages that were reached, "
            f"of {len(gathered.taken)} of {gathered.n_sources} sources"
        )
    return warnings


def _not_opted_in(settings: Settings, gathered: Gathered) -> list[str]:
    """Return a line about memory that a policy merges here, and would not merge on a machine."""
    if not settings.choice.spec.opt_in:
        return []
    live = [one for one in gathered.taken if "opted_in" in one.facts]
    have_not = sum(max(0, len(one.mapped) - one.facts["opted_in"]) for one in live)
    parts = [f"{have_not} resident pages of the processes have not"] if have_not else []
    if len(live) < len(gathered.taken):
        parts.append("of files it is not known")
    if not parts:
        return []
    return [
        f"{settings.choice.name} merges only memory that has opted in, and all is counted here: {', '.join(parts)}; a "
        "program opts in with madvise(MADV_MERGEABLE) or prctl(PR_SET_MEMORY_MERGE), a service with MemoryKSM=yes"
    ]


def _why_apart(chosen: object) -> str:
    if isinstance(chosen, Tunables):
        return "equal pages that the checksum or the quirks hide stay apart"
    return "the policy leaves the other equal pages apart"
