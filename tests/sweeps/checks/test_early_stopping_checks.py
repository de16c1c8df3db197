"""What keeps the jobs of a sweep from being paused and compared is told before any of them starts."""

import pytest

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.sweeps.checks.early_stopping import early_stopping_errors

ASHA = ("sweep.early_stopping=asha", "trainer.epochs=40")


@pytest.mark.parametrize(
    ("overrides", "validation", "expected"),
    [
        ((), 100, []),
        ((), None, []),
        ((), 0, ["no validation data; set data.val_fraction above 0"]),
        (("trainer.resume=never",), 100, ["leave trainer.resume=never out"]),
        (("trainer.validate_every=3",), 100, ["after epochs 4, 16, and trainer.validate_every=3 does not validate"]),
        (("trainer.validate_every=4",), 100, []),
        (("sweep.early_stopping=none", "trainer.resume=never"), 0, []),
        (("sweep.early_stopping=median", "trainer.validate_every=2"), 100, []),
    ],
)
def test_what_is_wrong_with_a_job(overrides, validation, expected):
    found = [*early_stopping_errors(compose([*ASHA, *overrides]), validation)]
    assert len(found) == len(expected)
    assert all(part in message for part, message in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sweep.eta=1", "sweep.eta=1: must be at least 2"),
        ("sweep.grace_epochs=0", "sweep.grace_epochs=0: must be at least 1"),
        ("sweep.early_stopping=hyperband", "sweep.early_stopping"),
        ("sweep.metric=test/accuracy", "sweep.metric"),
    ],
)
def test_values_that_are_not_allowed(override, message):
    with pytest.raises(ConfigError, match=message):
        compose([*ASHA, override])
