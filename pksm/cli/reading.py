"""Options of the verbs that read live processes, and what these options mean."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pksm.cli import options
from pksm.cli.targets import RACY, TargetNames
from pksm.errors import UsageError

if TYPE_CHECKING:
    from pksm.scan.run import Guard
    from pksm.sources import Source

FREEZE_S = 10.0


def add_live(group: Any) -> None:
    """Add --pid, --all, --cgroup, --after, --racy, --freeze and --freeze-timeout."""
    options.add_pids(group)
    group.add_argument("--all", action="store_true", help="every live process but this one")
    group.add_argument("--cgroup", action="append", default=[], metavar="CGROUP",
                       help="all processes of a control group and of the groups below it; may be repeated")  # fmt: skip
    group.add_argument("--after", type=options.seconds, metavar="TIME",
                       help="give COMMAND this long before its memory is read (default 1s)")  # fmt: skip
    group.add_argument("--racy", choices=RACY, default="keep", metavar="WHAT",
                       help="what to do with pages that were written after they were read: keep (the default), drop, or "
                       "unchecked, which halves the time to read a busy process")  # fmt: skip
    group.add_argument("--freeze", action="store_true", help="stop processes while they are read")
    group.add_argument("--freeze-timeout", type=options.seconds, metavar="TIME",
                       help=f"resume frozen processes after this long at the latest (default {FREEZE_S:g}s)")  # fmt: skip


def names_of(given: argparse.Namespace, files: Sequence[str]) -> TargetNames:
    """Return what was named: these files, and the processes of the options."""
    return TargetNames(
        files=files,
        pids=given.pid,
        all=given.all,
        cgroups=given.cgroup,
        command=given.command,
        after=given.after,
        racy=given.racy,
    )


def is_live(given: argparse.Namespace) -> bool:
    """Return whether live processes, or a command, were named."""
    return bool(given.pid or given.all or given.cgroup or given.command is not None)


def freezer(given: argparse.Namespace, sources: "Sequence[Source]", cgroups: Sequence[str]) -> "Guard":
    """Return what holds processes still while they are read; without --freeze, what lets go on those left by earlier runs."""
    if not given.freeze:
        if given.freeze_timeout is not None:
            raise UsageError("--freeze-timeout: nothing is frozen without --freeze")
        from pksm.sources.live.frozen import Repaired

        return Repaired()
    from pksm.sources.live.freeze import Freezer

    timeout = FREEZE_S if given.freeze_timeout is None else given.freeze_timeout
    freezer = Freezer(sources, cgroups, timeout)
    if not freezer.has_processes:
        raise UsageError("--freeze: there is no live process to freeze")
    return freezer
