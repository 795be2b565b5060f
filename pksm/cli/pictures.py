"""The option --plot, and the file that it makes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pksm.report.plot.endings import FORMS


def add_plot(group: Any, what: str) -> None:
    """Add --plot."""
    group.add_argument("--plot", metavar="FILE",
                       help=f"draw {what} into FILE (.{', .'.join(FORMS)}); needs matplotlib")  # fmt: skip


@contextmanager
def plotted(path: str | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Give a function that draws a document into the file at `path`, if there is one to draw.

    What can be refused is refused at once; the file appears whole, when the block ends.
    """
    if path is None:
        yield lambda document: None
        return
    from pksm.linux.new_file import new_file
    from pksm.report.plot.endings import form_of, is_picture
    from pksm.report.plot.picture import picture

    form = form_of(path)
    with new_file(path, "a picture", is_picture, 0o666) as new:
        yield lambda document: new.write(lambda file: file.write(picture(document, form)))
