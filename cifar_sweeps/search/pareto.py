"""The Pareto front: of several objectives, the trials that no other one surpasses."""

import math
from collections.abc import Sequence


def pareto_front(points: Sequence[Sequence[float]], rises: Sequence[bool]) -> list[int]:
    """Return the places of the points that no other one surpasses: as good in all, and better in one.

    points: the values of each, in the order of the objectives. rises: of each objective, whether more of it is better.
    Equal points are all on the front; one with a value that is no number is not, and surpasses none.
    """
    signed = [tuple(value if rise else -value for value, rise in zip(point, rises, strict=True)) for point in points]
    whole = {place: point for place, point in enumerate(signed) if not any(map(math.isnan, point))}
    return [
        place
        for place, point in whole.items()
        if not any(
            other != point and all(one >= own for one, own in zip(other, point, strict=True))
            for other in whole.values()
        )
    ]
