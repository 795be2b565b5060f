"""The exit codes of every verb; errors have their own (pksm.errors)."""

from collections.abc import Mapping
from typing import Any

DIFFERENT = 1
PARTIAL = 3
INTERRUPTED = 130  # by SIGINT: 128 and the signal's number, as of the others
CLOSED_PIPE = 141
MEANINGS = {
    "0": "done",
    "1": "error, or what was compared differs",
    "2": "wrong usage",
    "3": "partial result: something could not be read, the rest was printed",
    "77": "not supported on this machine",
    "129": "ended by SIGHUP",
    "130": "interrupted (SIGINT)",
    "131": "ended by SIGQUIT",
    "141": "the reader of the output has gone",
    "143": "ended by SIGTERM",
}
ABOUT = "exit codes:\n" + "\n".join(f"  {code}  {meaning}" for code, meaning in MEANINGS.items())


def of(document: Mapping[str, Any]) -> int:
    """Return the exit code that fits a document: whether it is all that was asked for."""
    if document.get("interrupted"):
        return INTERRUPTED
    return PARTIAL if document.get("partial") else 0
