"""pksm truth: what real kernels counted, and what the simulated machine counts."""

import argparse
from typing import Any

from pksm.cli import exit_codes, options, output, pictures, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

HELP = "compare the simulated machine with what real kernels counted"
USAGE = "pksm truth [OPTION...] [W... | FILE.jsonl]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

Plays the workloads that were run in booted kernels with PKSM (all, or those named) on the simulated machine, or what a
file recorded: random traces of PKSM, or workloads of UKSM. Shows every number that differs.

examples:
  pksm truth                      all workloads
  pksm truth W2 W23_leak --json   two of them, all numbers
  pksm truth traces.jsonl         random traces that a kernel executed, one per line
  pksm truth uksm.jsonl           workloads recorded in kernels with UKSM, one per line
  pksm truth uksm.jsonl --visits v.gz --batches b.gz  in the order of the kernel"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to compare")
    what.add_argument("names", nargs="*", metavar="W|FILE.jsonl",
                      help="recorded workloads by name, or one file of traces or recordings (default: all workloads)")  # fmt: skip
    options.add_list(what, "the recorded workloads")
    options.add_policy(what, "a preset of pksmd or uksm, in place of those of the kernels", "that of each kernel")
    what.add_argument("--orders", type=options.count, default=20, metavar="N",
                      help="UKSM: orders of visits to try besides where a number differs (default: 20)")  # fmt: skip
    what.add_argument("--visits", metavar="FILE",
                      help="UKSM: visits that the kernel logged: play recordings in its order (with --batches)")  # fmt: skip
    what.add_argument("--batches", metavar="FILE", help="UKSM: wake-ups that it logged (with --visits)")
    out = parser.add_argument_group("what to print")
    out.add_argument("--all", action="store_true", help="show every number, not only those that differ")
    options.add_form(out, "pksm.truth/1", "a line per number")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Compare and print; return the exit code: 1 if a number differs without a known reason."""
    if given.list:
        from pksm.simulation.workloads import RECORDED

        output.document(options.listing(workload={name: one.text for name, one in RECORDED.items()}), given)
        return 0
    from pksm.validation import truth

    progress = output.Progress()
    files = [name for name in given.names if name.endswith(".jsonl")]
    if len(files) > 1:
        raise UsageError("one file of traces at a time")
    names = [name for text in given.names if text not in files for name in options.names(text)]
    path, preset = files[0] if files else None, _settings(given)
    with pictures.made(None, given.html) as draw:
        document = sandbox.with_file(
            path,
            lambda opener, report: truth(
                names,
                traces=path,
                preset=preset,
                orders=given.orders,
                progress=report,
                opener=opener,
                visits=given.visits,
                batches=given.batches,
            ),
            lambda what: progress.show(lambda: what),
            interrupts,
            [name for name in (given.visits, given.batches) if name is not None],
        )
        draw(document)
    output.document(document, given, everything=given.all)
    return exit_codes.DIFFERENT if document["unexplained"] else 0


def _settings(given: argparse.Namespace) -> Any:
    """Return the settings to play with, or None for those of the kernels."""
    if not given.policy:
        if given.set:
            raise UsageError("without a policy each kernel has its own settings: name one, as pksmd:fixed", "set")
        return None
    from pksm.policies.registry import choose_one

    chosen = choose_one(",".join(given.policy), given.set)
    if chosen.spec.name not in ("pksmd", "uksm"):
        raise UsageError(
            f"{chosen.name}: the kernels that were recorded had PKSM or UKSM: take a preset of pksmd or uksm", "policy"
        )
    return chosen.settings
