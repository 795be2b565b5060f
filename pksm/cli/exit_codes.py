"""The exit codes of every verb; errors have their own (pksm.errors)."""

from collections.abc import Mapping
from typing import Any

DIFFERENT = 1
PARTIAL = 3
INTERRUPTED = 130  # by SIGINT: 128 and the signal's number, as of the others
CLOSED_PIPE = 141
ABOUT = """exit codes: 0 done, 1 error, 2 wrong usage, 3 partial result, 77 not supported here,
130 interrupted (129, 143: by SIGHUP, SIGTERM), 141 nobody reads the output any more"""


def of(document: Mapping[str, Any]) -> int:
    """Return the exit code that fits a document: whether it is all that was asked for."""
    if document.get("interrupted"):
        return INTERRUPTED
    return PARTIAL if document.get("partial") else 0
