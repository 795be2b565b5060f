"""Documents as JSON text, in pieces: what json.dumps(document, indent=2) returns, many times faster where lists are long.

Rows of a long list have a line each. The standard library's quick encoder knows no indentation, so it does the rows.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

LONG = 1000  # rows of a list, from which on each has one line; also how many make a piece


def pieces(value: Any, margin: str = "") -> Iterator[str]:
    """Yield the text of a value, whose first line begins where it is and whose others have a margin."""
    if isinstance(value, Mapping) and value:
        yield from _between("{}", ((f"{json.dumps(name)}: ", part) for name, part in value.items()), margin)
    elif isinstance(value, list | tuple) and len(value) > LONG:
        before, between = f"[\n{margin}  ", f",\n{margin}  "
        for start in range(0, len(value), LONG):
            yield before + between.join(map(json.dumps, value[start : start + LONG]))
            before = between
        yield f"\n{margin}]"
    elif isinstance(value, list | tuple) and value:
        yield from _between("[]", (("", part) for part in value), margin)
    else:
        yield json.dumps(value)


def _between(brackets: str, parts: Iterator[tuple[str, Any]], margin: str) -> Iterator[str]:
    inner = margin + "  "
    before = f"{brackets[0]}\n{inner}"
    for name, part in parts:
        yield before + name
        yield from pieces(part, inner)
        before = f",\n{inner}"
    yield f"\n{margin}{brackets[1]}"
