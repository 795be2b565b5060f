"""The errors that callers are meant to catch, each with the exit code of the command line."""


class PksmError(Exception):
    """Base of all errors of pksm: one line that says what, where and what to do."""

    exit_code = 1


class UsageError(PksmError):
    """What was asked for can't be right: an unknown name, a value out of range."""

    exit_code = 2


class PartialError(PksmError):
    """Some of what was asked for could be had, and the rest could not."""

    exit_code = 3


class UnsupportedError(PksmError):
    """This machine or kernel can't do it."""

    exit_code = 77


class PageError(PksmError):
    """A page number outside the page store, or one that no region covers."""


class ItemError(PksmError):
    """An item id outside the item table, or one that is free."""


class TreeError(PksmError):
    """A check found a structure that breaks its invariants: a bug, or memory overwritten."""


class BusError(PksmError):
    """Bytes of a mapped file were gone when they were to be read: the file shrank."""
