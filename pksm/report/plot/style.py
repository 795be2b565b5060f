"""How all pictures look: 80 mm wide, a column of a paper, with letters of 6 points and more at that width.

The colour-blind can distinguish the colours; markers, dashes and hatches distinguish them in print without colours.
"""

import importlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pksm.errors import UnsupportedError
from pksm.plain import plain
from pksm.report.text import cut

WIDTH = 80 / 25.4  # inches
# By Okabe and Ito, in an order in which lightness changes, too.
BLUE, ORANGE, GREEN, RED, SKY, PURPLE, BLACK = (
    *("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"),
    "#1a1a1a",
)
GREY, FAINT, GRID = "#6b7280", "#d5d9de", "#eceef1"
CYCLE = (BLUE, ORANGE, BLACK, GREEN, RED, PURPLE, SKY)
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SMALL, LETTERS = 6.0, 6.5  # points
SETTINGS = {
    "text.parse_math": False,  # a name may hold $
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib brings it
    "font.size": LETTERS,
    "axes.labelsize": LETTERS,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.3,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "hatch.linewidth": 0.5,
    "figure.dpi": 72,
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # letters stay letters: they can be searched, copied and read aloud
    "svg.hashsalt": "pksm",  # ids of a picture are the same each time
    "pdf.fonttype": 42,  # as publishers ask for
}


logging.getLogger("matplotlib").addHandler(
    logging.NullHandler()
)  # what it says while it is loaded, where nobody listens


def library(name: str) -> Any:
    """Return a module of matplotlib. UnsupportedError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UnsupportedError("pictures take matplotlib, which is not installed: pip install 'pksm[plot]'") from None


@contextmanager
def applied() -> Iterator[None]:
    """Draw and save as this file says, whatever the user's own settings of matplotlib are."""
    matplotlib = library("matplotlib")
    log = logging.getLogger("matplotlib")
    level = log.level
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


def new_figure(height: float, columns: int = 1) -> Any:
    """Return an empty figure, so many inches high and columns wide."""
    return library("matplotlib.figure").Figure(figsize=(WIDTH * columns, height), layout="constrained")


def label(text: str, width: int) -> str:
    """Return a name of others' as it may stand in a picture: on one line, harmless, at most `width` characters."""
    return cut(plain(text), width)


def steps_125(low: float, high: float) -> list[float]:
    """Return the numbers 1, 2, 5, 10, 20, 50, ... from low to high; only powers of ten if those are many."""
    numbers = [digit * 10.0**power for power in range(-9, 13) for digit in (1, 2, 5)]
    within = [number for number in numbers if low <= number <= high]
    return within if len(within) <= 7 else [number for number in within if f"{number:e}"[0] == "1"]


def logarithmic(axis: Any, low: float, high: float) -> None:
    """Let the x axis be logarithmic from low to high, with round numbers at its ticks."""
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    ticks = steps_125(low, high)
    axis.set_xticks(ticks, [f"{tick:,.10g}" for tick in ticks])
    axis.set_xticks([], minor=True)  # those would be named in mathematical notation
    axis.grid(True, axis="x")


def legend(figure: Any, handles: Sequence[Any], names: Sequence[str], columns: int = 2) -> None:
    """Write above all axes what marks and colours mean."""
    shown = [f" {name}" if name.startswith("_") else name for name in names]  # matplotlib hides the others
    figure.legend(handles, shown, loc="outside upper left", ncols=columns)
