"""pksm checksum profile: the strategies, measured on evidence, and which to take."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

from pksm.cli import exit_codes, options, output, pictures, privileges, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.cli.targets import TargetNames, Targets
from pksm.simulation.workloads import LOADS

HELP = "measure checksum strategies on workloads and on memory of yours, and recommend one"
USAGE = "pksm checksum profile [OPTION...] [TARGET|LOAD...] [--pid PID]..."
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

loads:
{chr(10).join(f"  {name}  {text}" for name, text in LOADS.items())}

examples:
  pksm checksum profile ram.img --plot ram.svg                   all strategies, on a memory image
  pksm checksum profile f e --strategies xxh3-64,jhash2,sampled  three of them, on two loads"""
DEFAULT_LOADS = ("f", "e")
Show = Callable[[str, str | None, str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to profile")
    what.add_argument("what", nargs="*", metavar="TARGET|LOAD",
                      help="a memory image, or a load by name (default: the loads f and e)")  # fmt: skip
    options.add_pids(what)
    options.add_names(what, "--strategies", "checksum strategies (default: all)", "CHECKSUMS")
    options.add_list(what, "the strategies and loads")
    options.add_workload(what, options.PAGES_EACH, "pages per load")
    options.add_page_size(what)
    what.add_argument("--changes", type=float, default=0.05, metavar="SHARE",
                      help="share of the unshared pages that change by one word before they are merged; 0 for memory "
                      "that never changes (default 0.05)")  # fmt: skip
    out = parser.add_argument_group("what to print")
    options.add_form(out, "pksm.checksum/1", "a line per strategy")
    pictures.add_plot(out, "strategies by speed, blindness and cost")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Profile, print, and return the exit code."""
    from pksm.engine.checksums import strategies as checksums

    given.page_size = options.page_size(given)
    if given.list:
        known = {name: checksums.describe(name, given.page_size)["users"] or "" for name in checksums.names()}
        output.document(options.listing(checksum=known, workload=LOADS), given)
        return 0
    checksums.check_seed(given.seed)
    from pksm import profiler
    from pksm.engine import native

    native.catch_bus_errors()
    progress = output.Progress()

    def show(subject: str, strategy: str | None, stage: str) -> None:
        progress.show(lambda: f"{subject}: {stage}" + (f" of {strategy}" if strategy else ""))

    loads, files = _named(given)
    with pictures.made(given.plot, given.html) as draw, sandbox.for_files(bool(files)) as box:
        targets = Targets(TargetNames(files=files, pids=given.pid), box) if files or given.pid else None
        privileges.reduce(given, _needed(given))
        document = profiler.profile(
            _subjects(given, loads, targets, show, interrupts),
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


def _named(given: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the (loads, files) that are to be profiled."""
    named = given.what or ([] if given.pid else DEFAULT_LOADS)
    loads = [name for name in named if name in LOADS and not os.path.lexists(name)]
    return loads, [name for name in named if name not in loads]


def _needed(given: argparse.Namespace) -> list[int]:
    """Return the capabilities that a profile needs."""
    from pksm.linux.sandbox import capabilities as of

    to_draw = [of.DAC_OVERRIDE, of.FOWNER] if given.plot or given.html else []
    return [of.DAC_READ_SEARCH, of.SYS_PTRACE, of.SYS_ADMIN, *to_draw]


def _subjects(
    given: argparse.Namespace, loads: list[str], targets: Targets | None, show: Show, interrupts: HeldInterrupts
) -> Iterator[Any]:
    """Yield what is to be profiled, each as a context manager: workloads one by one, then all memory together."""
    from pksm.profiler import subject

    for name in dict.fromkeys(loads):
        show(f"workload {name}", None, "filling memory")
        yield nullcontext(subject.of_load(name, given.pages, given.page_size, given.seed))
    if targets:
        reading = subject.of_memory(
            targets.openers, given.page_size, lambda pages: show("memory", None, "reading"), interrupts.hold
        )
        yield reading
