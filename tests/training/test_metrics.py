"""An epoch's metrics by their names."""

from cifar_sweeps.training.metrics import EpochMetrics


def test_metrics_have_their_own_names_and_missing_ones_are_left_out():
    whole = EpochMetrics(
        epoch=7,
        train_loss=1.0,
        train_accuracy=0.2,
        val_loss=3.0,
        val_accuracy=0.4,
        train_objective=5.0,
        val_objective=6.0,
        lr=0.7,
        epoch_seconds=8.0,
        images_per_second=9.0,
    )
    named = {name.replace("/", "_"): value for name, value in whole.by_name().items()}
    assert named == {key: value for key, value in vars(whole).items() if key != "epoch"}
    missing = EpochMetrics(1, 1.0, 0.5, None, None, None, None, 0.1, 2.0, 10.0)
    assert not {"val/loss", "val/accuracy", "train/objective", "val/objective"} & missing.by_name().keys()
