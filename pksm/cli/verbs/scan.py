"""pksm scan: what merging saves in files and live processes."""

import argparse
import gc
import os
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from pksm.cli import exit_codes, options, output, pictures, privileges, reading, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.cli.targets import Targets
from pksm.documents.scan import View
from pksm.errors import UsageError

if TYPE_CHECKING:
    from pksm.scan import Settings

HELP = "find out what merging saves in memory images and live processes"
USAGE = "pksm scan [OPTION...] [TARGET...] [--pid PID]... [--all] [--cgroup CGROUP]... [-- COMMAND...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

All targets are taken together: pages that are equal are duplicates, in whichever of them they lie. The report shows
zero pages, duplicates, what the bookkeeping of such merging takes, and what each target saves by itself. A COMMAND
behind -- is started, read after a while, and ended.

Nothing is changed or merged on this machine. Processes of other users can be read by root alone.

examples:
  pksm scan ram.img                       a memory image: each page of the file a page of memory
  pksm scan --pid "$(pidof redis-server)"  live processes, together
  pksm scan --after 5s -- python3 app.py  a command: started, read after 5 s, ended
  pksm scan --all                         every process that may be read
  pksm scan --all --policy ksmd --within user,all  what KSM would save, and what keeping users apart costs
  pksm scan a.fp b.fp                     two machines together, by their fingerprints"""
TAKES_COMMAND = True
LOOKED_AT, LOOKED_AT_BYTES, LOOKED_AT_PLACES = 4096, 16 << 20, 1 << 18  # groups; a group may live in all sources


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to scan")
    what.add_argument("targets", nargs="*", metavar="TARGET",
                      help="a memory image or a file of fingerprints (pksm features lists the formats; any other file "
                      "is raw memory, and its holes are not resident)")  # fmt: skip
    reading.add_live(what)
    what.add_argument("--view", choices=get_args(View), default="frames", metavar="VIEW",
                      help="count frames, each once (the default), or mappings")  # fmt: skip
    options.add_page_size(what)
    options.add_within(what, "also report what merging only within such parts saves")
    how = options.policies_group(parser, "how to merge")
    options.add_policy(how, "policy that merges, with a preset", "pksmd:fixed")
    how.add_argument("--checksum", metavar="CHECKSUM", help="checksum of pages (pksm checksum list lists them)")
    how.add_argument("--order", metavar="ORDER", help="order of the trees: content, checksum or checksum-content")
    how.add_argument(
        "--threads", type=int, metavar="N", help="threads at work; no result depends on it (default: one per CPU)"
    )
    out = parser.add_argument_group("what to print")
    out.add_argument(
        "--top", type=int, default=10, metavar="N", help="show the N largest groups of equal pages (default 10)"
    )
    out.add_argument("--matrix", action="store_true",
                     help="add a table of what each two of 2 to 32 sources have in common")  # fmt: skip
    out.add_argument("--show-bytes", action="store_true",
                     help="add the first bytes of each group shown, as text or in hexadecimal; "
                     "no other option prints bytes of pages")  # fmt: skip
    options.add_form(out, "pksm.scan/1", "a line per source and one for all")
    pictures.add_plot(out, "where the bytes of each source go")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Scan and print; return the exit code."""
    _check_form(given)
    with sandbox.for_files(bool(given.targets)) as box:
        return _scan(given, interrupts, Targets(reading.names_of(given, given.targets), box))


def _scan(given: argparse.Namespace, interrupts: HeldInterrupts, targets: Targets) -> int:
    from pksm.engine import native
    from pksm.scan import Interrupts, Settings, scan
    from pksm.scan.attribution import MOST_SOURCES
    from pksm.sources import opened

    if given.own_process:
        gc.freeze()  # what is loaded by now stays: no collection need look at it
    native.catch_bus_errors()
    settings = Settings(
        page_size=given.page_size,
        policy=",".join(given.policy) or "pksmd:fixed",
        changes=_changes(given),
        threads=len(os.sched_getaffinity(0)) if given.threads is None else given.threads,
        view=given.view,
        top=given.top,
        show_bytes=given.show_bytes,
        within=options.once(given.within),
    )
    if not (given.json or given.csv):
        settings = for_table(settings, len(targets.openers))
    with (
        pictures.made(given.plot, given.html) as draw,
        opened(targets.openers, interrupts.hold) as (sources, errors),
    ):
        result = scan(
            sources,
            settings,
            output.Progress(),
            errors=errors,
            interrupts=Interrupts(interrupts.hold),
            reading=privileges.Reduced(reading.freezer(given, sources, targets.cgroups), given),
        )
        draw(result)
    for warning in result["warnings"]:
        output.remark(warning)
    if given.matrix and result["matrix"] is None:
        output.remark(f"--matrix: takes 2 to {MOST_SOURCES} sources, not {len(result['sources'])}")
    output.document(result, given, top=given.top, matrix=given.matrix)
    return exit_codes.of(result)


def _check_form(given: argparse.Namespace) -> None:
    if given.csv:
        for is_given, name in ((given.matrix, "--matrix"), (given.show_bytes, "--show-bytes")):
            if is_given:
                raise UsageError(f"{name}: CSV has no room for it; take --json, or neither")


def _changes(given: argparse.Namespace) -> list[str]:
    """Return the settings that were given as texts "name=value", those with options of their own among them."""
    own = {"checksum": given.checksum, "order": given.order}
    return [*given.set, *(f"{name}={value}" for name, value in own.items() if value is not None)]


def for_table(settings: "Settings", n_sources: int = 1) -> "Settings":
    """Return settings with more groups: in a table, those that look and live alike become one row."""
    from pksm.scan.settings import PAGE_SIZE

    of_bytes, of_places = LOOKED_AT_BYTES // (settings.page_size or PAGE_SIZE), LOOKED_AT_PLACES // max(1, n_sources)
    looked_at = min(LOOKED_AT, of_bytes, of_places)
    return replace(settings, top=max(settings.top, looked_at)) if settings.top else settings
