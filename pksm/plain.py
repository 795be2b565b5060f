"""Text of others, such as names of processes and files, as it can be shown."""

import itertools


def plain(text: str) -> str:
    """Return text on one line and without what would steer a terminal: such characters as escapes."""
    if text.isprintable():
        return text
    parts = ((printable, "".join(run)) for printable, run in itertools.groupby(text, str.isprintable))
    return "".join(
        part if printable else part.encode("unicode_escape", "surrogatepass").decode() for printable, part in parts
    )
