"""``kernel_size.conv``: an integer, or lists by block and by convolution whose last entry repeats."""

import pytest

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models.argument_checks import ErrorList
from cifar_sweeps.models.kernel_sizes import expand_kernel_sizes


@pytest.mark.parametrize(
    ("sizes", "convolutions", "expected"),
    [
        (3, [2, 2], [[3, 3], [3, 3]]),
        ([3], [2, 1], [[3, 3], [3]]),
        ([3, 5], [1, 1, 1], [[3], [5], [5]]),
        ([3, 5, 7], [2, 2, 2], [[3, 3], [5, 5], [7, 7]]),
        ([3, [3, 5]], [2, 2], [[3, 3], [3, 5]]),
        ([3, [3, 5]], [2, 2, 2], [[3, 3], [3, 5], [3, 5]]),
        ([[1, 3], 5], [3, 3], [[1, 3, 3], [5, 5, 5]]),
        ((3, (3, 5)), [1, 3], [[3], [3, 5, 5]]),
    ],
    ids=str,
)
def test_expansion(sizes, convolutions, expected):
    errors = ErrorList()
    assert expand_kernel_sizes(sizes, convolutions, errors) == expected
    errors.raise_if_any()


@pytest.mark.parametrize(
    ("sizes", "convolutions", "message"),
    [
        ([], [2], r"\[\] has 0 entries, but the model has 1 block"),
        ([3, 5], [2], r"\[3, 5\] has 2 entries, but the model has 1 block"),
        ([3, [3, 5]], [2, 1], r"\[3, 5\] has 2 entries, but block 2 has 1 convolution"),
        ([[]], [2], r"\[\] has 0 entries, but block 1 has 2 convolution"),
        ("3", [2], "3 is not a kernel size"),
        (-3, [2], "-3 is not a kernel size"),
        (True, [2], "True is not a kernel size"),
        ([3, None], [2, 2], "None is not a kernel size"),
    ],
    ids=str,
)
def test_errors(sizes, convolutions, message):
    errors = ErrorList()
    expand_kernel_sizes(sizes, convolutions, errors)
    with pytest.raises(ConfigError, match=message):
        errors.raise_if_any()
