"""pksm config: what a compiler has to be given, for programs that embed the C core."""

import argparse
import shlex

from pksm import embedding
from pksm.cli import output
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import UsageError

HELP = "print what compiles the C core into a program"
USAGE = "pksm config [--cflags] [--sources] [--libs]"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}, in one line and in this order: options of the compiler, C files, libraries.
Each stands there as a shell reads it.

examples:
  pksm config --cflags --sources --libs    all that stands behind cc -std=c11 -o program program.c
  pksm config --cflags                     for the files that include pksm.h"""
IS_LIGHT = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to print")
    what.add_argument("--cflags", action="store_true", help="where pksm.h is, as the option -I of a compiler")
    what.add_argument("--sources", action="store_true", help="the C files of the core")
    what.add_argument("--libs", action="store_true", help="the libraries that the C files need: none but the C library")


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Print what was asked for and return the exit code."""
    if not (given.cflags or given.sources or given.libs):
        raise UsageError("say what to print, for example: pksm config --cflags --sources --libs")
    words = [f"-I{embedding.get_include()}"] if given.cflags else []
    words += embedding.get_sources() if given.sources else []
    output.write(shlex.join(words) + "\n")
    return 0
