"""pksm fleet --snapshots: images of microVMs' memory, read in the sandbox and compared."""

import argparse

from pksm.cli import exit_codes, options, output, pictures, sandbox
from pksm.cli.targets import TargetNames, Targets
from pksm.errors import UsageError

# What counts fingerprints alone, and what it is where it is not given.
_OF_FINGERPRINTS = {
    "by": [],
    "keep": 1.0,
    "place": None,
    "work": None,
    "workers": None,
    "memory": None,
    "scheduler": None,
    "scheduler_file": None,
}


def run(given: argparse.Namespace) -> int:
    """Compare and print; return the exit code."""
    from pksm.engine import native
    from pksm.fleet import compare_snapshots

    for name, default in _OF_FINGERPRINTS.items():
        if getattr(given, name) != default:
            raise UsageError("does not go with --snapshots", name)
    native.catch_bus_errors()
    progress = output.Progress()

    def show(what: str, done: int, total: int) -> None:
        progress.show(lambda: f"{what}: {100 * done // total} %")

    with pictures.made(given.plot, given.html) as draw, sandbox.for_files(True) as box:
        targets = Targets(TargetNames(files=given.files), box)
        document = compare_snapshots(targets.openers, options.page_size(given), show)
        for warning in document["warnings"]:
            output.remark(warning)
        draw(document)
    output.document(document, given)
    return exit_codes.of(document)
