"""pksm checksum: the strategies, their sums, and a profile of them on evidence."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from pksm.cli import exit_codes, options, output
from pksm.cli.interrupts import HeldInterrupts
from pksm.cli.targets import TargetNames, Targets
from pksm.documents import ProfileDocument
from pksm.errors import UsageError
from pksm.simulation.workloads import LOADS

HELP = "compare checksum strategies by speed, truth, blindness and consequence"
USAGE = """pksm checksum profile [OPTION...] [TARGET|WORKLOAD...] [--pid N]...
       pksm checksum list [--json|--csv]
       pksm checksum sum NAME FILE [--page-size N] [--json|--csv]"""
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

profile measures strategies on workloads and on your own memory, and recommends one; list shows what there is; sum
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
PAGE_SIZE = 4096
ACTIONS = ("profile", "list", "sum")
Show = Callable[[str, str | None, str], None]
AT_ONCE = 1 << 16  # pages summed before they are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    parser.add_argument("action", nargs="?", metavar="profile|list|sum", choices=ACTIONS, help="what to do")
    parser.add_argument("what", nargs="*", metavar="TARGET|WORKLOAD", help=argparse.SUPPRESS)
    what = parser.add_argument_group("what to profile")
    options.add_pids(what)
    options.add_names(what, "--strategies", "checksum strategies (default: all)")
    options.add_list(what, "the strategies and workloads that there are")
    options.add_workload(what, options.PAGES_EACH, "pages of a workload")
    options.add_page_size(what)
    what.add_argument("--changes", type=float, default=0.05, metavar="SHARE",
                      help="the share of unshared pages that change by a word and shall be merged then; 0 for memory "
                      "that never changes (default 0.05)")  # fmt: skip
    out = parser.add_argument_group("what to print")
    options.add_form(out, "pksm.checksum/1", "a line for each strategy, or each page")
    out.add_argument("--plot", metavar="FILE", help="draw the profile into FILE (.png, .svg or .pdf); takes matplotlib")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Do what is asked, print, and return the exit code."""
    from pksm.engine.checksums import strategies as checksums
    from pksm.sources import base

    if given.list:
        known = {name: checksums.describe(name, PAGE_SIZE)["users"] or "" for name in checksums.names()}
        output.document(options.listing(checksum=known, workload=LOADS), given)
        return 0
    if given.action is None:
        raise UsageError(f"say what to do: {', '.join(ACTIONS)}, for example: pksm checksum profile ram.img")
    if given.action != "profile" and (given.pid or given.strategies or given.plot):
        raise UsageError(f"--pid, --strategies and --plot are of pksm checksum profile, not of {given.action}")
    given.page_size = PAGE_SIZE if given.page_size is None else given.page_size
    base.check_page_size(given.page_size)
    checksums.check_seed(given.seed)
    if given.action == "list":
        if given.what:
            raise UsageError("pksm checksum list takes no names")
        return _list(given)
    return _sum(given) if given.action == "sum" else _profile(given, interrupts)


def _list(given: argparse.Namespace) -> int:
    from pksm.engine.checksums import strategies as checksums

    rows = [checksums.describe(name, given.page_size) for name in checksums.names()]
    output.document({"schema": "pksm.checksum.list/1", "strategies": rows}, given)
    return 0


def _sum(given: argparse.Namespace) -> int:
    if len(given.what) != 2:
        raise UsageError("pksm checksum sum takes a strategy and a file, for example: pksm checksum sum crc32c ram.img")
    from pksm.engine import native
    from pksm.scan import sums

    native.catch_bus_errors()
    name, path = given.what
    file = sums.FileSums(path, name, given.page_size, given.seed)
    for warning in file.warnings:
        output.remark(warning)
    if given.json:
        document = {"schema": "pksm.checksum.sum/1", "strategy": name, "page_size": given.page_size}
        found = [text for _, part in file.parts(AT_ONCE) for text in sums.hexadecimal(part, file.width)]
        output.document({**document, "sums": found}, given)
        return 0
    from pksm.report import checksum_sum

    if given.csv:
        output.write(checksum_sum.HEADER)
    for first, part in file.parts(AT_ONCE):  # as it comes: a file may have many pages
        texts = sums.hexadecimal(part, file.width)
        output.write(checksum_sum.lines(texts, checksum_sum.COMMA if given.csv else checksum_sum.SPACE, first))
    return 0


def _profile(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    from pksm import profiler
    from pksm.engine import native

    native.catch_bus_errors()
    progress = output.Progress()

    def show(subject: str, strategy: str | None, stage: str) -> None:
        progress.show(lambda: f"{subject}: {stage}" + (f" of {strategy}" if strategy else ""))

    with _picture(given.plot) as draw:
        document = profiler.profile(
            _subjects(given, show, interrupts),
            given.strategies or None,
            given.page_size,
            given.seed,
            given.changes,
            show,
        )
        for warning in document["warnings"]:
            output.remark(warning)
        draw(document)
    output.document(document, given)
    return exit_codes.of(document)


@contextmanager
def _picture(path: str | None) -> Iterator[Callable[[ProfileDocument], None]]:
    """Give a function that draws a document into the file at `path`, if there is one to draw."""
    if path is None:
        yield lambda document: None
        return
    from pksm.linux.new_file import new_file
    from pksm.report import plot

    form = plot.form_of(path)
    with new_file(path, "a picture", plot.is_picture, 0o666) as new:
        yield lambda document: new.write(lambda file: plot.profile(document, file, form))


def _subjects(given: argparse.Namespace, show: Show, interrupts: HeldInterrupts) -> Iterator[Any]:
    """Yield what is to be profiled, each as a context manager: workloads one by one, then all memory together."""
    from pksm.profiler import subject

    named = given.what or ([] if given.pid else DEFAULT_LOADS)
    loads = [name for name in named if name in LOADS and not os.path.lexists(name)]
    files = [name for name in named if name not in loads]
    targets = Targets(TargetNames(files=files, pids=given.pid)) if files or given.pid else None
    for name in dict.fromkeys(loads):
        show(f"workload {name}", None, "filling memory")
        yield nullcontext(subject.of_load(name, given.pages, given.page_size, given.seed))
    if targets:
        reading = subject.of_memory(
            targets.openers, given.page_size, lambda pages: show("memory", None, "reading"), interrupts.hold
        )
        yield reading
