"""Pages are bytes objects; all pages of a store have one length."""


def compare(a, b):
    """Return the order of two pages (-1, 0 or 1: the first differing byte decides) and their common prefix in bytes."""
    for position, (x, y) in enumerate(zip(a, b, strict=True)):
        if x != y:
            return (-1 if x < y else 1), position
    return 0, len(a)


def is_zero(page):
    """Say whether every byte of a page is zero."""
    return not any(page)
