"""pksm advise: whether KSM is worth it here, with which settings, and the file that makes it so."""

import argparse
import os
from typing import Any

from pksm.cli import exit_codes, options, output, pictures, privileges, reading, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.cli.targets import Targets
from pksm.errors import UsageError

HELP = "say whether KSM is worth it for some memory, with which settings, and print the file that does it"
USAGE = "pksm advise [OPTION...] [TARGET...] [--pid PID]... [--all] [--cgroup CGROUP]... [-- COMMAND...]"
NOTHING = "nothing to advise on: name a file, a process or a command, for example: pksm advise --pid $$"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

KSM is the part of Linux that finds equal pages of memory and keeps one of each. Whether that pays depends on what is in
memory. This reads the memory once, counts what KSM would save, and simulates KSM on it with several settings until
nothing is left to merge. Nothing is changed on this machine.

A TARGET is a memory image or a file of fingerprints, as in pksm scan. For the guests of a host, name the processes of
their virtual machines. A recording of pksm record is played from its beginning to its end with each of the settings: what
writes undo counts for as long as it lasted.

examples:
  pksm advise --pid "$(pidof qemu-system-x86_64)"            the guests of this host
  pksm advise --all --as tmpfiles > /etc/tmpfiles.d/ksm.conf  settings for every boot
  pksm advise web.img db.img                                 two memory images
  pksm advise day.pksmrec                                    a recording: memory that changes as it did
  pksm advise day.pksmrec --between 9:00-17:00               of the hours in which it matters
  pksm advise --pid 4711 --again 60                          what it writes within a minute, too"""
TAKES_COMMAND = True
FORMS = ("sysfs", "tmpfiles", "systemd", "libvirt", "qemu")  # as pksm.advice.files has them, which loads numpy
LEAST_BYTES, LEAST_PERCENT, ENOUGH, PERIOD_SECONDS = 64 << 20, 1.0, 90.0, 3600
PRESET = "ksm-6.11"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to advise on")
    what.add_argument("targets", nargs="*", metavar="TARGET",
                      help="a memory image, a file of fingerprints (pksm features lists the formats), or one recording")  # fmt: skip
    reading.add_live(what)
    options.add_between(what)
    options.add_page_size(what)
    what.add_argument("--again", type=options.seconds, metavar="TIME",
                      help="look again at live processes after this long, to see how much they write; a number without a "
                      "unit is in seconds")  # fmt: skip
    how = parser.add_argument_group("what counts as worth it")
    how.add_argument("--least-percent", type=float, default=LEAST_PERCENT, metavar="N",
                     help="KSM must save N %% of memory, after its own records (default 1)")  # fmt: skip
    how.add_argument("--least-bytes", type=options.size, default=LEAST_BYTES, metavar="SIZE",
                     help="and so many bytes (default 64M)")  # fmt: skip
    how.add_argument("--enough", type=float, default=ENOUGH, metavar="N",
                     help="advise the settings of least CPU that save N %% of the best mean saving "
                     "(default 90)")  # fmt: skip
    how.add_argument("--period", type=options.seconds, default=PERIOD_SECONDS, metavar="TIME",
                     help="average savings over this time from the start on; a number without a unit is in seconds "
                     "(default 1h; of a recording, all of it)")  # fmt: skip
    how.add_argument("--tenants", choices=("user", "cgroup", "vm"), metavar="WHAT",
                     help="who must not share with each other: user, cgroup or vm (default: guests if there are "
                     "several, else users)")  # fmt: skip
    options.add_within(how, "simulate as if nothing were merged but within parts of one kind, which Linux does not have "
                       "(default all)")  # fmt: skip
    how.add_argument("--preset", default=PRESET, metavar="PRESET", help=f"KSM of which kernel (default {PRESET})")
    out = parser.add_argument_group("what to print")
    out.add_argument("--as", dest="form", choices=FORMS, metavar="FORM",
                     help=f"print only the file that does it: {', '.join(FORMS)}")  # fmt: skip
    options.add_form(out, "pksm.advise/1", "a line per simulated setting")
    pictures.add_plot(out, "what the settings save over time, and at what price")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Advise, print, and return the exit code."""
    from pksm.advice import Settings

    if given.form and (given.json or given.csv):
        raise UsageError("--as: prints that file alone: leave out --json and --csv")
    settings = Settings(
        page_size=given.page_size,
        threads=len(os.sched_getaffinity(0)),
        preset=given.preset,
        least_percent=given.least_percent,
        least_bytes=given.least_bytes,
        enough=given.enough / 100,
        period_ms=round(1000 * given.period),
        again_seconds=given.again,
        tenants=given.tenants,
        within=options.one_part(given.within),
    )
    with pictures.made(given.plot, given.html) as draw:
        document = _of_recording(given, settings, interrupts) or _of_memory(given, settings, interrupts)
        draw(document)
    for warning in document["warnings"]:
        output.remark(warning)
    if given.form:
        from pksm.advice.files import file_for

        output.write(file_for(document, given.form))
    else:
        output.document(document, given)
    return exit_codes.of(document)


def _of_memory(given: argparse.Namespace, settings: Any, interrupts: HeldInterrupts) -> Any:
    """Return the advice on memory as it is."""
    from pksm.advice import advise
    from pksm.engine import native
    from pksm.scan import Interrupts
    from pksm.sources import opened

    native.catch_bus_errors()
    with sandbox.for_files(bool(given.targets)) as box:
        targets = Targets(reading.names_of(given, given.targets), box, NOTHING)
        with opened(targets.openers, interrupts.hold) as (sources, errors):
            return advise(
                sources,
                settings,
                _progress(),
                errors=errors,
                interrupts=Interrupts(interrupts.hold),
                reading=privileges.Reduced(reading.freezer(given, sources, targets.cgroups), given),
                hold=interrupts.hold,
            )


def _of_recording(given: argparse.Namespace, settings: Any, interrupts: HeldInterrupts) -> Any:
    """Return the advice on a recording; None if none was named. UsageError for something else beside it."""
    from pksm.simulation.replay import is_recorded

    path = next((name for name in given.targets if is_recorded(name)), None)
    if path is None:
        if given.between is not None:
            raise UsageError("is for a recording, of which it takes a part", "between")
        return None
    if len(given.targets) > 1 or reading.is_live(given):
        raise UsageError(f"{path}: is a recording, which is advised on alone")
    from pksm.advice import advise_recording

    show = _progress()
    return advise_recording(
        path,
        settings,
        between=given.between,
        hold=interrupts.hold,
        reader=lambda work: sandbox.with_file(path, work, show, interrupts),
    )


def _progress() -> Any:
    reads, simulates = output.Progress(), output.Progress()

    def show(stage: str, done: int, total: int | None) -> None:
        if stage == "simulate":
            simulates.show(lambda: f"simulating: {done} of {total} settings")
        else:
            reads(stage, done, total)

    return show
