"""Makes the running kernel's KSM what advice says, and takes that back."""

import os
import re
from collections.abc import Mapping

from pksm.documents import AdviseDocument, AppliedSetting, ApplyDocument
from pksm.errors import UsageError
from pksm.linux.ksm import applied, files
from pksm.linux.ksm.applied import Change

_VALUE = re.compile(r"[0-9]{1,19}|[a-z][a-z-]{0,30}")


def apply(advice: AdviseDocument, dry_run: bool = False) -> ApplyDocument:
    """Set the running kernel's KSM as advice says, and return the document `pksm.apply/1`.

    Args:
        advice: what `pksm.advice.advise` returned.
        dry_run: only return what would be done.

    Raises:
        UsageError: nothing was advised, or what can be no setting.
        UnsupportedError: KSM's settings cannot be written here, or another program has borrowed ksmd.
        PksmError: the kernel refuses a value; what was set before it is taken back.
    """
    if not advice["settings"]:
        raise UsageError(f"there is nothing to set: {advice['verdict']['sentence']}")
    wanted = [(one["name"], str(one["value"])) for one in advice["settings"]]
    for name, value in wanted:
        if name not in applied.names():
            raise UsageError(f"{name}: not a setting that advice has")
        if not _VALUE.fullmatch(value) or (name == "run" and value not in ("0", "1")):
            raise UsageError(f"{name}: {value}: not a value that advice has")
    applied.require()
    changes, missing = applied.changes(wanted)
    warnings = [f"{name}: this kernel does not have it" for name in missing]
    if not dry_run:
        warnings += applied.apply(changes)
    reasons = {one["name"]: one["reason"] for one in advice["settings"]}
    return _document("apply", dry_run, [_row(one, not dry_run, reasons) for one in changes], warnings, bool(missing))


def restore(dry_run: bool = False) -> ApplyDocument:
    """Put back what was there before apply(), and return the document `pksm.apply/1`.

    If KSM did not run before, all that it has merged gets frames of its own again.

    Args:
        dry_run: only return what would be done.

    Raises:
        UnsupportedError: KSM's settings cannot be written here, or another program has borrowed ksmd.
        PksmError: there is too little memory to unmerge; nothing was changed.
    """
    applied.require()
    kept = applied.kept()
    now = {one.name: str(files.read(one.name)) for one in kept if files.exists(one.name)}
    made, refused, warnings = (kept, [], []) if dry_run else applied.restore()
    if not made:
        warnings = [*warnings, "nothing that was applied since this machine was started is left to be put back"]
    backward = [Change(one.name, now.get(one.name, one.value), one.before) for one in made]
    rows = [_row(one, not dry_run and one.name not in refused, {}) for one in backward]
    for row in rows:
        if row["name"] in refused:
            row["why_not"] = "the kernel refuses it; it is kept to be put back later"
            warnings = [*warnings, f"{row['path']}: {row['why_not']}"]
    return _document("restore", dry_run, rows, warnings, bool(refused))


def _row(change: Change, done: bool, reasons: Mapping[str, str]) -> AppliedSetting:
    return {
        "name": change.name,
        "path": files.path_of(change.name),
        "before": change.before,
        "value": change.value,
        "reason": reasons.get(change.name, ""),
        "done": done,
        "why_not": "",
    }


def _document(
    action: str, dry_run: bool, rows: list[AppliedSetting], warnings: list[str], partial: bool
) -> ApplyDocument:
    return {
        "schema": "pksm.apply/1",
        "action": "apply" if action == "apply" else "restore",
        "dry_run": dry_run,
        "settings": rows,
        "record": os.path.join(applied.DIRECTORY, applied.RECORD),
        "partial": partial,
        "warnings": warnings,
    }
