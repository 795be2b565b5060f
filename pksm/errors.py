"""The errors that callers are meant to catch, each with the exit code of the command line."""


def _on_one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r")


class PksmError(Exception):
    """Base of all errors of pksm: one line that says what, where and what to do.

    What it quotes may hold anything: newlines become escapes.
    """

    exit_code = 1

    def __str__(self) -> str:
        return _on_one_line(super().__str__())


class UsageError(PksmError, ValueError):
    """What was asked for can't be right: an unknown name, a value out of range.

    Args:
        message: one line, without the name of the argument.
        argument: the argument that is wrong, by its name in Python ("page_size"), or None if it is not one alone. It
            stands in front of the message, and on the command line its option does.

    Attributes:
        leaves_out: the message names only some of what there is to choose from.
    """

    exit_code = 2

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.argument = argument
        self.leaves_out = False

    def __str__(self) -> str:
        return _on_one_line(f"{self.argument}: {self.message}" if self.argument else self.message)


class UnsupportedError(PksmError):
    """This machine or kernel can't do it."""

    exit_code = 77


class ShortageError(PksmError):
    """Less memory is to be had than is needed."""


class PageError(PksmError, ValueError):
    """A page number outside the page store, or one that no region covers."""


class ItemError(PksmError):
    """An item id outside the item table, or one that is free."""


class TreeError(PksmError):
    """A check found a structure that breaks its invariants: a bug, or memory overwritten."""


class BusError(PksmError):
    """Bytes of a mapped file could not be read: the file shrank, or its device failed."""
