"""The reference, made from the code: a page that has `<!-- made: NAME -->` on a line gets what MAKERS has for it.

What is made is Markdown, so that headings, anchors and links in it are those of the page. A new verb, document,
policy, module or C function appears by itself.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from pksm_reference import c_api, command_line, documents, images, operations, policies, python_api

if TYPE_CHECKING:
    from collections.abc import Callable

    from sphinx.application import Sphinx

MAKERS: dict[str, Callable[[], str]] = {
    "command-line": command_line.page,
    "documents": documents.page,
    "policies": policies.page,
    "python": python_api.page,
    "c": c_api.page,
    "images": images.page,
    "operations": operations.page,
    "workloads": command_line.workloads,
}
PLACE = re.compile(r"^<!-- made: ([a-z-]+) -->$", re.MULTILINE)


def fill(source: str) -> str:
    """Return a page's source with its places filled in. KeyError for a name that nobody makes."""
    return PLACE.sub(lambda found: MAKERS[found[1]](), source)


def _fill_in_place(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = fill(source[0])


def _own_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Return the signature of a class from its __init__ where its __new__ takes whatever comes."""
    if what != "class" or signature != "(*_, **__)":
        return None
    own = inspect.signature(thing.__init__)
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in own.parameters.values()]
    return str(own.replace(parameters=plain[1:], return_annotation=inspect.Signature.empty)), returns


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", _fill_in_place)
    app.connect("autodoc-process-signature", _own_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
