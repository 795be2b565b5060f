"""pksm validate: our ksmd beside the running kernel's own, counter by counter."""

import argparse

from pksm.cli import exit_codes, options, output, pictures
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

HELP = "compare the simulated KSM with the running kernel's ksmd, counter by counter"
USAGE = "pksm validate [OPTION...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

The same bytes go to real processes and to simulated ones; both ksmds are stepped scan by scan, and all their counters
compared. Needs root, Linux 6.7 or later, and no other process with mergeable memory: else exit code 77. ksmd's settings
are put back afterwards, whatever happens.

--calibrate measures what visits, hashes and comparisons cost the kernel's ksmd, and keeps that price list in the user's
data directory: simulations on this machine go by it. --predict simulates real programs under three settings, lets the
kernel's ksmd do the same five times, and prints both. --replay records programs at work while the kernel's ksmd merges
their memory, plays each recording under our ksmd, and prints what both have saved.

examples:
  pksm validate --workload fork-after,crowds  two of the workloads
  pksm validate --calibrate                   the prices of this machine, for simulate, sweep and --predict
  pksm validate --replay --workload redis     recordings of redis, played beside what the kernel did meanwhile
  pksm validate --predict --json              every run of the kernel beside what was predicted
  pksm validate --predict --workload redis    one of the programs; pksm validate --predict --list names them"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to compare")
    options.add_names(what, "--workload", "workloads (default: all; --list lists them)", "WORKLOADS")
    what.add_argument("--pages", type=options.count, metavar="N",
                      help=f"pages of 4 KiB in each workload (default {options.PAGES_EACH})")  # fmt: skip
    what.add_argument("--seed", type=int, metavar="N", help="seed of the random contents (default 0)")
    options.add_list(what, "the workloads")
    instead = parser.add_argument_group("what to do instead").add_mutually_exclusive_group()
    instead.add_argument("--calibrate", action="store_true",
                         help="measure the prices of ksmd's work, and keep them (about 20 s)")  # fmt: skip
    instead.add_argument("--predict", action="store_true",
                         help="predict what ksmd does with real programs, and let it do that (several minutes)")  # fmt: skip
    instead.add_argument("--replay", action="store_true",
                         help="record programs at work for a minute, three times, and play that beside what the kernel did")  # fmt: skip
    recording = parser.add_argument_group("how to record, with --replay")
    recording.add_argument("--track", choices=["hashes", "writes", "soft-dirty"],
                           help="how writes are found, as of pksm record (default writes)")  # fmt: skip
    recording.add_argument("--every", type=options.seconds, metavar="TIME",
                           help="time between two samples (default 250ms)")  # fmt: skip
    out = parser.add_argument_group("what to print")
    options.add_form(out, "pksm.validate/1", "a line per counter of each workload")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Compare and print; return the exit code: 0 if all that must be equal is."""
    if not given.replay:
        options.refuse(given, ("track", "every"), "is for --replay alone")
    if given.calibrate or given.predict or given.replay:
        options.refuse(given, ("pages", "seed"), "is for the workloads of the comparison: leave it out here")
    if given.calibrate:
        return _calibrate(given)
    if given.predict:
        return _predict(given)
    if given.replay:
        return _replay(given)
    from pksm.validation.kernel.validate import WORKLOADS, validate

    if given.list:
        output.document(options.listing(workload={name: one.text for name, one in WORKLOADS.items()}), given)
        return 0
    progress = output.Progress()
    with pictures.made(None, given.html) as draw:
        document = validate(
            options.once(given.workload),
            options.PAGES_EACH if given.pages is None else given.pages,
            given.seed or 0,
            lambda name: progress.show(lambda: f"comparing {name}"),
        )
        for warning in document["warnings"]:
            output.remark(warning)
        draw(document)
    output.document(document, given)
    return 0 if document["equal"] else exit_codes.DIFFERENT


def _calibrate(given: argparse.Namespace) -> int:
    if given.workload or given.list:
        raise UsageError("--calibrate has workloads of its own: leave --workload and --list out", "calibrate")
    from pksm.simulation.prices import store
    from pksm.validation.kernel.calibrate import calibrate, document_of

    progress = output.Progress()
    found = calibrate(lambda name: progress.show(lambda: f"scanning {name}"))
    output.document(document_of(found, store(found.prices)), given)
    return 0


def _predict(given: argparse.Namespace) -> int:
    from pksm.validation.kernel.predict import PROGRAMS, predict

    if given.list:
        output.document(options.listing(workload={name: one.text for name, one in PROGRAMS.items()}), given)
        return 0
    progress = output.Progress()
    document = predict(
        list(options.once(given.workload)) or None, progress=lambda name: progress.show(lambda: f"running {name}")
    )
    for warning in document["warnings"]:
        output.remark(warning)
    output.document(document, given)
    return 0


def _replay(given: argparse.Namespace) -> int:
    from pksm.validation.kernel.loads import LOADS
    from pksm.validation.kernel.replayed import replayed

    if given.list:
        output.document(options.listing(workload={name: load.text for name, load in LOADS.items()}), given)
        return 0
    progress = output.Progress()
    document = replayed(
        options.once(given.workload),
        every_ms=250 if given.every is None else round(1000 * given.every),
        track=given.track or "writes",
        progress=lambda name: progress.show(lambda: f"recording {name}"),
    )
    for warning in document["warnings"]:
        output.remark(warning)
    output.document(document, given)
    return 0
