"""Which of many points none beats."""

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return which points are on the Pareto front: no other point matches them in both x and y and beats them in one.

    The smaller the better, in both. Of points that are the same all are on the front or none.
    """
    return [
        not any(other != point and other[0] <= point[0] and other[1] <= point[1] for other in points)
        for point in points
    ]
