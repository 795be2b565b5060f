"""The Pareto front: what nothing else beats in everything."""


def front(points):
    """Return which of the points (x, y), the smaller the better, no other point matches in both and beats in one.

    A list of bool. Of points that are the same all are on the front or none.
    """
    return [
        not any(other != point and other[0] <= point[0] and other[1] <= point[1] for other in points)
        for point in points
    ]
