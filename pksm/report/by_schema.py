"""The two forms of every document, found by its schema."""

import importlib
from collections.abc import Mapping
from typing import Any

from pksm.errors import UsageError
from pksm.plain import all_plain

# Each module has table(document, width, colour) and csv(document).
MODULES = {
    "pksm.scan/1": "scan",
    "pksm.simulate/1": "simulate",
    "pksm.advise/1": "advise",
    "pksm.sweep/1": "sweep",
    "pksm.fingerprint/1": "fingerprint",
    "pksm.fleet/1": "fleet",
    "pksm.snapshots/1": "snapshots",
    "pksm.compare/1": "compare",
    "pksm.bench/1": "bench",
    "pksm.bench.diff/1": "bench_diff",
    "pksm.checksum/1": "checksum",
    "pksm.checksum.list/1": "checksum_list",
    "pksm.checksum.sum/1": "checksum_sum",
    "pksm.truth/1": "truth",
    "pksm.validate/1": "validate",
    "pksm.calibrate/1": "calibrate",
    "pksm.predict/1": "predict",
    "pksm.replayed/1": "replayed",
    "pksm.record/1": "record",
    "pksm.record.plan/1": "record_plan",
    "pksm.opt_in/1": "opt_in",
    "pksm.apply/1": "apply",
    "pksm.watch/1": "watch",
    "pksm.features/1": "features",
    "pksm.names/1": "names",
}


def table(document: Mapping[str, Any], width: int = 80, colour: bool = False, **more: Any) -> str:
    """Return a document as a table for people.

    Args:
        document: one of pksm.documents.
        width: characters per line, where names allow it.
        colour: with the escapes that terminals show as colours.
        more: what the tables of some schemas take besides: `top` and `matrix` of a scan, `everything` of pksm.truth/1.

    Raises:
        UsageError: an unknown schema.
    """
    text: str = _module(document).table(all_plain(document), width, colour, **more)
    return text


def csv(document: Mapping[str, Any]) -> str:
    """Return a document as CSV with a header line. UsageError for an unknown schema."""
    text: str = _module(document).csv(all_plain(document))
    return text


def _module(document: Mapping[str, Any]) -> Any:
    schema = document.get("schema")
    if schema not in MODULES:
        raise UsageError(f"unknown schema {schema!r}: choose from {', '.join(MODULES)}")
    return importlib.import_module(f"pksm.report.{MODULES[schema]}")
