"""Compare the probabilities that two forms of one network give for the same images."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MARGIN = 1e-4
"""Images whose two likeliest classes are closer than this are near ties: rounding may turn them."""
TOLERANCE = 1e-4
"""How far any probability may be from that of the network."""


@dataclass(frozen=True)
class Agreement:
    """How far another form of a network agrees with it.

    images: how many were compared. equal: how many of them get the same class. ties: how many get another class, but
    are near ties of the network (`MARGIN`). largest: the largest difference of any probability; NaN where one is NaN.
    """

    images: int
    equal: int
    ties: int
    largest: float

    @property
    def holds(self) -> bool:
        """Whether all classes but those of near ties are equal, and no probability differs by more than `TOLERANCE`."""
        return self.images > 0 and self.equal + self.ties == self.images and self.largest <= TOLERANCE

    def __str__(self) -> str:
        ties = f" ({self.ties:,} of the others are near ties)" if self.ties else ""
        return (
            f"{self.equal:,} of {self.images:,} images get the same class{ties}, "
            f"the largest difference of a probability is {self.largest:.1g}"
        )


def agreement(network: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> Agreement:
    """Compare probabilities (N, C) of the same images. Raises ValueError if their shapes differ."""
    if network.shape != other.shape or network.ndim != 2:
        raise ValueError(f"probabilities of shape {other.shape} instead of {network.shape}")
    if not len(network):
        return Agreement(0, 0, 0, float("nan"))
    same = network.argmax(axis=1) == other.argmax(axis=1)
    two = np.sort(network, axis=1)[:, -2:]
    near = two[:, -1] - two[:, 0] <= MARGIN if network.shape[1] > 1 else np.zeros(len(network), dtype=bool)
    largest = np.abs(network.astype(np.float64) - other.astype(np.float64)).max()  # NaN if one is
    return Agreement(len(network), int(same.sum()), int((near & ~same).sum()), float(largest))
