"""pksm fleet: the memory of many machines, from their fingerprints."""

import argparse

from pksm.cli import exit_codes, options, output, pictures, sandbox, snapshots
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

HELP = "count what merging saves in a fleet, from fingerprints of its machines"
USAGE = """pksm fleet [OPTION...] FILE.fp|DIRECTORY...
       pksm fleet --snapshots [OPTION...] IMAGE..."""
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

The files are those of pksm fingerprint, one or more for each machine. Contents are counted range by range, so that memory
is bounded (--memory), in processes of our own or on a Dask cluster that sees the same files. With --keep, a sample of
contents is counted, the same ones on all machines, and figures have 95 % intervals.

A machine is named by its file, without the ending; what was scanned there, such as guests, are its VMs. --by host=REGEX
takes the name from the path instead, --by vm=REGEX takes a VM from the name of what was scanned, so that several are one,
and --by tenant=REGEX takes a tenant from "HOST/VM": the first group of REGEX, or all that it matches.

With --snapshots, the files are images of microVMs' memory in the order in which they were made, and the first is the
base of the others: what each shares with it, and which image, or which base built of them, had best be mapped by all.
A restore that maps an image privately shares its pages with the other restores until it writes to them.

examples:
  pksm fleet fingerprints/                          a directory of files
  pksm fleet *.fp --by tenant='/([^-]*)-'           what a boundary between tenants costs
  pksm fleet fingerprints/ --keep 1/4096 --html fleet.html
  pksm fleet *.fp --place hosts.csv                 where to put which VM; hosts.csv has the columns host,bytes
  pksm fleet fingerprints/ --work /var/tmp/fleet    kept work: the same command goes on where it was ended
  pksm fleet --snapshots base.mem *.mem.1           which image restores had best map"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to count")
    what.add_argument("files", nargs="+", metavar="FILE.fp|DIRECTORY", help="fingerprints, or directories of such")
    what.add_argument("--by", action="append", default=[], metavar="LEVEL=REGEX",
                      help="how to name hosts, VMs or tenants: host=REGEX, vm=REGEX or tenant=REGEX; may be repeated")  # fmt: skip
    options.add_keep(what, "share of contents to count")
    what.add_argument("--snapshots", action="store_true",
                      help="compare images of microVMs' memory with the first of them")  # fmt: skip
    options.add_page_size(what)
    what.add_argument("--place", metavar="HOSTS.csv",
                      help="place VMs on these hosts: columns host and bytes, such as h1,64G; hosts of today go by the names "
                      "that the fleet has for them")  # fmt: skip
    work = parser.add_argument_group("how to work")
    options.add_workers(work)
    work.add_argument("--memory", type=options.size, metavar="SIZE",
                      help="memory that each process may take, such as 256M: contents are counted in as many ranges as it "
                      "asks for (default 768M; on a cluster, half of what its workers have for each task, if that is less)")  # fmt: skip
    work.add_argument("--work", metavar="DIRECTORY",
                      help="keep what is done of each file here, and do not do it again; workers of a cluster on other "
                      "machines have to see it, too")  # fmt: skip
    out = parser.add_argument_group("what to print")
    options.add_form(
        out,
        "pksm.fleet/1, with --snapshots pksm.snapshots/1",
        "a line per boundary, point of the growth curve, plan, VM that the best one places, pair, group, and member "
        "of one; with --snapshots, per snapshot and base",
    )
    pictures.add_plot(out, "how saving grows with the hosts, or how what snapshots share decays,")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Count and print; return the exit code."""
    if given.snapshots:
        return snapshots.run(given)
    if given.page_size is not None:
        raise UsageError("fingerprints have one already; name it with --snapshots", "page_size")
    return _count(given)


def _count(given: argparse.Namespace) -> int:
    from pksm.cli.playing import cluster_of
    from pksm.fleet import Settings, fleet
    from pksm.fleet.plans import read_capacities
    from pksm.report.text import size

    progress = output.Progress()

    def show(what: str, done: int, total: int, peak: int) -> None:
        progress.show(
            lambda: (
                f"{what}: {done:,} of {total:,} {'files' if what == 'reading' else 'ranges'}, "
                f"{size(peak)} at most in a process"
            )
        )

    if given.workers == 0:
        raise UsageError("must be 1 at least", "workers")
    by = _by(given.by)
    capacities = read_capacities(given.place) if given.place is not None else None
    in_sandbox = sandbox.is_on()
    if in_sandbox:
        sandbox.say_what_lacks()
    with pictures.made(given.plot, given.html) as draw, cluster_of(given) as executor:
        settings = Settings(
            keep=given.keep,
            tenant=by.get("tenant"),
            host=by.get("host"),
            vm=by.get("vm"),
            work=given.work,
            workers=given.workers,
            **({} if given.memory is None else {"memory": given.memory}),
            executor=executor,
            in_sandbox=in_sandbox,
        )
        document = fleet(given.files, settings, capacities, show)
        for warning in document["warnings"]:
            output.remark(warning)
        draw(document)
    output.document(document, given)
    return exit_codes.of(document)


def _by(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        level, equals, expression = text.partition("=")
        if level not in ("host", "vm", "tenant") or not equals or not expression or level in found:
            raise UsageError(f"{text!r}: write host=REGEX, vm=REGEX or tenant=REGEX, each once", "by")
        found[level] = expression
    return found
