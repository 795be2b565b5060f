"""The picture of a document, found by its schema, as the bytes of a file."""

import importlib
import io
import warnings
from collections.abc import Mapping
from typing import Any

from pksm import plugins
from pksm.errors import PksmError, UsageError
from pksm.report.plot.endings import FORMS
from pksm.report.plot.facts import metadata
from pksm.report.plot.style import applied, library

# Each module has draw(document), which returns a figure, and caption(document).
MODULES = {
    "pksm.scan/1": "scan",
    "pksm.simulate/1": "simulate",
    "pksm.advise/1": "advise",
    "pksm.sweep/1": "sweep",
    "pksm.fleet/1": "fleet",
    "pksm.snapshots/1": "snapshots",
    "pksm.compare/1": "compare",
    "pksm.bench/1": "bench",
    "pksm.checksum/1": "checksum",
}


def picture(document: Mapping[str, Any], form: str = "svg") -> bytes:
    """Return the picture of a document: the same bytes for the same document and version of matplotlib.

    The file's metadata hold a caption and what the figures depend on: machine, version, commit, seed, as far as the
    document names them.

    Args:
        document: one of pksm.documents whose schema is in MODULES.
        form: svg, png or pdf.

    Raises:
        UsageError: a schema without a picture, or an unknown form.
        UnsupportedError: matplotlib is not installed.
        PksmError: it fails, as it does in odd ways where it gets no memory or can't read its fonts.
    """
    if form not in FORMS:
        raise UsageError(f"unknown form {form!r}: choose from {', '.join(FORMS)}", "form")
    module = _module(document)
    library("matplotlib")
    file = io.BytesIO()
    with applied(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as that the font lacks a letter of a name
        try:
            figure = module.draw(document)
            figure.savefig(file, format=form, metadata=metadata(document, module.caption(document), form))
        except (RuntimeError, SystemError) as error:
            raise PksmError(f"the picture could not be drawn: {plugins.reason(error)}") from error
    return file.getvalue()


def caption(document: Mapping[str, Any]) -> str:
    """Return what to print under the picture of a document. UsageError for a schema without a picture."""
    text: str = _module(document).caption(document)
    return text


def _module(document: Mapping[str, Any]) -> Any:
    schema = document.get("schema")
    if schema not in MODULES:
        raise UsageError(f"no picture of schema {schema!r}: choose from {', '.join(MODULES)}")
    return importlib.import_module(f"pksm.report.plot.{MODULES[schema]}")
