"""pksm bench: how fast the engine is on this machine, beside the limits and the rivals, and what has become of it."""

import argparse

from pksm.cli import exit_codes, options, output, pictures, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import ShortageError, UsageError
from pksm.policies.pksmd import tunables
from pksm.simulation.workloads import LOADS

HELP = "measure the engine on this machine, beside its limits and its rivals"
USAGE = "pksm bench [OPTION...]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

Each row merges the pages of a load, or does a part of that: its limits are what reading, copying and summing the pages
take by themselves, its rivals are other ways to find the same equal pages. Every answer is checked before its speed is
shown. Of what is given several values, all combinations are measured.

loads:
{chr(10).join(f"  {name}  {text}" for name, text in LOADS.items())}
  FILE  A memory image, or any file that holds memory.

examples:
  pksm bench --load f --pages 1M                      the realistic mix, 4 GiB of it
  pksm bench --load f --curve --plot growth.svg       how the time per page grows with the size
  pksm bench --load ram.img --policy pksmd,ksmd       two policies on memory of yours
  pksm bench --diff old.json new.json                 what has become slower, of two that --json printed"""
PAGES, BATCH = 65536, 65536


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    orders, checksums = tunables.SETTINGS["order"], tunables.SETTINGS["checksum"]
    what = parser.add_argument_group("what to measure")
    options.add_names(what, "--load", "loads by name, or files (default: all that have names)", "LOAD|FILE")
    options.add_list(what, "the loads and policies")
    _add_counts(what, "--pages", f"pages in each load (default {PAGES}); a file has as many as it has")
    what.add_argument("--curve", action="store_true",
                      help="measure sizes from 64K to 16M pages, as far as there is memory")  # fmt: skip
    what.add_argument("--page-size", type=options.size, default=options.PAGE_SIZE, metavar="SIZE",
                      help="bytes per page: a power of two from 8 to 2M, of files from 512 (default 4K)")  # fmt: skip
    options.add_seed(what, "of the random contents")
    options.add_names(what, "--policy", "policies: pksmd is the engine at its best, others are made as their presets say, "
                      "NAME[:PRESET] (default pksmd)", "NAME[:PRESET]")  # fmt: skip
    options.add_names(what, "--order", f"orders of the trees of pksmd: {', '.join(orders.metadata['choices'])} "
                      f"(default {orders.default})", "ORDERS")  # fmt: skip
    options.add_names(what, "--checksum", f"checksums of pages (default {checksums.default}; pksm checksum list lists "
                      "them)", "CHECKSUMS")  # fmt: skip
    _add_counts(what, "--batch", f"pages per wake-up (default {BATCH})")
    _add_counts(what, "--threads", "threads that compute checksums (default 1, kept to one CPU)")
    what.add_argument("--repeats", type=options.count, default=None, metavar="N",
                      help="runs per row, of which the median is shown (default 7; 6 or more make an interval of 95 %%)")  # fmt: skip
    options.add_names(what, "--beside", "limits and rivals to measure too: memcpy, memcmp, call, checksum, hash-table, "
                      "ksm-twin, settle, or none (default: all)")  # fmt: skip
    what.add_argument("--against", choices=("kernel",), metavar="RIVAL",
                      help="kernel: measure the running kernel's ksmd too, and both policies on the simulated machine "
                      "(needs root, and a KSM that nobody else uses)")  # fmt: skip
    what.add_argument("--diff", nargs=2, metavar="FILE",
                      help="measure nothing: compare two documents that --json printed, the old one and the new one, and "
                      "exit with 1 if something has become slower")  # fmt: skip
    out = parser.add_argument_group("what to print")
    options.add_form(out, "pksm.bench/1, of a comparison pksm.bench.diff/1", "a line per row")
    pictures.add_plot(out, "the engines beside the limit and the rivals, or their curves")
    pictures.add_html(out)


def _add_counts(group: argparse._ArgumentGroup, option: str, what: str) -> None:
    """Add an option that takes numbers with commas between."""
    group.add_argument(option, type=options.counts, metavar="N",
                       help=f"{what}; several with commas between")  # fmt: skip


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Measure or compare, and print; return the exit code."""
    if given.list:
        output.document(options.listing(load=LOADS, policy=options.policies()), given)
        return 0
    if given.diff:
        return _diff(given)
    from pksm.bench.run import REPEATS, RIVALS, bench

    progress = output.Progress()

    def show(load: str, engine: str) -> None:
        progress.show(lambda: f"load {load}: {engine}")

    loads, sizes = options.once(given.load) or tuple(LOADS), _sizes(given)
    beside = () if given.beside == ["none"] else options.once(given.beside) or RIVALS
    files = any(load not in LOADS for load in loads)
    if files:
        from pksm.engine import native

        native.catch_bus_errors()  # they may shrink while they are mapped
    with pictures.made(given.plot, given.html) as draw, sandbox.for_files(files) as box:
        document = bench(
            loads=loads,
            n_pages=sizes,
            orders=options.once(given.order) or (str(tunables.SETTINGS["order"].default),),
            page_size=given.page_size,
            batch=given.batch or (BATCH,),
            threads=given.threads or (1,),
            checksum=options.once(given.checksum) or (str(tunables.SETTINGS["checksum"].default),),
            repeats=REPEATS if given.repeats is None else given.repeats,
            seed=given.seed,
            progress=show,
            policies=options.once(given.policy) or ("pksmd",),
            beside=beside,
            kernel=given.against == "kernel",
            sandbox=box,
        )
        for warning in document["warnings"]:
            output.remark(warning)
        draw(document)
    output.document(document, given)
    return exit_codes.of(document)


def _sizes(given: argparse.Namespace) -> list[int]:
    """Return the sizes to measure, in pages."""
    if not given.curve:
        return given.pages or [PAGES]
    if given.pages:
        raise UsageError("sizes are given already: leave this away, or those", "curve")
    from pksm.bench.run import sizes_that_fit

    fit, left_out = sizes_that_fit(given.page_size, given.against == "kernel")
    if not fit:
        raise ShortageError(
            f"there is not the memory for {left_out[0]:,} pages, the smallest size of the curve: give --pages"
        )
    if left_out:
        sizes = " and ".join(f"{size:,}" for size in left_out)
        output.remark(f"there is not the memory for {sizes} pages: left out (--page-size 64 takes less)")
    return fit


def _diff(given: argparse.Namespace) -> int:
    """Compare two documents, and print; return the exit code."""
    from pksm.bench.differences import diff, read

    if given.plot:
        raise UsageError("there is no picture of a comparison", "plot")
    old, new = given.diff
    with pictures.made(None, given.html) as draw:
        document = diff(read(old), read(new), (old, new))
        for warning in document["warnings"]:
            output.remark(warning)
        draw(document)
    output.document(document, given)
    return exit_codes.DIFFERENT if any(row["verdict"] == "slower" for row in document["rows"]) else 0
