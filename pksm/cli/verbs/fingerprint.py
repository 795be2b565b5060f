"""pksm fingerprint: two checksums for each page of some memory, into a file."""

import argparse
import gc
import os

from pksm.cli import exit_codes, options, output, privileges, reading, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.cli.targets import Targets
from pksm.errors import UsageError

HELP = "write two checksums per page of memory to a file, for pksm scan and pksm fleet"
USAGE = """pksm fingerprint [OPTION...] -o FILE [TARGET...] [--pid PID]... [--all] [--cgroup CGROUP]... [-- COMMAND...]
       pksm fingerprint --export FILE.parquet FINGERPRINTS"""
NOTHING = "nothing to read: name a file, a process or a command, for example: pksm fingerprint -o FILE --pid $$"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

The file stands for the memory of this machine: pksm scan takes one or several of them in place of memory, pksm fleet
counts those of many machines. It holds 32 bytes per page and no bytes of pages, but who can guess all of a page can find
out whether it was there. With --key, sums are made with a secret key, and only who has the key can guess.

With --keep, a sample of contents is kept, the same ones on all machines, for pksm fleet alone.

examples:
  pksm fingerprint -o one.fp ram.img       a memory image
  pksm fingerprint -o "$(hostname).fp" --all  every process that may be read
  pksm fingerprint -o host.fp --keep 1/4096 --all  a sample: 4 KiB per GiB of memory
  pksm fingerprint -o host.fp --key fleet.key --all  sums with the key that all machines have"""
TAKES_COMMAND = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to read")
    what.add_argument("targets", nargs="*", metavar="TARGET",
                      help="a memory image (pksm features lists the formats; any other file is raw memory)")  # fmt: skip
    reading.add_live(what)
    options.add_page_size(what)
    how = parser.add_argument_group("what to write")
    how.add_argument("-o", "--output", metavar="FILE", help="the new file, by custom with the ending .fp")
    options.add_keep(how, "share of contents to keep")
    how.add_argument("--key", metavar="FILE",
                     help="make sums with the secret key in FILE: 32 hexadecimal digits, which its owner alone can read "
                     "(mode 0600). All machines of a fleet take the same one")  # fmt: skip
    out = parser.add_argument_group("what to print")
    out.add_argument("--export", metavar="FILE",
                     help="make none: write those in a file as a Parquet file, a row per record; needs pyarrow")  # fmt: skip
    options.add_form(out, "pksm.fingerprint/1", "a line per source")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Make fingerprints and print what was written; return the exit code."""
    if given.export is not None:
        return _export(given, interrupts)
    if given.output is None:
        raise UsageError("name the new file: pksm fingerprint -o FILE ...", "output")
    _refuse_targets(given)
    with sandbox.for_files(bool(given.targets)) as box:
        return _made(given, interrupts, Targets(reading.names_of(given, given.targets), box, NOTHING))


def _made(given: argparse.Namespace, interrupts: HeldInterrupts, targets: Targets) -> int:
    from pksm.engine import native
    from pksm.linux.key_file import read_key
    from pksm.scan import Interrupts
    from pksm.scan.fingerprints import fingerprint
    from pksm.sources import opened

    if given.own_process:
        gc.freeze()  # what is loaded by now stays: no collection need look at it
    native.catch_bus_errors()
    key = None if given.key is None else read_key(given.key)
    progress, read = output.Progress(), 0

    def show(pages: int) -> None:
        nonlocal read
        read += pages
        progress("read", read, None)

    with opened(targets.openers, interrupts.hold) as (sources, errors):
        result = fingerprint(
            sources,
            given.output,
            options.page_size(given),
            given.keep,
            key,
            show,
            errors=errors,
            interrupts=Interrupts(interrupts.hold),
            reading=privileges.Reduced(reading.freezer(given, sources, targets.cgroups), given),
        )
    for warning in result["warnings"]:
        output.remark(warning)
    output.document(result, given)
    return exit_codes.of(result)


def _export(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    from pksm.sources.fingerprints.parquet import export

    if len(given.targets) != 1 or given.output or reading.is_live(given):
        raise UsageError(
            "name one file of fingerprints, and nothing else: pksm fingerprint --export FILE ONE.fp", "export"
        )
    return output.exported(export, given.targets[0], given.export, interrupts)


def _refuse_targets(given: argparse.Namespace) -> None:
    if os.path.exists(given.output):
        for target in given.targets:
            if os.path.exists(target) and os.path.samefile(given.output, target):
                raise UsageError(f"{given.output}: is a target already; name another file", "output")
