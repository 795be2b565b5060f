"""What options of several verbs have in common: one grammar for times, sizes, numbers and names, and groups of options."""

import argparse
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pksm.errors import UsageError

PAGES = 65536  # of a workload, by default: 256 MiB of pages of 4 KiB
PAGES_EACH = 16384  # where every page is worked on many times: by each strategy, in each scan
PAGE_SIZE = 4096
WITHIN = ("process", "user", "cgroup", "vm", "all")  # as pksm.scan.settings has them, which loads numpy
UNITS_OF_TIME = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
UNITS_OF_SIZE = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TIME = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) *([a-z]*)")
_SIZE = re.compile(r"([0-9]+) *([KMGT]?)(?:I?B)?", re.IGNORECASE)
_COUNT = re.compile(r"([0-9]+) *([KMGT]?)", re.IGNORECASE)

# Arguments of the library whose options have other names than they.
OPTIONS = {
    "after_seconds": "after",
    "again_seconds": "again",
    "period_ms": "period",
    "changes": "set",
    "choices": "policy",
    "loads": "load",
    "n_pages": "pages",
    "names": "workload",
    "orders": "order",
    "policies": "policy",
    "preset": "policy",
    "sample_ms": "sample",
    "timeout_seconds": "freeze_timeout",
    "until_ms": "until",
}


# ---- values ----


def seconds(text: str) -> float:
    """Read a time: "250ms", "10s", "10m", "2h", or a number of seconds."""
    return _time(text, "s")


def milliseconds(text: str) -> int:
    """Read a time in whole milliseconds: "250ms", "10s", "10m", "2h", or a number of milliseconds."""
    return round(1000 * _time(text, "ms"))


def _time(text: str, unit: str) -> float:
    found = _TIME.fullmatch(text.strip())
    if not found or (found[2] or unit) not in UNITS_OF_TIME:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time from 0, such as 250ms, 10s, 10m or 2h")
    return float(found[1]) * UNITS_OF_TIME[found[2] or unit]


def size(text: str) -> int:
    """Read a size in bytes: "4096", "4K", "4KiB", "64M"; a K is 1024."""
    return _with_unit(text, _SIZE, "size, such as 4096, 16K, 16KiB or 2M")


def count(text: str) -> int:
    """Read a number of things: "65536" or "64K"; a K is 1024."""
    return _with_unit(text, _COUNT, "whole number from 0, such as 65536 or 64K")


def counts(text: str) -> list[int]:
    """Read numbers of things with commas between: "64K,1M"."""
    return [count(part) for part in text.split(",")]


