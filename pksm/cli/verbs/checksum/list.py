"""pksm checksum list: the strategies that there are."""

import argparse

from pksm.cli import options, output
from pksm.cli.interrupts import HeldInterrupts

HELP = "list the checksum strategies, who uses them, and how many bytes of a page they read"
USAGE = "pksm checksum list [--page-size SIZE] [--json|--csv]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

examples:
  pksm checksum list                        for pages of 4 KiB
  pksm checksum list --page-size 64K --csv  for larger ones, as CSV"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    options.add_page_size(parser.add_argument_group("what to list"))
    options.add_form(parser.add_argument_group("what to print"), "pksm.checksum.list/1", "a line per strategy")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """List the strategies; return the exit code."""
    from pksm.engine.checksums import strategies

    page_size = options.page_size(given)
    rows = [strategies.describe(name, page_size) for name in strategies.names()]
    output.document({"schema": "pksm.checksum.list/1", "strategies": rows}, given)
    return 0
