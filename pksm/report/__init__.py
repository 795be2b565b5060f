"""How a document looks: pure functions of documents."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pksm.report.by_schema import csv as csv
    from pksm.report.by_schema import table as table
    from pksm.report.pages.render import html as html
    from pksm.report.plot.picture import caption as caption
    from pksm.report.plot.picture import picture as picture
else:
    from pksm.lazy import hand_on

    __getattr__, __dir__, __all__ = hand_on(
        __name__,
        {
            "csv": "pksm.report.by_schema",
            "table": "pksm.report.by_schema",
            "html": "pksm.report.pages.render",
            "caption": "pksm.report.plot.picture",
            "picture": "pksm.report.plot.picture",
        },
    )
