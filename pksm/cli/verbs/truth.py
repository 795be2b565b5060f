"""pksm truth: what real PKSM kernels counted, and what the simulated machine counts."""

from pksm.cli import output
from pksm.errors import UsageError
from pksm.policies.pksmd import tunables

HELP = "compare the simulated machine with what real PKSM kernels counted"
USAGE = "pksm truth [OPTION...] [W... | FILE.jsonl]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

Plays the workloads that were run in booted kernels (all, or those named) on the simulated machine, or the random traces
of a file, and shows every number that differs.

examples:
  pksm truth                      all workloads
  pksm truth W2 W23_leak --json   two of them, all numbers
  pksm truth traces.jsonl         random traces that a kernel executed, one a line"""


def add_arguments(parser):
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to compare")
    what.add_argument("names", nargs="*", metavar="W|FILE.jsonl",
                      help="workloads by name, or one file of random traces")  # fmt: skip
    what.add_argument("--preset", metavar="NAME",
                      help=f"settings in place of the kernel's own: {', '.join(tunables.PRESETS)}")  # fmt: skip
    out = parser.add_argument_group("what to print")
    out.add_argument("--all", action="store_true", help="every number, not only those that differ")
    form = out.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="every number, as one JSON document (schema pksm.truth/1)")
    form.add_argument("--csv", action="store_true", help="a line for every number")


def run(options, interrupts):
    """Compare and print; return 1 if a number differs without a known reason."""
    from pksm.validation import truth

    preset = None if options.preset is None else tunables.preset(options.preset)
    progress = output.Progress()
    files = [name for name in options.names if name.endswith(".jsonl")]
    if len(files) > 1:
        raise UsageError("one file of traces at a time")
    names = [name for name in options.names if name not in files]
    document = truth(names, *files, preset=preset, progress=lambda what: progress.show(lambda: what))
    output.document(document, options, everything=options.all)
    return int(document["unexplained"] > 0)
