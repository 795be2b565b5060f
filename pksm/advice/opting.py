"""Opts running processes in to the kernel's KSM, or out of it, by calls that they make themselves."""

import errno
import os
from collections.abc import Callable, Sequence

from pksm.advice import ranges as profitable
from pksm.advice.ranges import Range
from pksm.documents import OptedProcess, OptedRange, OptInDocument
from pksm.errors import PksmError, UsageError
from pksm.linux.inject import Call, inject, refusals
from pksm.linux.ksm import files
from pksm.linux.ksm.opt_in import MERGE_ANY, merges_any
from pksm.linux.proc import access, areas, smaps
from pksm.sources.live.process import ProcessSource

_MADVISE, _MERGEABLE, _UNMERGEABLE = 28, 12, 13
_PRCTL = 157


def opt(
    pids: Sequence[int],
    wanted: bool = True,
    ranges: str = "all",
    dry_run: bool = False,
    progress: Callable[[int], object] = lambda pages: None,
) -> OptInDocument:
    """Opt processes in or out, and return the document `pksm.opt_in/1`.

    Args:
        pids: of the processes.
        wanted: in; False: out.
        ranges: `all` of their memory, now and later, or the `profitable` ones of now: those with pages of which other
            frames of these processes have the same bytes.
        dry_run: only return what would be done.
        progress: called with the pages read so far.

    Raises:
        UsageError: no process, or an unknown choice of ranges.
        PksmError: all processes are refused; that of the first.
    """
    if not pids:
        raise UsageError("name a process", "pid")
    if ranges not in ("all", "profitable") or (not wanted and ranges != "all"):
        raise UsageError("choose from all, profitable", "ranges")
    rows = [_row(pid) for pid in dict.fromkeys(pids)]
    plans: dict[int, list[Range]] = {}
    if ranges == "profitable":
        plans = _profitable(rows, progress)
    for row in rows:
        if not row["why_not"]:
            _plan(row, wanted, plans.get(row["pid"]))
            if not row["why_not"] and (row["whole"] or row["ranges"]):
                if dry_run:
                    _check(row)
                else:
                    _do(row, wanted)
            elif not row["why_not"]:
                row["done"] = not dry_run
    refused = [row["why_not"] for row in rows if row["why_not"]]
    if len(refused) == len(rows):
        raise PksmError(refused[0])
    return {
        "schema": "pksm.opt_in/1",
        "wanted": "in" if wanted else "out",
        "ranges": "profitable" if ranges == "profitable" else "all",
        "dry_run": dry_run,
        "processes": rows,
        "partial": bool(refused),
        "warnings": [*refused, *_warnings(wanted)],
    }


def _row(pid: int) -> OptedProcess:
    row: OptedProcess = {
        "pid": pid,
        "name": "",
        "whole": False,
        "ranges": [],
        "pages": None,
        "areas": 0,
        "areas_after": 0,
        "done": False,
        "why_not": "",
        "pause_s": 0.0,
        "merges_any": None,
    }
    try:
        os.close(access.open_pidfd(pid))
        row["name"] = access.check_kind(pid)
        row["merges_any"] = merges_any(pid)
    except UsageError:
        raise
    except PksmError as error:
        row["why_not"] = str(error)
    return row


def _profitable(rows: Sequence[OptedProcess], progress: Callable[[int], object]) -> dict[int, list[Range]]:
    sources: list[ProcessSource] = []
    try:
        for row in rows:
            if not row["why_not"]:
                try:
                    sources.append(ProcessSource(row["pid"]))
                except PksmError as error:
                    row["why_not"] = str(error)
        found = profitable.find(sources, progress) if sources else []
        by_pid = {source.pid: entry for source, entry in zip(sources, found, strict=True)}
    finally:
        for source in sources:
            source.close()
    for row in rows:
        if row["pid"] in by_pid:
            row["pages"] = by_pid[row["pid"]][0]
    return {pid: ranges for pid, (_, ranges) in by_pid.items()}


def _plan(row: OptedProcess, wanted: bool, ranges: list[Range] | None) -> None:
    """Write down what is to be done to a process."""
    try:
        row["areas"] = len(access.guarded(row["pid"], row["name"], areas.read_areas))
        row["areas_after"] = row["areas"]
        if not wanted:
            opted_in = access.guarded(row["pid"], row["name"], smaps.mergeable_areas)
            row["whole"] = bool(row["merges_any"])
            row["ranges"] = [_range(start, end - start) for start, end in opted_in]
            return
    except PksmError as error:
        row["why_not"] = str(error)
        return
    if ranges is None:
        row["whole"] = True
        return
    row["ranges"] = [_range(each.start, each.end - each.start, each.pages, each.equal_pages) for each in ranges]
    row["areas_after"] += 2 * len(ranges)
    most = areas.most_areas()
    if most is not None and row["areas_after"] > most:
        row["why_not"] = (
            f"{access.called(row['pid'], row['name'])}: {len(ranges):,} ranges could make {row['areas_after']:,} areas of "
            f"{row['areas']:,}, and vm.max_map_count is {most:,}; opt in all of it"
        )


def _range(start: int, n_bytes: int, pages: int | None = None, equal_pages: int | None = None) -> OptedRange:
    return {"start": start, "bytes": n_bytes, "pages": pages, "equal_pages": equal_pages}


def _check(row: OptedProcess) -> None:
    """Write down why a process would be refused to make its calls, if it would."""
    try:
        refusals.check_machine()
        refusals.check(row["pid"])
    except PksmError as error:
        row["why_not"] = str(error)


def _do(row: OptedProcess, wanted: bool) -> None:
    """Let a process make its calls."""
    advice = _MERGEABLE if wanted else _UNMERGEABLE
    calls: list[Call] = [(_PRCTL, MERGE_ANY, int(wanted), 0, 0, 0)] if row["whole"] else []
    calls += [(_MADVISE, each["start"], each["bytes"], advice) for each in row["ranges"]]
    try:
        done = inject(row["pid"], calls)
    except PksmError as error:
        row["why_not"] = str(error)
        return
    row["pause_s"] = done.longest_pause_s
    row["merges_any"] = merges_any(row["pid"])
    worst = min(done.results)
    if worst < 0 and -worst != errno.ENOMEM:  # ENOMEM: what was there has been unmapped meanwhile
        name = access.called(row["pid"], row["name"])
        missing = "; that takes a kernel with CONFIG_KSM" if -worst == errno.EINVAL else ""
        row["why_not"] = f"{name}: the kernel refuses: {os.strerror(-worst)}{missing}"
        return
    row["done"] = True


def _warnings(wanted: bool) -> list[str]:
    return [why] if wanted and (why := files.why_idle()) else []
