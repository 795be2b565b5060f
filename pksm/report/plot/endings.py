"""The forms of pictures, by the endings of their files and by their first bytes."""

import os

from pksm.errors import UsageError

FORMS = ("svg", "png", "pdf")


def form_of(path: str) -> str:
    """Return the form that a path's ending names: "png".

    Raises:
        UsageError: another ending.
        UnsupportedError: matplotlib is not installed.
    """
    form = os.path.splitext(path)[1].lower().removeprefix(".")
    if form not in FORMS:
        raise UsageError(f"{path}: name a picture that ends in .{', .'.join(FORMS)}", "plot")
    from pksm.report.plot.style import library

    library("matplotlib")
    return form


def is_picture(head: bytes) -> bool:
    """Return whether a file holds a picture in one of FORMS, by its first bytes."""
    return head.startswith((b"\x89PNG", b"%PDF", b"<?xml", b"<svg"))