def _with_unit(text: str, form: re.Pattern[str], what: str) -> int:
    found = form.fullmatch(text.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a {what}")
    return int(found[1]) * UNITS_OF_SIZE[found[2].upper()]


def pids(text: str) -> list[int]:
    """Read process ids, several of them with blanks or commas between, as pidof prints them."""
    words = text.replace(",", " ").split()
    if not words or not all(re.fullmatch(r"[0-9]{1,18}", word) for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is not a process id, or several as pidof prints them")
    return [int(word) for word in words]


def share(text: str) -> float:
    """Read a share of a whole: "0.01", or "1/4096"."""
    found = re.fullmatch(r"([0-9.]{1,20})(?:/([0-9]{1,20}))?", text)
    try:
        read = float(found[1]) / float(found[2] or 1) if found else math.nan
    except (ValueError, ZeroDivisionError):
        read = math.nan
    if not 0 < read <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share of all contents: write 1/4096 or 0.01, 1 at most")
    return read


def names(text: str) -> list[str]:
    """Read names with commas between."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"{text!r}: write names with commas between")
    return found


# ---- groups of options ----


def add_names(group: Any, option: str, what: str, placeholder: str = "NAMES") -> None:
    """Add an option that takes names with commas between and may be repeated."""
    group.add_argument(option, action="extend", type=names, default=[], metavar=placeholder,
                       help=f"{what}, with commas between; may be repeated")  # fmt: skip


def add_within(group: Any, what: str) -> None:
    """Add --within."""
    add_names(group, "--within", f"{what}: {', '.join(WITHIN)}", "WHAT")


def add_between(group: Any) -> None:
    """Add --between."""
    group.add_argument("--between", metavar="TIMES",
                       help="only this part of a recording: 9:00-17:00 by the clock here (2026-11-28T9:00-17:00 if it is of "
                       "several days), or 600s-1200s since its beginning")  # fmt: skip


def one_part(names: Iterable[str]) -> str:
    """Return the one kind of part that --within names; all if there is none. UsageError for several."""
    parts = once(names)
    if len(parts) > 1:
        raise UsageError("name one kind of part: they are simulated one at a time", "within")
    return parts[0] if parts else "all"


def refuse(given: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Raise UsageError for the first of some options, by their names in Python, that is given: else None or False."""
    for name in names:
        value = getattr(given, name)
        if value is not None and value is not False:
            raise UsageError(why, name)


def add_pids(group: Any) -> None:
    """Add --pid."""
    group.add_argument("--pid", action="extend", type=pids, default=[], metavar="PID",
                       help='a live process, or several, as in --pid "$(pidof redis-server)"; may be repeated')  # fmt: skip


def add_workload(group: Any, pages: int, what: str = "pages of 4 KiB in each workload") -> None:
    """Add --pages and --seed."""
    group.add_argument("--pages", type=count, default=pages, metavar="N", help=f"{what} (default %(default)s)")
    add_seed(group, "of the random contents")


def add_seed(group: Any, what: str) -> None:
    """Add --seed."""
    group.add_argument("--seed", type=int, default=0, metavar="N", help=f"seed {what} (default 0)")


def add_page_size(group: Any) -> None:
    """Add --page-size, which is None unless it is given."""
    group.add_argument("--page-size", type=size, metavar="SIZE",
                       help="bytes per page: a power of two from 512 to 2M (default 4K)")  # fmt: skip


def add_policy(group: Any, what: str, default: str = "pksmd") -> None:
    """Add --policy and --set."""
    group.add_argument("--policy", action="extend", type=names, default=[], metavar="NAME[:PRESET]",
                       help=f"{what} (default {default})")  # fmt: skip
    group.add_argument("--set", action="append", default=[], metavar="[POLICY.]NAME=VALUE",
                       help="change a setting, by its name in the kernel; without POLICY, of every policy that has it; "
                       "may be repeated (pksm completion --values setting lists them)")  # fmt: skip


def add_list(group: Any, what: str) -> None:
    """Add --list."""
    group.add_argument("--list", action="store_true", help=f"list {what}, and do nothing else")


def add_keep(group: Any, what: str) -> None:
    """Add --keep."""
    group.add_argument("--keep", type=share, default=1.0, metavar="SHARE",
                       help=f"{what}, such as 1/4096, the same ones on all machines (default: all, exactly)")  # fmt: skip


def add_form(group: Any, schema: str, rows: str) -> None:
    """Add --json and --csv."""
    form = group.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help=f"print everything as one JSON document (schema {schema})")
    form.add_argument("--csv", action="store_true", help=f"print CSV: {rows}")


def add_workers(group: Any) -> None:
    """Add who does many tasks: --workers, --scheduler, --scheduler-file."""
    group.add_argument("--workers", type=count, metavar="N",
                       help="processes side by side (default: one for each CPU, if memory allows)")  # fmt: skip
    where = group.add_mutually_exclusive_group()
    where.add_argument("--scheduler", metavar="ADDRESS",
                       help="run on the Dask cluster of the scheduler at ADDRESS, such as tcp://10.0.0.1:8786; needs the "
                       "extra dask")  # fmt: skip
    where.add_argument(
        "--scheduler-file", metavar="FILE", help="the same, from the file that the scheduler has written"
    )


def policies_group(parser: argparse.ArgumentParser, title: str) -> Any:
    """Add a group of options that is described by the policies that there are, once somebody reads that."""
    group: Any = parser.add_argument_group(title)
    group.description = policies_about  # as cli.help prints it
    return group


# ---- what they mean ----


LISTS = (names, pids, counts)  # types of options that take several values, with commas between


def placeholder(action: argparse.Action) -> str:
    """Return what stands for the value of an option or argument in help."""
    return action.metavar if isinstance(action.metavar, str) else action.dest.upper()


def help_of(action: argparse.Action) -> str:
    """Return the help of an option or argument as it is printed."""
    return (action.help or "") % {**vars(action), "prog": "pksm"}


def page_size(given: argparse.Namespace) -> int:
    """Return the size of a page where nothing but --page-size says it. UsageError if it cannot be one."""
    from pksm.sources import base

    size = PAGE_SIZE if given.page_size is None else given.page_size
    base.check_page_size(size)
    return int(size)


def policies_about() -> str:
    """Return a line for each policy: its name, what it is, and its presets."""
    from pksm.policies import registry

    lines = []
    for name in registry.names():
        spec = registry.spec(name)
        lines.append(f"  {name:<11}  {spec.about}")
        if len(spec.presets) > 1:
            lines.append(f"  {'':<11}  presets: {', '.join(spec.presets)} (default {spec.default})")
        if spec.unproven:
            unproven = ", ".join(name for name in spec.presets if name in spec.unproven)
            lines.append(f"  {'':<11}  unproven, made from descriptions of patches: {unproven}")
    return "policies:\n" + "\n".join(lines)


def listing(**kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return the document pksm.names/1 of {name: sentence} of each kind."""
    rows = [
        {"kind": kind, "name": name, "about": about}
        for kind, entries in kinds.items()
        for name, about in entries.items()
    ]
    return {"schema": "pksm.names/1", "names": rows}


def policies() -> dict[str, str]:
    """Return {NAME or NAME:PRESET: sentence} of all policies."""
    from pksm.policies import registry

    specs = map(registry.spec, registry.names())
    return {name: about for spec in specs for name, about in _presets(spec)}


def _presets(spec: Any) -> Iterable[tuple[str, str]]:
    if len(spec.presets) == 1:
        return [(spec.name, spec.about)]
    return [
        (f"{spec.name}:{preset}", spec.about + (" (unproven)" if preset in spec.unproven else ""))
        for preset in spec.presets
    ]


def once(entries: Iterable[str]) -> tuple[str, ...]:
    """Return names, each once."""
    return tuple(dict.fromkeys(entries))


def named_as_typed(error: UsageError, parser: argparse.ArgumentParser) -> UsageError:
    """Let the argument of an error be the option of this verb, as it is typed, or none where there is no such option."""
    wanted = {error.argument, OPTIONS.get(error.argument or "")}
    for action in parser._actions:
        if action.dest in wanted:
            error.argument = action.option_strings[-1] if action.option_strings else None
        if action.dest == "list" and error.leaves_out:
            error.message += f" ({parser.prog} --list lists all)"
    return error
