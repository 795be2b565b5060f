"""pksm report: documents that were stored, as pages and tables."""

import argparse
from typing import Any

from pksm.cli import exit_codes, options, output, pictures, sandbox
from pksm.cli.interrupts import HeldInterrupts
from pksm.errors import PksmError, UsageError

HELP = "show documents that were stored: as a page for browsers, a table or CSV"
USAGE = "pksm report [OPTION...] DOCUMENT.json..."
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

A DOCUMENT is what a verb printed with --json, whole. A page has the document inside, and loads nothing from elsewhere.

examples:
  pksm report scan.json                              its table, as pksm scan prints it
  pksm report scan.json --html scan.html             a page that can be mailed
  pksm report before.json after.json --html two.html  two of them, side by side"""
CONTRADICTS = (ArithmeticError, LookupError, TypeError, ValueError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this verb."""
    what = parser.add_argument_group("what to show")
    what.add_argument("documents", nargs="*", metavar="DOCUMENT.json", help="a document that pksm printed with --json")
    out = parser.add_argument_group("what to print")
    options.add_form(out, "its own", "as the verb that made the document prints it")
    pictures.add_html(out)


def run(given: argparse.Namespace, interrupts: HeldInterrupts) -> int:
    """Show documents and return the exit code."""
    if not given.documents:
        raise UsageError("say what to show, for example: pksm report scan.json --html scan.html")
    if len(given.documents) > 1 and not given.html:
        raise UsageError("several documents are shown side by side on a page alone: name one, as --html FILE")
    if given.html and (given.json or given.csv):
        raise UsageError("--html: takes the place of --json and --csv")
    documents = [_loaded(path, interrupts) for path in given.documents]
    try:
        if given.html:
            with pictures.page(given.html) as write:
                write(*documents)
        else:
            output.document(documents[0], given)
    except PksmError:
        raise
    except CONTRADICTS as error:
        names = ", ".join(given.documents)
        raise PksmError(f"{names}: is not as pksm wrote it: its numbers contradict each other") from error
    return exit_codes.of(documents[0]) if len(documents) == 1 else 0


def _loaded(path: str, interrupts: HeldInterrupts) -> dict[str, Any]:
    from pksm.documents import stored

    stored.schemas()  # a worker can load no module
    try:
        document: dict[str, Any] = sandbox.with_file(
            path, lambda opener, report: stored.load(path, opener), lambda: None, interrupts
        )
    except OSError as error:
        raise PksmError(f"{path}: cannot be read: {error.strerror}") from None
    return document
