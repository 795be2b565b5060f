"""Text of others, such as names of processes and files, as it can be shown."""

import itertools
from typing import Any


def plain(text: str) -> str:
    """Return text on one line and without what would steer a terminal: such characters as escapes."""
    if text.isprintable():
        return text
    parts = ((printable, "".join(run)) for printable, run in itertools.groupby(text, str.isprintable))
    return "".join(
        part if printable else part.encode("unicode_escape", "surrogatepass").decode() for printable, part in parts
    )


def all_plain(value: Any) -> Any:
    """Return a value as JSON has them with every text in it plain, keys too."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {all_plain(key): all_plain(one) for key, one in value.items()}
    return [all_plain(one) for one in value] if isinstance(value, list) else value
