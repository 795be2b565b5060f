"""pksm record: what is written to real memory, over time."""

import argparse
from typing import TYPE_CHECKING

from pksm.cli import exit_codes, options, output, pictures, privileges, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.cli.targets import TargetNames, Targets
from pksm.errors import UsageError
from pksm.report.text import rate, size

if TYPE_CHECKING:
    from pksm.documents import RecordDocument, RecordPlanDocument
    from pksm.recording import recorder

HELP = "record which pages of real memory are written, over time"
USAGE = "pksm record [OPTION...] -o FILE [--pid PID]... [--all] [--cgroup CGROUP]... [IMAGE...]"
NOTHING = "nothing to record: name a process or an image, for example: pksm record -o FILE --pid $$"
HOW = ("every", "track", "compression", "dry_run", "duration")  # options that are for recording alone
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

All resident pages are read again and again. Their checksums say which have changed since the sample before; the file
holds which pages came, went and got another content, never bytes. A process that is named is followed with all that it
starts. pksm simulate FILE plays a recording under any policy.

With --track writes, each process makes a userfaultfd for pksm (see pksm opt-in), and the kernel reports which of its
pages were written, those with the bytes they had too. Each of them takes a short fault per sample. Where that cannot
be, the kernel's soft-dirty bits are used if they pass a test; the process then stands still at each sample.

Ctrl-C ends a recording; the file is whole then. What a recorder that was killed has written is repaired by --info.

