"""What a benchmark has found, as a file."""

import json
from pathlib import Path

from pksm.bench.run import machine


def made_by(script, **found):
    """Return the document of a benchmark: what made it, on which machine, and what it found."""
    return {
        "schema": f"pksm.{script}/1",
        "command": f"python benchmarks/{script}.py",
        "machine": machine(),
        **found,
    }


def store(path, document):
    """Write a document as JSON; nothing without a path."""
    if path:
        Path(path).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
