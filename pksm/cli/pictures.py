"""The options --plot and --html, and the files that they make."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from pksm.report.plot.endings import FORMS

Draw = Callable[[Mapping[str, Any]], None]


def add_plot(group: Any, what: str) -> None:
    """Add --plot."""
    group.add_argument("--plot", metavar="FILE",
                       help=f"draw {what} into FILE (.{', .'.join(FORMS)}); needs matplotlib")  # fmt: skip


def add_html(group: Any) -> None:
    """Add --html."""
    group.add_argument("--html", metavar="FILE",
                       help="write a page for browsers, with pictures and tables, into FILE; needs Jinja2")  # fmt: skip


@contextmanager
def made(plot: str | None, html: str | None) -> Iterator[Draw]:
    """Give a function that makes the picture and the page of a document, as far as there are paths for them.

    What can be refused is refused at once; files appear whole, when the block ends.
    """
    with ExitStack() as stack:
        makers = [stack.enter_context(_picture(plot))] if plot is not None else []
        makers += [stack.enter_context(page(html))] if html is not None else []

        def make(document: Mapping[str, Any]) -> None:
            for maker in makers:
                maker(document)

        yield make


@contextmanager
def _picture(path: str) -> Iterator[Draw]:
    from pksm.linux.new_file import new_file
    from pksm.report.plot.endings import form_of, is_picture
    from pksm.report.plot.picture import picture

    form = form_of(path)
    with new_file(path, "a picture", is_picture, 0o666) as new:
        yield lambda document: new.write(lambda file: file.write(picture(document, form)))


@contextmanager
def page(path: str) -> Iterator[Callable[..., None]]:
    """Give a function that writes documents as a page; see `made`."""
    from pksm.linux.new_file import new_file
    from pksm.report.pages import render

    render.library()
    with new_file(path, "a page", lambda head: head.lstrip().lower().startswith(b"<!doctype html"), 0o666) as new:
        yield lambda *documents: new.write(lambda file: file.write(render.html(*documents).encode()))
