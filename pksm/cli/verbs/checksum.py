"""pksm checksum: the strategies, their sums, and a profile of them on evidence."""

import argparse
import os
from contextlib import contextmanager, nullcontext

from pksm.cli import exit_codes, output
from pksm.cli.targets import TargetNames, Targets
from pksm.cli.verbs.scan import page_size
from pksm.errors import UsageError
from pksm.simulation.workloads import LOADS

HELP = "compare checksum strategies by speed, truth, blindness and consequence"
USAGE = """pksm checksum profile [OPTION...] [TARGET|WORKLOAD...] [--pid N]...
       pksm checksum list [--json|--csv]
       pksm checksum sum NAME FILE [--page-size N] [--json|--csv]"""
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

profile measures strategies on workloads and on your own memory, and recommends one; list tells what there is; sum
prints the checksum of each page of a file.

workloads:
{chr(10).join(f"  {name}  {text}" for name, text in LOADS.items())}

A strategy may have options behind colons: sampled:words=128:order=sorted:seed=1, sampled-lines:words=64,
partial:bytes=256:at=0, adaptive:words=64.

examples:
  pksm checksum profile ram.img --plot ram.png                 all strategies, on a dump of yours
  pksm checksum profile f e --strategies xxh3-64,jhash2,sampled
  pksm checksum sum crc32c ram.img"""
DEFAULT_LOADS = ("f", "e")
DEFAULT_PAGES = 16384
AT_ONCE = 1 << 16  # pages summed before they are printed


def add_arguments(parser):
    """Declare the options of this verb."""
    parser.add_argument("action", metavar="profile|list|sum", choices=("profile", "list", "sum"), help="what to do")
    parser.add_argument("what", nargs="*", metavar="TARGET|WORKLOAD", help=argparse.SUPPRESS)
    what = parser.add_argument_group("what to profile")
    what.add_argument("--pid", action="append", type=int, default=[], metavar="N",
                      help="a live process; may be repeated")  # fmt: skip
    what.add_argument("--strategies", action="append", default=[], metavar="NAMES",
                      help="with commas between; may be repeated (default: all)")  # fmt: skip
    what.add_argument("--pages", type=int, default=DEFAULT_PAGES, metavar="N",
                      help="pages of a workload (default %(default)s)")  # fmt: skip
    what.add_argument("--page-size", type=page_size, default=4096, metavar="N",
                      help="bytes of a page: a power of two from 512 to 2M (default 4096)")  # fmt: skip
    what.add_argument("--changes", type=float, default=0.05, metavar="SHARE",
                      help="the share of unshared pages that change by a word and shall be merged then; 0 for memory "
                      "that never changes (default 0.05)")  # fmt: skip
    what.add_argument("--seed", type=int, default=0, metavar="N",
                      help="of workloads, changes, and the words that are sampled (default 0)")  # fmt: skip
    out = parser.add_argument_group("what to print")
    form = out.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything, as one JSON document (schema pksm.checksum/1)")
    form.add_argument("--csv", action="store_true", help="a line for each strategy, or each page")
    out.add_argument("--plot", metavar="FILE", help="draw the profile into FILE (.png, .svg or .pdf); takes matplotlib")


def run(options, interrupts):
    """Do what is asked, print, and return the exit code."""
    if options.action != "profile" and (options.pid or options.strategies or options.plot):
        raise UsageError(f"--pid, --strategies and --plot are of pksm checksum profile, not of {options.action}")
    from pksm.engine.checksums import strategies as checksums
    from pksm.sources import base

    base.check_page_size(options.page_size)
    checksums.check_seed(options.seed)
    if options.action == "list":
        if options.what:
            raise UsageError("pksm checksum list takes no names")
        return _list(options)
    return _sum(options) if options.action == "sum" else _profile(options, interrupts)


def _list(options):
    from pksm.engine.checksums import strategies as checksums

    rows = [checksums.describe(name, options.page_size) for name in checksums.names()]
    output.document({"schema": "pksm.checksum.list/1", "strategies": rows}, options)
    return 0


def _sum(options):
    if len(options.what) != 2:
        raise UsageError("pksm checksum sum takes a strategy and a file, for example: pksm checksum sum crc32c ram.img")
    from pksm.engine import native
    from pksm.scan import sums

    native.catch_bus_errors()
    name, path = options.what
    file = sums.FileSums(path, name, options.page_size, options.seed)
    for warning in file.warnings:
        output.remark(warning)
    if options.json:
        document = {"schema": "pksm.checksum.sum/1", "strategy": name, "page_size": options.page_size}
        texts = [text for _, part in file.parts(AT_ONCE) for text in sums.hexadecimal(part, file.width)]
        output.document({**document, "sums": texts}, options)
        return 0
    from pksm.report import checksum_sum

    if options.csv:
        output.write(checksum_sum.HEADER)
    for first, part in file.parts(AT_ONCE):  # as it comes: a file may have many pages
        texts = sums.hexadecimal(part, file.width)
        output.write(checksum_sum.lines(texts, checksum_sum.COMMA if options.csv else checksum_sum.SPACE, first))
    return 0


def _profile(options, interrupts):
    from pksm import profiler
    from pksm.engine import native

    native.catch_bus_errors()
    progress = output.Progress()

    def show(subject, strategy, stage):
        progress.show(lambda: f"{subject}: {stage}" + (f" of {strategy}" if strategy else ""))

    strategies = [name for names in options.strategies for name in names.split(",")]
    with _picture(options.plot) as draw:
        document = profiler.profile(
            _subjects(options, show, interrupts),
            strategies or None,
            options.page_size,
            options.seed,
            options.changes,
            show,
        )
        for warning in document["warnings"]:
            output.remark(warning)
        draw(document)
    output.document(document, options)
    return exit_codes.of(document)


@contextmanager
def _picture(path):
    """Give a function that draws a document into the file at `path`, if there is one to draw."""
    if path is None:
        yield lambda document: None
        return
    from pksm.linux.new_file import new_file
    from pksm.report import plot

    form = plot.form_of(path)
    with new_file(path, "a picture", plot.is_picture, 0o666) as new:
        yield lambda document: new.write(lambda file: plot.profile(document, file, form))


def _subjects(options, show, interrupts):
    """Yield what is to be profiled, each as a context manager: workloads one by one, then all memory together."""
    from pksm.profiler import subject

    named = options.what or ([] if options.pid else DEFAULT_LOADS)
    loads = [name for name in named if name in LOADS and not os.path.lexists(name)]
    files = [name for name in named if name not in loads]
    targets = Targets(TargetNames(files=files, pids=options.pid)) if files or options.pid else None
    for name in dict.fromkeys(loads):
        show(f"workload {name}", None, "filling memory")
        yield nullcontext(subject.of_load(name, options.pages, options.page_size, options.seed))
    if targets:
        reading = subject.of_memory(
            targets.openers, options.page_size, lambda pages: show("memory", None, "reading"), interrupts.hold
        )
        yield reading
