"""A matrix as a map: the more two have in common, the darker the cell; those alike stand side by side."""

from collections.abc import Sequence

from pksm.report.pages.charts import svg

NAMES = 130


def ordered(shares: Sequence[Sequence[float]]) -> list[int]:
    """Return an order in which each next one is the one most like the last: a walk, from the pair most alike."""
    left = set(range(len(shares)))
    pairs = [(shares[a][b], -a, -b) for a in left for b in left if a != b]
    if not pairs:
        return sorted(left)
    _, a, _ = max(pairs)
    order = [-a]
    left.discard(-a)
    while left:
        nearest = max(left, key=lambda one: (shares[order[-1]][one], -one))
        order.append(nearest)
        left.discard(nearest)
    return order


def heat(names: Sequence[str], shares: Sequence[Sequence[float]], texts: Sequence[Sequence[str]], about: str) -> str:
    """Return a map of shares from 0 to 1, rows and columns in order(); texts are shown where a cell is pointed at."""
    order = ordered(shares)
    cell = (svg.WIDTH - NAMES - 4) / max(1, len(order))
    picture = svg.drawing(cell * len(order) + 22, about)
    for row, a in enumerate(order):
        y = 20 + row * cell
        if cell >= 9:
            svg.text(picture, NAMES - 6, y + cell / 2 + 4, f"{a + 1} {names[a]}", width=NAMES - 10, text_anchor="end")
        if cell >= 14:
            svg.text(picture, NAMES + (row + 0.5) * cell, 13, str(a + 1), text_anchor="middle")
        for column, b in enumerate(order):
            share = min(1.0, max(0.0, shares[a][b]))
            one = svg.add(picture, "rect", class_="heat", x=float(NAMES + column * cell), y=float(y),
                          width=float(cell - 1), height=float(cell - 1), fill_opacity=round(0.05 + 0.95 * share, 3))  # fmt: skip
            svg.title(one, f"{names[a]} and {names[b]}: {texts[a][b]}")
    return svg.written(picture)
