"""What pages are made of. Text in them is whatever it is: the template makes it harmless."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pksm.plain import plain

ROWS = 500  # of a table on a page


@dataclass(frozen=True)
class Tile:
    """A figure that answers a question by itself: "1.2 GiB", "saved", "31 % of what is resident"."""

    value: str
    label: str
    note: str = ""
    is_good: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is shown, and the number that it is sorted by."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows under heads; cells with numbers are flush right.

    Args:
        title: what it shows; the caption.
        heads: of the columns.
        rows: cells, or texts, as many as there are heads.
        total: rows that there are, if these are only the first.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    total: int = 0

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows that are shown, all of cells, on one line each and without what would turn text about."""
        rows = ([cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows[:ROWS])
        return [[Cell(plain(cell.text), cell.number) for cell in row] for row in rows]

    @property
    def numeric(self) -> set[int]:
        """The columns that have numbers, and nothing else but "-"."""
        columns = enumerate(zip(*self.cells, strict=True))
        return {
            place
            for place, column in columns
            if any(cell.number is not None for cell in column)
            and all(cell.number is not None or cell.text in ("-", "") for cell in column)
        }

    @property
    def rest(self) -> str:
        """A sentence about rows that are not shown, or nothing."""
        total, shown = max(self.total, len(self.rows)), min(len(self.rows), ROWS)
        return f"The first {shown:,} of {total:,} rows." if total > shown else ""


@dataclass(frozen=True)
class Key:
    """What a colour means. number: of the series that a press of it hides."""

    name: str
    colour: int
    number: int | None = None


@dataclass(frozen=True)
class Figure:
    """A picture, and the same as a table.

    Args:
        title: what it shows.
        svg: the picture, as text of SVG.
        about: what is to be seen in it, in a sentence: for those who can't see it, too.
        table: its numbers.
        keys: what its colours mean.
    """

    title: str
    svg: str
    about: str
    table: Table | None = None
    keys: Sequence[Key] = ()


@dataclass(frozen=True)
class Copyable:
    """A text that somebody puts somewhere: a file for /etc, a command."""

    title: str
    text: str


Part = Figure | Table | Copyable | str  # a str is a paragraph


@dataclass
class Page:
    """A document for people.

    Args:
        title: one line.
        verdict: what it comes to, in a sentence or two.
        tiles: the figures that matter most.
        parts: what follows, in order.
        warnings: what is missing or doubtful in it.
    """

    title: str
    verdict: str = ""
    tiles: list[Tile] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def kind_of(part: Part) -> str:
    """Return which macro of the template shows a part."""
    return "paragraph" if isinstance(part, str) else type(part).__name__.lower()


def number(value: float | None, text: str | None = None) -> Cell:
    """Return a cell with a number: as "12,345", or as `text` shows it; "-" for none."""
    if value is None:
        return Cell("-", None)
    return Cell(f"{value:,}" if text is None else text, value)