examples:
  pksm record --pid 1234 -o work.pksmrec              until Ctrl-C, a sample per second
  pksm record --all --every 10s --duration 8h -o day.pksmrec  all processes, for eight hours
  pksm record --duration 1m guest.ram -o vm.pksmrec   a guest whose memory is a shared file
  pksm record --pid 1234 --track writes -o work.pksmrec  read only what is written
  pksm record --pid 1234 --track writes --dry-run     what would be done to the process
  pksm record --info work.pksmrec                     what is in it, and how long equal pages stay equal
  pksm record --info work.pksmrec --html work.html    the same as a page
  pksm record --info --between 9:00-17:00 day.pksmrec  of these hours alone
  pksm record --export work.parquet work.pksmrec      a table of all events, for DuckDB, Polars or pandas"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to record")
    what.add_argument("targets", nargs="*", metavar="IMAGE",
                      help="a file that holds memory, such as that behind a guest's RAM; with --info: a recording")  # fmt: skip
    options.add_pids(what)
    what.add_argument("--all", action="store_true", help="every live process but this one")
    what.add_argument("--cgroup", action="append", default=[], metavar="CGROUP",
                      help="all processes of a control group and of the groups below it; may be repeated")  # fmt: skip
    how = parser.add_argument_group("how to record")
    how.add_argument("-o", "--output", metavar="FILE", help="the new file, by custom with the ending .pksmrec")
    how.add_argument("--every", type=options.seconds, metavar="TIME",
                     help="time between two samples (default 1s): half of what is to be judged, at most")  # fmt: skip
    how.add_argument("--track", choices=["hashes", "writes", "soft-dirty"],
                     help="how writes are found: by checksums of all pages (default), or as the kernel reports them, so "
                     "that only written pages are read: by a userfaultfd (x86-64, Linux 6.7), else by soft-dirty bits, or "
                     "by these alone")  # fmt: skip
    how.add_argument("--compression", choices=["zlib", "zstd"],
                     help="of the file (default zlib); zstd takes less time, and the library cramjam (extra images) "
                     "wherever the file is read")  # fmt: skip
    how.add_argument("--dry-run", action="store_true",
                     help="record nothing: show who would be recorded, and what would be done to them")  # fmt: skip
    how.add_argument("--duration", type=options.seconds, metavar="TIME", help="end after this long (default: Ctrl-C)")
    out = parser.add_argument_group("what to print")
    out.add_argument("--info", action="store_true",
                     help="record nothing: print what is in a recording, and repair it if its recorder was killed")  # fmt: skip
    options.add_between(out)
    out.add_argument("--export", metavar="FILE",
                     help="record nothing: write what is in a recording as a Parquet file, a row per event; needs "
                     "pyarrow")  # fmt: skip
    options.add_form(out, "pksm.record/1", "a line per address space at the end")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Record, or look at a recording, and print; return the exit code."""
    if given.between is not None and not given.info:
        raise UsageError("is for a recording that is there: pksm record --info --between 9:00-17:00 FILE", "between")
    if given.export is not None:
        return _export(given, interrupts)
    return _info(given) if given.info else _record(given, interrupts)


def _export(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    from pksm.recording.parquet import export

    if len(given.targets) != 1 or given.info or given.output or given.pid or given.all or given.cgroup:
        raise UsageError("name one recording, and nothing else: pksm record --export FILE RECORDING", "export")
    options.refuse(given, HOW, "is for recording: leave it out with --export")
    return output.exported(export, given.targets[0], given.export, interrupts)


def _info(given: argparse.Namespace) -> int:
    from pksm.recording import repair
    from pksm.recording.summary import summary

    if len(given.targets) != 1 or given.output or given.pid or given.all or given.cgroup:
        raise UsageError("name one recording, and nothing else: pksm record --info FILE", "info")
    options.refuse(given, HOW, "is for recording: leave it out with --info")
    [path] = given.targets
    with pictures.made(None, given.html) as draw:
        document = summary(path, repair(path), between=given.between)
        draw(document)
    _show(document, given)
    return exit_codes.of(document)


def _record(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    if not given.output and not given.dry_run:
        raise UsageError("name the new file: pksm record -o FILE ...", "output")
    names = TargetNames(files=given.targets, pids=given.pid, all=given.all, cgroups=given.cgroup)
    with sandbox.for_files(bool(given.targets)) as box, pictures.made(None, given.html) as draw:
        return _recorded(given, interrupts, Targets(names, box, NOTHING), draw)


def _recorded(given: argparse.Namespace, interrupts: HeldInterrupts, targets: Targets, draw: pictures.Draw) -> int:
    from pksm.engine import native
    from pksm.linux import system
    from pksm.linux.sandbox import capabilities as of
    from pksm.recording import members, recorder
    from pksm.recording.plan import plan
    from pksm.recording.summary import summary

    native.catch_bus_errors()
    frames = system.shows_frames()
    privileges.reduce(given, [of.DAC_READ_SEARCH, of.SYS_PTRACE, of.SYS_ADMIN, of.DAC_OVERRIDE])
    named = members.Targets(given.pid, given.all, targets.cgroups, targets.openers[: len(given.targets)])
    every_ms = 1000 if given.every is None else round(given.every * 1000)
    track = given.track or "hashes"
    if given.dry_run:
        planned = plan(named, every_ms, frames, track)
        _show(planned, given)
        return exit_codes.of(planned)
    progress = output.Progress()

    def show(tally: recorder.Tally) -> None:
        progress.show(lambda: progress_line(tally))

    _, interrupted = recorder.record(
        given.output,
        named,
        every_ms,
        None if given.duration is None else round(given.duration * 1000),
        frames=frames,
        progress=show,
        hold=interrupts.hold,
        track=track,
        compression=given.compression or "zlib",
    )
    early = interrupted and given.duration is not None
    document = summary(given.output, interrupted=early)
    draw(document)
    _show(document, given)
    return exit_codes.of(document)


def _show(document: "RecordDocument | RecordPlanDocument", given: argparse.Namespace) -> None:
    for warning in document["warnings"]:
        output.remark(warning)
    output.document(document, given)


def progress_line(tally: "recorder.Tally") -> str:
    """Return what is shown while a recorder is at work, in less than 80 columns."""
    seconds = max(tally.seconds, 1e-3)
    return (
        f"recording {seconds:,.0f} s: {rate(tally.pages_read / seconds)} pages/s, {rate(tally.events / seconds)} events/s, "
        f"{size(tally.bytes_written)}, {100 * tally.cpu_s / seconds:.0f} % CPU"
    )
