"""pksm fleet: the memory of many machines, from their fingerprints."""

import argparse

from pksm.cli import exit_codes, options, output, pictures
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

HELP = "count what merging saves in a fleet, from fingerprints of its machines"
USAGE = "pksm fleet [OPTION...] FILE.fp|DIRECTORY..."
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

The files are those of pksm fingerprint, one or more for each machine. Memory is bounded: contents are counted
range by range, in processes of our own or on a Dask cluster that sees the same files. With --keep, a sample of contents
is counted, the same ones on all machines, and figures have 95 % intervals.

A machine is named by its file, without the ending; what was scanned there, such as guests, are its VMs. --by host=REGEX
takes the name from the path instead, --by tenant=REGEX takes a tenant from "HOST/VM": the first group of REGEX, or all
that it matches.

examples:
  pksm fleet fingerprints/                          a directory of files
  pksm fleet *.fp --by tenant='/([^-]*)-'           what a boundary between tenants costs
  pksm fleet fingerprints/ --keep 1/4096 --html fleet.html
  pksm fleet *.fp --place hosts.csv                 where to put which VM; hosts.csv has the columns host,bytes
  pksm fleet fingerprints/ --work /var/tmp/fleet    kept work: the same command goes on where it was ended"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to count")
    what.add_argument("files", nargs="+", metavar="FILE.fp|DIRECTORY", help="fingerprints, or directories of such")
    what.add_argument("--by", action="append", default=[], metavar="LEVEL=REGEX",
                      help="how to name hosts or tenants: host=REGEX or tenant=REGEX; may be repeated")  # fmt: skip
    options.add_keep(what, "share of contents to count")
    what.add_argument("--place", metavar="HOSTS.csv",
                      help="place VMs on these hosts; columns host and bytes, such as h1,64G")  # fmt: skip
    work = parser.add_argument_group("how to work")
    options.add_workers(work)
    work.add_argument("--work", metavar="DIRECTORY",
                      help="keep what is done of each file here, and do not do it again")  # fmt: skip
    out = parser.add_argument_group("what to print")
    options.add_form(out, "pksm.fleet/1", "a line per boundary, point of the growth curve, and plan")
    pictures.add_plot(out, "how saving grows with the hosts")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Count and print; return the exit code."""
    from pksm.cli.playing import cluster_of
    from pksm.fleet import Settings, fleet
    from pksm.fleet.plans import read_capacities

    progress = output.Progress()

    def show(what: str, done: int, total: int) -> None:
        progress.show(lambda: f"{what}: {done:,} of {total:,} {'files' if what == 'reading' else 'ranges'}")

    if given.workers == 0:
        raise UsageError("must be 1 at least", "workers")
    by = _by(given.by)
    capacities = read_capacities(given.place) if given.place is not None else None
    with pictures.made(given.plot, given.html) as draw, cluster_of(given) as executor:
        settings = Settings(
            keep=given.keep,
            tenant=by.get("tenant"),
            host=by.get("host"),
            work=given.work,
            workers=given.workers,
            executor=executor,
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
        if level not in ("host", "tenant") or not equals or not expression or level in found:
            raise UsageError(f"{text!r}: write host=REGEX or tenant=REGEX, each once", "by")
        found[level] = expression
    return found
