"""What a recorder would do: who there is to record, and what tracking would ask of them. Nothing is touched."""

from collections.abc import Sequence

from pksm.documents import PlannedProcess, RecordPlanDocument
from pksm.errors import PksmError, UnsupportedError, UsageError
from pksm.linux import soft_dirty, written
from pksm.linux.proc import access, tasks
from pksm.linux.proc.areas import Area
from pksm.recording.members import Roster, Targets
from pksm.recording.recorder import blind_spots
from pksm.recording.tracking import HASHES, ONLY_PROCESSES, TRACKS, USERFAULTFD, WAYS, check, one_line

CALLS = ("userfaultfd(O_CLOEXEC | UFFD_USER_MODE_ONLY)", "close(its descriptor)")


def plan(targets: Targets, every_ms: int = 1000, frames: bool = True, track: str = HASHES) -> RecordPlanDocument:
    """Return the document `pksm.record.plan/1`: what `record` would do with the same arguments.

    Raises:
        UsageError: times or ways of tracking that cannot be.
        PksmError: there is nothing to record, or none that can be; why the first cannot.
        UnsupportedError: no writes could be tracked.
    """
    if every_ms < 1:
        raise UsageError("give a time of 1 ms at least", "every")
    if track not in TRACKS:
        raise UsageError(f"choose from {', '.join(TRACKS)}", "track")
    roster = Roster(targets)
    errors = list(roster.refused.values())
    rows = [_row(roster, pid, track, errors) for pid in roster.pids()]
    for opener in targets.files:
        opener().close()  # one that cannot be read ends a recording, too
    if not targets.files and all(row["why_not"] and not row["resident_bytes"] for row in rows):
        raise PksmError(f"nothing to record: {errors[0] if errors else 'there is no process with memory'}")
    if WAYS[track] and not rows:
        raise UnsupportedError(f"{ONLY_PROCESSES}; track hashes")
    return {
        "schema": "pksm.record.plan/1",
        "track": track,
        "every_ms": every_ms,
        "processes": rows,
        "images": len(targets.files),
        "blind": blind_spots(track, frames),
        "partial": bool(errors),
        "warnings": access.tell_unread(errors),
    }


def _row(roster: Roster, pid: int, track: str, errors: list[PksmError]) -> PlannedProcess:
    row: PlannedProcess = {
        "pid": pid,
        "name": "",
        "calls": [],
        "areas": 0,
        "area_bytes": 0,
        "resident_bytes": 0,
        "why_not": "",
        "by": "",
    }
    try:
        row["name"] = access.check_kind(pid)
        member = roster.opened(pid, -1)
        if member is None:
            raise roster.refused.get(pid) or PksmError(f"there is no process {pid}")
        member.close()
        row["resident_bytes"] = access.resident_bytes(pid, row["name"])
        if WAYS[track]:
            row["by"], areas = _way(pid, row["name"], WAYS[track])
            row["calls"] = list(CALLS) if row["by"] == USERFAULTFD else []
            row["areas"], row["area_bytes"] = len(areas), sum(area.end - area.start for area in areas)
    except PksmError as error:
        row["why_not"] = str(error)
        if tasks.layout(pid) is not None:  # else it has ended, as processes do
            errors.append(error)
    return row


def _way(pid: int, name: str, ways: Sequence[str]) -> tuple[str, list[Area]]:
    """Return the way in which a process would be tracked, and the areas that would be. PksmError: in none."""
    reasons: list[str] = []
    for way in ways:
        try:
            check(way, pid)
            return way, (written if way == USERFAULTFD else soft_dirty).areas_to_track(pid, name)
        except PksmError as error:
            reasons.append(str(error))
    raise PksmError(one_line(reasons))
