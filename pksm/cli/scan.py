"""pksm scan: what merging saves in files and live processes."""

import argparse
import json
import math
import os
from dataclasses import replace

from pksm import report, tunables
from pksm.cli import output
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

HELP = "find out what merging saves in memory images and live processes"
USAGE = "pksm scan [OPTION...] [TARGET...] [--pid N]... [-- COMMAND...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

examples:
  pksm scan ram.img                       a memory image: each page of the file a page of memory
  pksm scan --pid 1234 --pid 1240         two live processes together
  pksm scan --settle 5 -- python3 app.py  a command: started, read after 5 s, ended"""
EXAMPLE = "for example: pksm scan --pid $$"
INTERRUPTED, PARTIAL = 130, 3
LOOKED_AT, LOOKED_AT_BYTES = 4096, 16 << 20
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}


def add_arguments(parser):
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to scan")
    what.add_argument("targets", nargs="*", metavar="TARGET", help="a file of raw memory; its holes are not resident")
    what.add_argument("--pid", action="append", type=int, default=[], metavar="N",
                      help="a live process; may be repeated")  # fmt: skip
    what.add_argument("--settle", type=float, metavar="SECONDS",
                      help="give COMMAND this long before its memory is read (default 1)")  # fmt: skip
    what.add_argument("--view", default="frames", metavar="VIEW",
                      help="count frames, each once (the default), or mappings")  # fmt: skip
    what.add_argument("--page-size", type=_page_size, default=4096, metavar="N",
                      help="bytes of a page: a power of two from 512 to 2M (default 4096)")  # fmt: skip
    how = parser.add_argument_group("how to merge")
    how.add_argument("--checksum", metavar="NAME", help="how pages are summed: see pksm features")
    how.add_argument("--order", metavar="NAME", help=f"what trees are ordered by: {', '.join(_choices('order'))}")
    how.add_argument("--preset", default="fixed", metavar="NAME",
                     help=f"settings to start from: {', '.join(tunables.PRESETS)} (default fixed)")  # fmt: skip
    how.add_argument("--set", action="append", type=str, default=[], metavar="NAME=VALUE",
                     help=f"a setting: {', '.join(tunables.SETTINGS)}; may be repeated")  # fmt: skip
    how.add_argument("--threads", type=int, metavar="N", help="threads that sum pages (default: one for each CPU)")
    out = parser.add_argument_group("what to print")
    out.add_argument("--top", type=int, default=10, metavar="N", help="tell of N groups of equal pages (default 10)")
    form = out.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything, as one JSON document (schema pksm.scan/1)")
    form.add_argument("--csv", action="store_true", help="a line for each source and one for all")


def run(options):
    """Scan and print; return the exit code."""
    openers = _openers(options)
    from pksm import native
    from pksm.gather import Interrupts
    from pksm.scan import Settings, opened, scan

    native.catch_bus_errors()
    settings = Settings(
        page_size=options.page_size,
        preset=options.preset,
        changes=_changes(options),
        threads=len(os.sched_getaffinity(0)) if options.threads is None else options.threads,
        view=options.view,
        top=options.top,
    )
    if not (options.json or options.csv):
        settings = for_table(settings)
    interrupts, progress = HeldInterrupts(), output.Progress()
    try:
        with interrupts.installed(), opened(openers, interrupts.hold) as (sources, errors):
            result = scan(sources, settings, progress, errors=errors, interrupts=Interrupts(interrupts.hold))
    finally:
        progress.clear()
    for warning in result["warnings"]:
        output.remark(warning)
    output.write(_text(result, options))
    return INTERRUPTED if result["interrupted"] else PARTIAL if result["partial"] else 0


def _text(result, options):
    if options.json:
        return json.dumps(result, indent=2) + "\n"
    if options.csv:
        return report.scan_csv(result)
    return report.scan_table(result, output.width(), output.colour(), options.top)


def for_table(settings):
    """Return settings with more groups: in a table, those that look and live alike become one row."""
    looked_at = min(LOOKED_AT, LOOKED_AT_BYTES // settings.page_size)
    return replace(settings, top=max(settings.top, looked_at)) if settings.top else settings


def _openers(options):
    """Return a function for each target that opens it. UsageError when there is none, or one is named twice."""
    from pksm import sources

    if options.settle is not None:
        if options.command is None:
            raise UsageError("--settle: there is no command to wait for; write it last, behind --")
        if not 0 <= options.settle < math.inf:
            raise UsageError(f"--settle {options.settle}: give the seconds to wait, from 0")
    _refuse_twice([(_identity(path), path) for path in options.targets])
    _refuse_twice([(pid, f"pid {pid}") for pid in options.pid])
    openers = [lambda path=path: sources.open_target(path) for path in options.targets]
    openers += [lambda pid=pid: sources.open_pid(pid) for pid in options.pid]
    if options.command is not None:
        settle = 1.0 if options.settle is None else options.settle
        openers.append(lambda: sources.run_command(options.command, settle))
    if not openers:
        raise UsageError(f"nothing to scan: name a file, a process or a command, {EXAMPLE}")
    return openers


def _identity(path):
    """Return what makes a file the same file under another name."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        if path.isdecimal():
            raise UsageError(f"{path}: no such file; for the process of this number write --pid {path}") from None
        return path
    return status.st_dev, status.st_ino


def _refuse_twice(named):
    seen = {}
    for identity, name in named:
        if identity in seen:
            other = seen[identity]
            raise UsageError(f"{name}: named twice" if other == name else f"{name}: the same file as {other}")
        seen[identity] = name


def _changes(options):
    given = {"checksum": options.checksum, "order": options.order}
    changes = {name: value for name, value in given.items() if value is not None}
    return changes | dict(map(tunables.parse_setting, options.set))


def _choices(name):
    return tunables.SETTINGS[name].metadata["choices"]


def _page_size(text):
    """Read bytes, with K or M behind them if wanted."""
    digits, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if not digits.isdecimal() or unit not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes, such as 4096, 16K or 2M")
    return int(digits) * _UNITS[unit]
