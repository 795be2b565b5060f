"""pksm amalgamate: the C core in two files."""

import argparse
import os

from pksm import embedding
from pksm.cli import output
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

HELP = "write the C core as two files, for programs that embed it"
USAGE = "pksm amalgamate DIRECTORY"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}: pksm_all.c and pksm.h. Put them beside your own sources; pksm_all.c compiles
as C11 by itself, without options and libraries. Both are the same from a checkout and from an installed package.

examples:
  pksm amalgamate third_party/pksm    writes pksm_all.c and pksm.h, and prints their names"""
IS_LIGHT = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    where = parser.add_argument_group("where to")
    where.add_argument("directory", metavar="DIRECTORY", help="made if there is none; older files there are replaced")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Write the files, print their names and return the exit code."""
    if os.path.exists(given.directory) and not os.path.isdir(given.directory):
        raise UsageError(f"{given.directory} is not a directory: name one")
    for path in embedding.amalgamate(given.directory):
        output.write(f"{path}\n")
    return 0
