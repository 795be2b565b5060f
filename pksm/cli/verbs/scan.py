"""pksm scan: what merging saves in files and live processes."""

import argparse
import os
from contextlib import contextmanager
from dataclasses import replace

from pksm.cli import exit_codes, output
from pksm.cli.targets import TargetNames, Targets
from pksm.engine.settings import parse_setting
from pksm.errors import UsageError
from pksm.policies.pksmd import tunables

HELP = "find out what merging saves in memory images and live processes"
USAGE = "pksm scan [OPTION...] [TARGET...] [--pid N]... [--all] [--cgroup PATH]... [-- COMMAND...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

examples:
  pksm scan ram.img                       a memory image: each page of the file a page of memory
  pksm scan --pid 1234 --pid 1240         two live processes together
  pksm scan --after 5 -- python3 app.py  a command: started, read after 5 s, ended
  pksm scan --all                         every process that may be read
  pksm scan --all --fingerprints a.fp     the same, and checksums of all pages to a file
  pksm scan a.fp b.fp                     two machines together, by their fingerprints"""
LOOKED_AT, LOOKED_AT_BYTES = 4096, 16 << 20
RACY = ("keep", "drop", "unchecked")
FREEZE_S = 10.0
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}


def add_arguments(parser):
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to scan")
    what.add_argument("targets", nargs="*", metavar="TARGET",
                      help="a memory image (pksm features names the formats; any other file is raw memory, its holes "
                      "not resident), or fingerprints")  # fmt: skip
    what.add_argument("--pid", action="append", type=int, default=[], metavar="N",
                      help="a live process; may be repeated")  # fmt: skip
    what.add_argument("--all", action="store_true", help="every live process but this one")
    what.add_argument("--cgroup", action="append", default=[], metavar="PATH",
                      help="the processes of a control group and of those below it; may be repeated")  # fmt: skip
    what.add_argument("--after", type=float, metavar="SECONDS",
                      help="give COMMAND this long before its memory is read (default 1)")  # fmt: skip
    what.add_argument("--racy", choices=RACY, default="keep", metavar="WHAT",
                      help="pages written since they were read: keep (the default), drop, or leave unchecked, which "
                      "takes half the time to read a busy process")  # fmt: skip
    what.add_argument("--freeze", action="store_true", help="let processes stand still while they are read")
    what.add_argument("--freeze-timeout", type=float, default=None, metavar="SECONDS",
                      help=f"and go on after this long at the latest (default {FREEZE_S:g})")  # fmt: skip
    what.add_argument("--view", default="frames", metavar="VIEW",
                      help="count frames, each once (the default), or mappings")  # fmt: skip
    what.add_argument("--page-size", type=page_size, metavar="N",
                      help="bytes of a page: a power of two from 512 to 2M (default 4096)")  # fmt: skip
    how = parser.add_argument_group("how to merge")
    how.add_argument("--checksum", metavar="NAME", help="how pages are summed: see pksm checksum list")
    how.add_argument("--order", metavar="NAME", help=f"what trees are ordered by: {', '.join(_choices('order'))}")
    how.add_argument("--preset", default="fixed", metavar="NAME",
                     help=f"settings to start from: {', '.join(tunables.PRESETS)} (default fixed)")  # fmt: skip
    how.add_argument("--set", action="append", type=str, default=[], metavar="NAME=VALUE",
                     help=f"a setting: {', '.join(tunables.SETTINGS)}; may be repeated")  # fmt: skip
    how.add_argument("--threads", type=int, metavar="N", help="threads that sum pages (default: one for each CPU)")
    out = parser.add_argument_group("what to print")
    out.add_argument("--top", type=int, default=10, metavar="N", help="tell of N groups of equal pages (default 10)")
    out.add_argument("--matrix", action="store_true",
                     help="add a table of the contents that 2 to 32 sources have in common")  # fmt: skip
    out.add_argument("--show-bytes", action="store_true",
                     help="add the first bytes of the groups told of, as text or in hexadecimal; "
                     "without this, no output holds bytes of pages")  # fmt: skip
    out.add_argument("--fingerprints", metavar="FILE",
                     help="write two checksums of each page to FILE, "
                     "to be scanned with those of other machines")  # fmt: skip
    form = out.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything, as one JSON document (schema pksm.scan/1)")
    form.add_argument("--csv", action="store_true", help="a line for each source and one for all")


def run(options, interrupts):
    """Scan and print; return the exit code."""
    _check_form(options)
    targets = Targets(
        TargetNames(
            files=options.targets,
            pids=options.pid,
            all=options.all,
            cgroups=options.cgroup,
            command=options.command,
            after=options.after,
            racy=options.racy,
        )
    )
    from pksm.engine import native
    from pksm.scan import Interrupts, Settings, scan
    from pksm.scan.attribution import MOST_SOURCES
    from pksm.sources import opened

    native.catch_bus_errors()
    settings = Settings(
        page_size=options.page_size,
        policy=f"pksmd:{options.preset}",
        changes=_changes(options),
        threads=len(os.sched_getaffinity(0)) if options.threads is None else options.threads,
        view=options.view,
        top=options.top,
        show_bytes=options.show_bytes,
    )
    if not (options.json or options.csv):
        settings = for_table(settings)
    with (
        _fingerprint_file(options.fingerprints, options.targets) as keep,
        opened(targets.openers, interrupts.hold) as (sources, errors),
    ):
        result = scan(
            sources,
            settings,
            output.Progress(),
            errors=errors,
            interrupts=Interrupts(interrupts.hold),
            reading=_freezer(options, sources, targets),
            keep=keep,
        )
    for warning in result["warnings"]:
        output.remark(warning)
    if options.matrix and result["matrix"] is None:
        output.remark(f"--matrix: takes 2 to {MOST_SOURCES} sources, not {len(result['sources'])}")
    output.document(result, options, top=options.top, matrix=options.matrix)
    return exit_codes.of(result)


def _check_form(options):
    if options.csv:
        for given, name in ((options.matrix, "--matrix"), (options.show_bytes, "--show-bytes")):
            if given:
                raise UsageError(f"{name}: CSV has no room for it; take --json, or neither")


@contextmanager
def _fingerprint_file(path, targets):
    if path is None:
        yield None
        return
    from pksm.scan import fingerprints

    with fingerprints.new_file(path) as keep:
        there = [target for target in targets if os.path.exists(target)] if os.path.exists(path) else []
        if any(os.path.samefile(path, target) for target in there):
            raise UsageError(f"{path}: is a target already; name another file", "fingerprints")
        yield keep


def _freezer(options, sources, targets):
    if not options.freeze:
        if options.freeze_timeout is not None:
            raise UsageError("--freeze-timeout: nothing is frozen without --freeze")
        return None
    from pksm.sources.live.freeze import Freezer

    timeout = FREEZE_S if options.freeze_timeout is None else options.freeze_timeout
    freezer = Freezer(sources, targets.cgroups, timeout)
    if not freezer.has_processes:
        raise UsageError("--freeze: there is no live process to freeze")
    return freezer


def for_table(settings):
    """Return settings with more groups: in a table, those that look and live alike become one row."""
    from pksm.scan.settings import PAGE_SIZE

    looked_at = min(LOOKED_AT, LOOKED_AT_BYTES // (settings.page_size or PAGE_SIZE))
    return replace(settings, top=max(settings.top, looked_at)) if settings.top else settings


def _changes(options):
    given = {"checksum": options.checksum, "order": options.order}
    changes = {name: value for name, value in given.items() if value is not None}
    return changes | dict(parse_setting(text, tunables.SETTINGS) for text in options.set)


def _choices(name):
    return tunables.SETTINGS[name].metadata["choices"]


def page_size(text):
    """Read bytes, with K or M behind them if wanted."""
    digits, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if not digits.isdecimal() or unit not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes, such as 4096, 16K or 2M")
    return int(digits) * _UNITS[unit]
