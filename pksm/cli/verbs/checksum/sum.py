"""pksm checksum sum: the checksum of each page of a file."""

import argparse

from pksm.cli import options, output
from pksm.cli.interrupts import HeldInterrupts

HELP = "print the checksum of each page of a file"
USAGE = "pksm checksum sum [OPTION...] CHECKSUM FILE"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

The file is raw memory: each page of it is a page of memory, and bytes that do not fill a page at its end are left out.

examples:
  pksm checksum sum crc32c ram.img               a line per page: its number and its checksum
  pksm checksum sum sampled:words=128 ram.img    a strategy with an option"""
AT_ONCE = 1 << 16  # pages summed before they are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to sum")
    what.add_argument("strategy", metavar="CHECKSUM", help="a strategy: pksm checksum list names them")
    what.add_argument("file", metavar="FILE", help="raw memory")
    options.add_page_size(what)
    options.add_seed(what, "of a strategy that is random")
    options.add_form(parser.add_argument_group("what to print"), "pksm.checksum.sum/1", "a line per page")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Print the sums; return the exit code."""
    from pksm.engine import native
    from pksm.engine.checksums import strategies
    from pksm.report import checksum_sum
    from pksm.scan import sums

    page_size = options.page_size(given)
    strategies.check_seed(given.seed)
    native.catch_bus_errors()
    file = sums.FileSums(given.file, given.strategy, page_size, given.seed)
    for warning in file.warnings:
        output.remark(warning)
    if given.json:
        document = {"schema": "pksm.checksum.sum/1", "strategy": given.strategy, "page_size": page_size}
        found = [text for _, part in file.parts(AT_ONCE) for text in sums.hexadecimal(part, file.width)]
        output.document({**document, "sums": found}, given)
        return 0
    if given.csv:
        output.write(checksum_sum.HEADER)
    for first, part in file.parts(AT_ONCE):  # as it comes: a file may have many pages
        texts = sums.hexadecimal(part, file.width)
        output.write(checksum_sum.lines(texts, checksum_sum.COMMA if given.csv else checksum_sum.SPACE, first))
    return 0
