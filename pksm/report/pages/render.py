"""From documents to the text of a page."""

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pksm.errors import UnsupportedError, UsageError
from pksm.plain import plain
from pksm.report.pages.parts import Cell, Page, Table, kind_of
from pksm.report.pages.thin import thinned

# Each module has page(document), which returns a Page.
MODULES = {
    "pksm.scan/1": "scan",
    "pksm.simulate/1": "simulate",
    "pksm.sweep/1": "sweep",
    "pksm.fleet/1": "fleet",
    "pksm.snapshots/1": "snapshots",
    "pksm.compare/1": "compare",
    "pksm.advise/1": "advise",
    "pksm.record/1": "record",
    "pksm.bench/1": "bench",
    "pksm.bench.diff/1": "bench_diff",
    "pksm.checksum/1": "checksum",
    "pksm.truth/1": "truth",
    "pksm.validate/1": "validate",
}


def html(*documents: Mapping[str, Any]) -> str:
    """Return documents as one page of HTML: one below the other, and where there are several a table that compares them.

    Args:
        documents: of pksm.documents, of any schemas that have pages. What is too long for a page is thinned, on the
            page and in the document inside it, which says so in the field `thinned`.

    Raises:
        UsageError: no document, or one without a page.
        UnsupportedError: Jinja2 is not installed.
    """
    if not documents:
        raise UsageError("a page needs a document")
    template = _environment().get_template("page.html")
    small = [thinned(document) for document in documents]
    pages = [_module(document).page(document) for document in small]
    text: str = template.render(
        pages=pages,
        comparison=_comparison(pages, small),
        documents=[_embedded(document) for document in small],
        schemas=[document["schema"] for document in documents],
        thinned=[document["thinned"] for document in small],
        facts=[_facts(document) for document in documents],
    )
    return text


def check(document: Mapping[str, Any]) -> None:
    """Raise UsageError if a document has no page, UnsupportedError if none can be made here."""
    _module(document)
    library()


def library() -> Any:
    """Return Jinja2. UnsupportedError if it is not installed."""
    try:
        return importlib.import_module("jinja2")
    except ImportError:
        raise UnsupportedError("pages take Jinja2, which is not installed: pip install 'pksm[html]'") from None


def _module(document: Mapping[str, Any]) -> Any:
    schema = document.get("schema")
    if schema not in MODULES:
        raise UsageError(f"no page of schema {schema!r}: choose from {', '.join(MODULES)}")
    return importlib.import_module(f"pksm.report.pages.{MODULES[schema]}")


def _environment() -> Any:
    jinja2 = library()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pksm.report.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["plain"] = plain
    environment.tests["part_of"] = lambda part, kind: kind_of(part) == kind
    return environment


def _embedded(document: Mapping[str, Any]) -> str:
    """A document as JSON that no HTML parser takes for its own: what opens a tag or a comment is escaped."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _facts(document: Mapping[str, Any]) -> str:
    """What figures depend on, as far as the document names it."""
    found = [str(document["schema"])]
    if "pksm" in document:
        found.append(f"pksm {document['pksm']}")
    machine = document.get("machine")
    if machine and "cpu" in machine and "kernel" in machine:
        found += [str(machine["cpu"]), f"Linux {machine['kernel']}"]
    if "seed" in document:
        found.append(f"seed {document['seed']}")
    return plain(" · ".join(found))


def _comparison(pages: Sequence[Page], documents: Sequence[Mapping[str, Any]]) -> Table | None:
    """The tiles of documents of one schema side by side; None where there is one document, or of several schemas."""
    if len(pages) < 2 or len({document["schema"] for document in documents}) > 1:
        return None
    labels = list(dict.fromkeys(tile.label for page in pages for tile in page.tiles))
    rows: list[list[Cell | str]] = []
    for label in labels:
        found = [next((tile.value for tile in page.tiles if tile.label == label), "-") for page in pages]
        rows.append([label, *found])
    return Table("Side by side", ["", *(f"{number} {page.title}" for number, page in enumerate(pages, 1))], rows)
