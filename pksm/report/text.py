"""Numbers, names and columns as people read them."""

BOLD = "1"


def size(n_bytes):
    """Return bytes as people read them: "640 B", "12.0 KiB", "1.50 GiB"."""
    amount, units = float(n_bytes), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while abs(amount) >= 1023.95 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    digits = 0 if units[0] == "B" else 1 if units[0] in ("KiB", "MiB") else 2
    return f"{amount:.{digits}f} {units[0]}"


def rate(per_second):
    """Return a number a second as people read it: "850", "12.3 k", "1.42 M"."""
    if per_second < 1000:
        return f"{per_second:.0f}"
    return f"{per_second / 1e3:.1f} k" if per_second < 999_950 else f"{per_second / 1e6:.2f} M"


def plain(text):
    """Return text on one line and without what would steer a terminal: such characters as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
                   for char in text)  # fmt: skip


def cut(text, width):
    """Return text in at most `width` characters, its middle left out if need be."""
    if len(text) <= width:
        return text
    kept = max(0, width - 3)
    return text[: kept - kept // 2] + "..."[:width] + text[len(text) - kept // 2 :]


def columns(rows, right=()):
    """Return rows of cells as lines with aligned columns; those numbered in `right` are flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def many(number, noun):
    """Return a number and its noun: "1 page", "2,304 pages"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
