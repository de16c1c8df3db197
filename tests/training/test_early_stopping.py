"""Early stopping, by accuracy and by loss."""

import pytest

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.training.early_stopping import EarlyStopper
from cifar_sweeps.training.metrics import EpochMetrics


def metrics(loss=None, accuracy=None):
    return EpochMetrics(1, 1.0, 0.5, loss, accuracy, None, None, 0.1, 2.0, 10.0)


@pytest.mark.parametrize(
    ("stopper", "accuracies", "stops_at"),
    [
        (EarlyStopper(None), [0.5, 0.1, 0.1, 0.1], None),
        (EarlyStopper(2), [0.1, 0.2, 0.3, 0.4], None),
        (EarlyStopper(2), [0.3, 0.2, 0.3, 0.9], 3),
        (EarlyStopper(2), [0.3, 0.2, 0.4, 0.4, 0.4], 5),
        (EarlyStopper(1), [0.0, 0.0], 2),
        (EarlyStopper(2, min_delta=0.05), [0.30, 0.34, 0.35, 0.9], 3),
        (EarlyStopper(2, min_delta=0.05), [0.30, 0.34, 0.36, 0.36, 0.36], 5),
    ],
    ids=["never", "rising", "not_better", "starts_anew", "from_zero", "min_delta", "a_slow_rise_from_the_best"],
)
def test_early_stopping_by_accuracy(stopper, accuracies, stops_at):
    stops = [epoch for epoch, value in enumerate(accuracies, 1) if stopper.should_stop(metrics(accuracy=value))]
    assert (stops[0] if stops else None) == stops_at


def test_early_stopping_by_loss():
    stopper = EarlyStopper(2, monitor="val/loss")
    assert [stopper.should_stop(metrics(loss=loss)) for loss in (1.0, 0.9, 1.0, 0.95)] == [False, False, False, True]


def test_early_stopping_needs_validation_data_only_if_enabled():
    assert not EarlyStopper(None).should_stop(metrics())
    with pytest.raises(ConfigError, match="there is no validation data"):
        EarlyStopper(3).should_stop(metrics())


def test_an_unknown_monitor_is_refused():
    with pytest.raises(ConfigError, match=r"trainer\.early_stopping\.monitor=train/loss"):
        EarlyStopper(3, monitor="train/loss")
