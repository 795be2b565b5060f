"""Settings of the kernel's KSM that stay: written for good, while what was there before is kept until it is wanted back.

What was borrowed is put back by whoever comes next (see pksm.linux.ksm.borrow). These are put back by restore() alone.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pksm.errors import PksmError, UnsupportedError
from pksm.linux import memory_facts, run_files
from pksm.linux.ksm import borrow, files
from pksm.linux.proc.pagemap import PAGE_SIZE

DIRECTORY, RECORD = "/var/lib/pksm", "applied.json"
_PACE = ("advisor_mode", "pages_to_scan", "run")  # while the advisor is on, pages_to_scan can't be set; run comes last


class Change(NamedTuple):
    """A setting: its name as names() has it, what is there, and what is to be there."""

    name: str
    before: str
    value: str


def names() -> list[str]:
    """Return what can be set, in order: the path of khugepaged's file that undoes merging, and KSM's files by name."""
    return [memory_facts.MAX_PTES_NONE, *(name for name in files.KNOBS if name not in _PACE), *_PACE]


def require() -> None:
    """Raise UnsupportedError, with the reason, unless KSM's settings can be written here."""
    if not files.exists("run"):
        raise UnsupportedError(f"{files.DIRECTORY}: not there: this kernel has no KSM")
    if not os.access(files.path_of("run"), os.W_OK):
        raise UnsupportedError(f"{files.DIRECTORY}: can't be written to here: run as root, outside of a container")


def changes(wanted: Iterable[tuple[str, str]]) -> tuple[list[Change], list[str]]:
    """Return the changes that (name, value) pairs ask for, in order, and the names that this kernel does not have."""
    values = dict(wanted)
    missing = [name for name in values if not files.exists(name)]
    there = [name for name in names() if name in values and name not in missing]
    return [Change(name, str(files.read(name)), values[name]) for name in there], missing


def apply(wanted: Sequence[Change]) -> list[str]:
    """Make changes, and keep what was there before; return lines about what others had left behind.

    If the kernel refuses one, those before it are taken back.

    Raises:
        UnsupportedError: another program has borrowed ksmd, or there is nowhere to keep the old values.
        PksmError: the kernel refuses a value.
    """
    with borrow.alone() as (_, _, warnings), _directory() as directory:
        had = _kept(directory)
        first = {one.name: one for one in had}
        now = {one.name: Change(one.name, first.get(one.name, one).before, one.value) for one in _with_pace(wanted)}
        _keep(directory, list((first | now).values()))
        done: list[Change] = []
        try:
            for change in wanted:
                done.append(change)
                files.write(change.name, change.value)
        except BaseException:
            _put_back(done)
            _keep(directory, had)
            raise
        return warnings


def _with_pace(wanted: Sequence[Change]) -> list[Change]:
    """Return changes, and that of pages_to_scan, which the kernel makes with that of advisor_mode."""
    changed = {one.name for one in wanted}
    if "advisor_mode" not in changed or "pages_to_scan" in changed:
        return list(wanted)
    pages = str(files.read("pages_to_scan"))
    return [*wanted, Change("pages_to_scan", pages, pages)]


def kept() -> list[Change]:
    """Return the changes that restore() takes back: as they were made."""
    if not os.path.exists(os.path.join(DIRECTORY, RECORD)):
        return []
    with _directory() as directory:
        return _kept(directory)


def unmerges(made: Iterable[Change]) -> bool:
    """Return whether taking changes back unmerges all that KSM has merged: it did not run before."""
    return any(one.name == "run" and one.before != "1" for one in made)


def restore() -> tuple[list[Change], list[str], list[str]]:
    """Put back what was there before apply(); see unmerges().

    Returns:
        (the changes that were taken back, names that the kernel refuses, lines about what others had left behind).

    Raises:
        UnsupportedError: another program has borrowed ksmd.
        PksmError: there is too little memory to unmerge; nothing was changed.
    """
    with borrow.alone() as (_, _, warnings), _directory() as directory:
        made = _kept(directory)
        if unmerges(made):
            _require_memory()
            files.write("run", 2)
        refused = _put_back(made)
        _keep(directory, [one for one in made if one.name in refused])
        return made, refused, warnings


def _put_back(made: Iterable[Change]) -> list[str]:
    """Write what was there before, and return the names that the kernel refuses."""
    before, refused = {one.name: one.before for one in made}, []
    if "pages_to_scan" in before and files.exists("advisor_mode"):
        with contextlib.suppress(PksmError):
            before.setdefault("advisor_mode", str(files.read("advisor_mode")))
            files.write("advisor_mode", "none")
    order = [name for name in names() if name != "advisor_mode"]
    for name in [*order[:-1], "advisor_mode", "run"]:  # whatever it is then, the pace is set
        if name in before:
            try:
                files.write(name, before[name])
            except PksmError:
                refused.append(name)
    return refused


def _require_memory() -> None:
    """Raise PksmError if what is merged, with frames of its own again, would not fit."""
    free = memory_facts.available_bytes()
    takes = PAGE_SIZE * sum(files.counters().get(name, 0) for name in ("pages_sharing", "ksm_zero_pages"))
    if free is not None and takes > free:
        raise PksmError(
            f"{files.path_of('run')}: what is merged takes {takes >> 20:,} MiB once KSM is off, and {free >> 20:,} MiB are "
            "available: end something first"
        )


# ---- the record ----


@contextlib.contextmanager
def _directory() -> Iterator[int]:
    fd = run_files.open_directory(DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def _kept(directory: int) -> list[Change]:
    """Return what is kept; nothing if that is of another boot, which has ended it all."""
    try:
        with open(os.open(RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory), "rb") as file:
            record = run_files.parse_record(file.read())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PksmError(f"{DIRECTORY}/{RECORD}: cannot be read: {error.strerror}") from None
    if record is None:
        return []
    try:
        found = [Change(*map(str, row)) for row in record["changes"]]
    except (KeyError, TypeError):
        raise PksmError(f"{DIRECTORY}/{RECORD}: is not as pksm wrote it: remove it") from None
    return [one for one in found if one.name in names()]


def _keep(directory: int, made: Sequence[Change]) -> None:
    """Keep changes in place of what was kept."""
    if not made:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(RECORD, dir_fd=directory)
        return
    run_files.replace_record(directory, RECORD, {"changes": made})
