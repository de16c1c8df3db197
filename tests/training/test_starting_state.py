"""A run's last state starts another run."""

import pytest
from test_checkpoint_file import epoch_metrics
from training_toys import toy_model, toy_optimizer

from cifar_sweeps.errors import TrainingError
from cifar_sweeps.training import checkpoint_file
from cifar_sweeps.training.checkpoint_manager import CheckpointManager
from cifar_sweeps.training.schedules import Constant
from cifar_sweeps.training.starting_state import place_state, read_last_state


def finished(folder, accuracies):
    """Train a run whose weights after an epoch are its number; return its last.pt and best.pt."""
    folder.mkdir()
    files, model = CheckpointManager(folder), toy_model()
    for epoch, accuracy in enumerate(accuracies, start=1):
        model[0].weight.data.fill_(epoch)
        files.save(model, toy_optimizer(model), Constant(), epoch_metrics(epoch, accuracy))
    files.finish()
    files.clear()
    return files.last, files.best


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [([0.1, 0.4, 0.4, 0.2], 2), ([0.1, 0.2, 0.3], 3), ([None, None], None)],
    ids=["earlier", "last", "without validation"],
)
def test_the_next_run_has_weights_history_and_the_best_so_far(tmp_path, accuracies, best):
    last, best_file = finished(tmp_path / "first", accuracies)
    state = read_last_state(last)
    assert (state.epoch, state.best_epoch) == (len(accuracies), best)
    (tmp_path / "next").mkdir()
    place_state(tmp_path / "next", state, best_file if best_file.is_file() else None, {1: {"test/loss": 0.5}})
    files, model = CheckpointManager(tmp_path / "next"), toy_model()
    history = files.restore_latest(model, toy_optimizer(model), Constant(), pytest.fail)
    assert tuple(history) == state.history
    assert model[0].weight.unique().tolist() == [len(accuracies)]
    assert (files.best_epoch, files.earlier_tests) == (best, {1: {"test/loss": 0.5}})
    files.finish()
    if best is not None:
        assert checkpoint_file.load(files.best)["0.weight"].unique().tolist() == [best]
    assert files.best.is_file() == (best is not None)


def test_a_best_checkpoint_of_another_run_is_refused(tmp_path):
    last, _ = finished(tmp_path / "first", [0.4, 0.1])
    other, _ = finished(tmp_path / "second", [0.1, 0.4])
    with pytest.raises(TrainingError, match="checksum does not match"):
        place_state(tmp_path, read_last_state(last), other)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"model": {}, "optimizer": {}, "epoch": 1, "metrics": []},
        {"model": {}, "optimizer": {}, "epoch": 1, "metrics": [{"epoch": 1}]},
        {"model": {}, "optimizer": {}, "epoch": "1", "metrics": []},
    ],
    ids=["nothing", "no epochs", "half an epoch", "no number"],
)
def test_what_holds_no_training_is_refused(tmp_path, state):
    checkpoint_file.save(tmp_path / "last.pt", state)
    with pytest.raises(TrainingError, match="holds no training state"):
        read_last_state(tmp_path / "last.pt")
