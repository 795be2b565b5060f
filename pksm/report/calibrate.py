"""How a price list looks to people and to spreadsheets: pure functions of `pksm.calibrate/1`."""

from pksm.documents import CalibrateDocument
from pksm.plain import plain
from pksm.report.text import columns, csv_text, page, painting, paragraph

WHAT = {
    "wake_ns": "a wake-up",
    "visit_ns": "a page that is visited",
    "step_ns": "a step in a tree",
    "hashed_byte_ns": "a byte hashed",
    "compared_byte_ns": "a byte compared",
    "merge_ns": "a merge",
    "copy_ns": "a copy for a writer",
}


def csv(document: CalibrateDocument) -> str:
    """Return a line for each sample: the time that was measured, and the one that the prices give."""
    return csv_text([dict(sample) for sample in document["samples"]])


def table(document: CalibrateDocument, width: int = 80, colour: bool = False) -> str:
    """Return a document for people: the prices, and how well they fit what was measured."""
    paint = painting(colour)
    values = {name: value for name, value in document["prices"].items() if name in WHAT}
    prices = columns([("Price", "ns of CPU"), *((WHAT[name], f"{values[name]:,.6g}") for name in WHAT)], right=(1,))
    rows = [("Measured", "ns per page", "by the prices", "")]
    for sample in document["samples"]:
        pages, ratio = max(1, sample["pages_visited"]), sample["predicted_ns"] / sample["cpu_ns"] - 1
        measured, predicted = sample["cpu_ns"] / pages, sample["predicted_ns"] / pages
        rows.append((sample["subject"], f"{measured:,.0f}", f"{predicted:,.0f}", f"{ratio:+.1%}"))
    fits = columns(rows, right=(1, 2, 3))
    kept = f"The timer ticks every {document['prices']['tick_ms']:g} ms. Kept in {plain(document['path'])}."
    return page(
        [
            paragraph(f"Prices {plain(document['prices']['source'])}", width),
            [paint(prices[0]), *prices[1:]],
            [paint(fits[0]), *fits[1:]],
            paragraph(kept, width),
        ]
    )
