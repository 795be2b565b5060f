"""A view of the kernel's KSM that is drawn anew in a terminal: by the library Rich, extra `cli`."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pksm.documents.watch import WatchDocument
from pksm.plain import plain
from pksm.report.watch import PROCESS_HEADS, figures, process_rows

BARS = "▁▂▃▄▅▆▇█"
SHOWN = 60  # looks, in the line of blocks


def is_there() -> bool:
    """Return whether Rich is installed."""
    try:
        importlib.import_module("rich.live")
    except ImportError:
        return False
    return True


@contextmanager
def view(console: Any = None) -> Iterator[Callable[[WatchDocument], None]]:
    """Give a function that draws a document in place of the one before. console: Rich's; None: that of stdout."""
    live = importlib.import_module("rich.live")
    saved: list[int] = []
    with live.Live(console=console, auto_refresh=False) as shown:

        def draw(document: WatchDocument) -> None:
            saved.append(document["saved_bytes"])
            del saved[:-SHOWN]
            shown.update(drawn(document, saved), refresh=True)

        yield draw


def drawn(document: WatchDocument, saved: Sequence[int]) -> Any:
    """Return what Rich draws of a document. saved: bytes at the last looks."""
    console, tables = importlib.import_module("rich.console"), importlib.import_module("rich.table")
    text = importlib.import_module("rich.text")
    facts = tables.Table.grid(padding=(0, 2))
    facts.add_column(justify="left")
    facts.add_column(justify="right")
    facts.add_row("time", text.Text(document["at"][11:19]))
    for name, value in figures(document).items():
        facts.add_row(name, text.Text(value, style="bold" if name in ("saved", "reached") else ""))
    parts = [facts, text.Text(bars(saved))]
    if document["processes"]:
        rows = tables.Table(box=None)
        for head in PROCESS_HEADS:
            rows.add_column(head, justify="right")
        rows.add_column("name", no_wrap=True)
        for cells, one in zip(process_rows(document), document["processes"], strict=True):
            rows.add_row(*(text.Text(cell) for cell in (*cells, plain(one["name"]))))
        parts.append(rows)
    return console.Group(*parts)


def bars(values: Sequence[int]) -> str:
    """Return values as a line of blocks, from 0 to the largest."""
    most = max(values, default=0) or 1
    return "".join(BARS[min(len(BARS) - 1, len(BARS) * value // most)] for value in values)
