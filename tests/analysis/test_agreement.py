"""Whether two forms of a network agree: counted by hand."""

import numpy as np
import pytest

from cifar_sweeps.analysis.agreement import agreement

NETWORK = np.array([[0.7, 0.2, 0.1], [0.50002, 0.49998, 0.0], [0.1, 0.1, 0.8]], dtype=np.float32)


def changed(row, *values):
    other = NETWORK.copy()
    other[row] = values
    return other


@pytest.mark.parametrize(
    ("other", "equal", "ties", "largest", "holds"),
    [
        (NETWORK, 3, 0, 0.0, True),
        (changed(0, 0.70005, 0.19995, 0.1), 3, 0, 5e-5, True),
        (changed(1, 0.49998, 0.50002, 0.0), 2, 1, 4e-5, True),
        (changed(0, 0.7002, 0.1998, 0.1), 3, 0, 2e-4, False),
        (changed(2, 0.8, 0.1, 0.1), 2, 0, 0.7, False),
    ],
    ids=["the same", "rounding", "a near tie", "other probabilities", "another class"],
)
def test_classes_and_probabilities_are_compared(other, equal, ties, largest, holds):
    found = agreement(NETWORK, other)
    assert (found.images, found.equal, found.ties, found.holds) == (3, equal, ties, holds)
    assert found.largest == pytest.approx(largest, abs=1e-7)


@pytest.mark.parametrize(
    "pair",
    [(NETWORK, changed(0, np.nan, 0.2, 0.1)), (changed(0, np.nan, 0.2, 0.1),) * 2, (NETWORK[:0], NETWORK[:0])],
    ids=["one is not finite", "both are not finite", "no images"],
)
def test_what_cannot_be_compared_does_not_agree(pair):
    assert not agreement(*pair).holds


def test_other_shapes_are_an_error():
    with pytest.raises(ValueError, match=r"\(3, 2\) instead of \(3, 3\)"):
        agreement(NETWORK, NETWORK[:, :2])


def test_one_class_alone_agrees():
    assert agreement(np.ones((4, 1), dtype=np.float32), np.ones((4, 1), dtype=np.float32)).holds
