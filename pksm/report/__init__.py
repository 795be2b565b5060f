"""How a document looks: pure functions of documents."""

from typing import TYPE_CHECKING

from pksm.lazy import hand_on

if TYPE_CHECKING:
    from pksm.report.by_schema import csv, table

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "csv": "pksm.report.by_schema",
        "table": "pksm.report.by_schema",
    },
)
