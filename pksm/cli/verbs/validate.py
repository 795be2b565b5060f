"""pksm validate: our ksmd beside the running kernel's own, counter by counter."""

from pksm.cli import exit_codes, output

HELP = "hold the simulated KSM against the running kernel's ksmd, counter by counter"
USAGE = "pksm validate [OPTION...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

The same bytes go to real processes and to simulated ones; both ksmds are stepped scan by scan, and all their counters
compared. Needs root, Linux 6.7 or later, and no other process with mergeable memory: else exit code 77. ksmd's settings
are put back afterwards, whatever happens.

example:
  pksm validate --workload fork-after --workload crowds"""


def add_arguments(parser):
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to compare")
    what.add_argument("--workload", action="append", default=[], metavar="NAME",
                      help="a workload by name; may be repeated (default: all; --list tells their names)")  # fmt: skip
    what.add_argument("--pages", type=int, default=16384, metavar="N",
                      help="pages of 4 KiB in each (default %(default)s)")  # fmt: skip
    what.add_argument("--seed", type=int, default=0, metavar="N", help="of what is random in them (default 0)")
    what.add_argument("--list", action="store_true", help="only name the workloads")
    form = parser.add_argument_group("what to print").add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything, as one JSON document (schema pksm.validate/1)")
    form.add_argument("--csv", action="store_true", help="a line for each counter of each workload")


def run(options, interrupts):
    """Compare and print; return the exit code: 0 if all that must be equal is."""
    from pksm.validation.kernel.validate import WORKLOADS, validate

    if options.list:
        output.write("".join(f"{name:<12}  {workload.text}\n" for name, workload in WORKLOADS.items()))
        return 0
    progress = output.Progress()
    document = validate(
        options.workload, options.pages, options.seed, lambda name: progress.show(lambda: f"comparing {name}")
    )
    for warning in document["warnings"]:
        output.remark(warning)
    output.document(document, options)
    return 0 if document["equal"] else exit_codes.DIFFERENT
