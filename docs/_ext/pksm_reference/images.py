"""The formats of images that are read, from the readers."""

from pksm.sources import opening
from pksm_reference import markdown


def page() -> str:
    """Return a table of the readers, in the order in which they are asked."""
    rows = [(markdown.code(name), markdown.text(about)) for name, about in opening.formats().items()]
    return markdown.table(("reader", "what it reads"), rows)
