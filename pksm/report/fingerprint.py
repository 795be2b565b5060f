"""How fingerprints that were made look to people and to spreadsheets: pure functions of `pksm.fingerprint/1`."""

from pksm.documents import FingerprintDocument
from pksm.plain import plain
from pksm.report.text import columns, csv_text, cut, many, page, painting, paragraph, size

SHOWN = 20  # sources, in a table
NAME_WIDTH = 40


def csv(document: FingerprintDocument) -> str:
    """Return a row per source."""
    return csv_text(document["sources"])


def table(document: FingerprintDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people."""
    paint, bytes_ = painting(colour), document["page_size"]
    sources = document["sources"]
    pages = sum(source["pages"] for source in sources)
    what = "all contents" if document["keep"] == 1 else f"a share of {document['keep']:.3g} of contents"
    keyed = ", with a key" if document["keyed"] else ""
    parts = [
        paragraph(
            f"{plain(document['path'])}: {size(document['bytes'])}, {many(document['records'], 'record')} of {what}"
            f"{keyed}; {many(len(sources), 'source')} with {pages:,} pages of {size(bytes_)}.",
            width,
        )
    ]
    cells = [
        (cut(plain(source["name"]), NAME_WIDTH), size(source["pages"] * bytes_), size(source["zero_pages"] * bytes_))
        for source in sources[:SHOWN]
    ]
    lines = columns([("Source", "resident", "zero"), *cells], right=[1, 2])
    parts.append([paint(lines[0]), *lines[1:]])
    if len(sources) > SHOWN:
        parts[-1].append(f"and {len(sources) - SHOWN:,} more (CSV has all)")
    return page(parts)
