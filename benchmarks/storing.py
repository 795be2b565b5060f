"""What a benchmark has found, as a file."""

import json
from pathlib import Path


def store(path, document):
    """Write a document as JSON; nothing without a path."""
    if path:
        Path(path).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
