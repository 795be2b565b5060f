"""pksm bench: how fast the engine is on this machine, beside the limits and the rivals."""

import argparse

from pksm.cli import exit_codes, options, output, pictures
from pksm.cli.interrupts import HeldInterrupts
from pksm.policies.pksmd import tunables
from pksm.simulation.workloads import LOADS

HELP = "measure the engine on this machine, beside its limits and its rivals"
USAGE = "pksm bench [OPTION...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

Each row merges the pages of a load, or does a part of that: its limits are what reading, copying and summing the pages
take by themselves, its rivals are other ways to find the same equal pages. Every answer is checked before its speed is shown.

loads:
{chr(10).join(f"  {name}  {text}" for name, text in LOADS.items())}

example:
  pksm bench --load f --pages 1M     the realistic mix, 4 GiB of it"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    orders, checksums = tunables.SETTINGS["order"], tunables.SETTINGS["checksum"]
    what = parser.add_argument_group("what to measure")
    options.add_names(what, "--load", "loads (default: all)", "LOADS")
    options.add_list(what, "the loads")
    options.add_workload(what, options.PAGES, "pages of 4 KiB in each load")
    options.add_names(what, "--order", f"orders of the trees: {', '.join(orders.metadata['choices'])} "
                      f"(default {orders.default})", "ORDERS")  # fmt: skip
    what.add_argument("--checksum", default=checksums.default, metavar="CHECKSUM",
                      help="checksum of pages (default %(default)s; pksm checksum list lists them)")  # fmt: skip
    what.add_argument("--batch", type=options.count, default=65536, metavar="N",
                      help="pages per wake-up of the engine (default %(default)s)")  # fmt: skip
    what.add_argument("--threads", type=int, default=1, metavar="N",
                      help="threads that compute checksums (default 1, kept to one CPU)")  # fmt: skip
    what.add_argument("--repeats", type=int, default=3, metavar="N",
                      help="runs per row, of which the median is shown (default %(default)s)")  # fmt: skip
    what.add_argument("--against", choices=("kernel",), metavar="RIVAL",
                      help="kernel: measure the running kernel's ksmd too, beside the simulated one and pksmd "
                      "(needs root, and a KSM that nobody else uses)")  # fmt: skip
    out = parser.add_argument_group("what to print")
    options.add_form(out, "pksm.bench/1", "a line per row")
    pictures.add_plot(out, "the engines beside the limit and the rivals")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Measure and print; return the exit code."""
    if given.list:
        output.document(options.listing(load=LOADS), given)
        return 0

    progress = output.Progress()

    def show(load: str, engine: str) -> None:
        progress.show(lambda: f"load {load}: {engine}")

    common = {
        "loads": options.once(given.load) or tuple(LOADS),
        "n_pages": given.pages,
        "batch": given.batch,
        "repeats": given.repeats,
        "seed": given.seed,
        "progress": show,
    }
    with pictures.plotted(given.plot) as draw:
        if given.against:
            from pksm.bench import beside_kernel

            document = beside_kernel.run(**common)
        else:
            from pksm.bench.run import bench

            orders = options.once(given.order) or (str(tunables.SETTINGS["order"].default),)
            document = bench(**common, orders=orders, threads=given.threads, checksum=given.checksum)
        for warning in document.get("warnings", ()):
            output.remark(warning)
        draw(document)
    output.document(document, given)
    return exit_codes.of(document)
