"""pksm bench: how fast the engine is on this machine, beside the limits and the rivals."""

from pksm.cli import output
from pksm.policies.pksmd import tunables
from pksm.simulation.workloads import LOADS

HELP = "measure the engine on this machine, beside its limits and its rivals"
USAGE = "pksm bench [OPTION...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

loads:
{chr(10).join(f"  {name}  {text}" for name, text in LOADS.items())}

example:
  pksm bench --load f --pages 1048576     the realistic mix, 4 GiB of it"""
DEFAULT_PAGES = 65536


def add_arguments(parser):
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to measure")
    what.add_argument("--load", action="append", default=[], metavar="NAMES",
                      help="loads, with commas between; may be repeated (default: all)")  # fmt: skip
    what.add_argument("--pages", type=int, default=DEFAULT_PAGES, metavar="N",
                      help="pages of 4 KiB in each load (default %(default)s)")  # fmt: skip
    what.add_argument("--order", action="append", default=[], metavar="NAMES",
                      help=f"what trees are ordered by: {', '.join(tunables.SETTINGS['order'].metadata['choices'])} "
                      f"(default {tunables.SETTINGS['order'].default})")  # fmt: skip
    what.add_argument("--checksum", default=tunables.SETTINGS["checksum"].default, metavar="NAME",
                      help="how pages are summed: see pksm checksum list (default %(default)s)")  # fmt: skip
    what.add_argument("--batch", type=int, default=65536, metavar="N",
                      help="pages a wake-up of the engine (default %(default)s)")  # fmt: skip
    what.add_argument("--threads", type=int, default=1, metavar="N",
                      help="threads that sum pages (default 1, kept to one CPU)")  # fmt: skip
    what.add_argument("--repeats", type=int, default=3, metavar="N",
                      help="runs of each row, for the median (default %(default)s)")  # fmt: skip
    what.add_argument("--against", choices=("kernel",), metavar="RIVAL",
                      help="kernel: the running kernel's ksmd beside ours and pksmd "
                      "(root; nobody else may use KSM)")  # fmt: skip
    form = parser.add_argument_group("what to print").add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything, as one JSON document (schema pksm.bench/1)")
    form.add_argument("--csv", action="store_true", help="a line for each row")


def run(options, interrupts):
    """Measure and print; return the exit code."""
    from pksm.bench.run import bench

    progress = output.Progress()

    def show(load, engine):
        progress.show(lambda: f"load {load}: {engine}")

    document = (
        _against_kernel(options, show)
        if options.against
        else bench(
            loads=_names(options.load) or tuple(LOADS),
            n_pages=options.pages,
            orders=_names(options.order) or (tunables.SETTINGS["order"].default,),
            batch=options.batch,
            threads=options.threads,
            checksum=options.checksum,
            repeats=options.repeats,
            progress=show,
        )
    )
    for warning in document.get("warnings", ()):
        output.remark(warning)
    output.document(document, options)
    return 0


def _against_kernel(options, show):
    from pksm.bench import beside_kernel as rivals

    return rivals.run(
        loads=_names(options.load) or tuple(LOADS),
        n_pages=options.pages,
        batch=options.batch,
        repeats=options.repeats,
        progress=show,
    )


def _names(options):
    """The names of several options, each once."""
    return tuple(dict.fromkeys(name for option in options for name in option.split(",")))
