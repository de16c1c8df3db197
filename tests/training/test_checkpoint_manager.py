"""A resume finds a whole state, whatever happened to the files."""

import os

import pytest
import torch
from test_checkpoint_file import epoch_metrics
from training_toys import copied, identical, stepper, toy_model

from cifar_sweeps.errors import TrainingError
from cifar_sweeps.training import checkpoint_file
from cifar_sweeps.training.checkpoint_manager import CheckpointManager
from cifar_sweeps.training.schedules import Constant


def names(folder, kind="resume"):
    return [path.name.split("-")[1] for path in sorted(folder.glob(f"{kind}-*.pt"))]


@pytest.fixture
def trained(tmp_path):
    """Four epochs, of which the second is the best; the weights of an epoch are its number."""
    files, model = CheckpointManager(tmp_path), toy_model()
    for epoch, accuracy in enumerate([0.1, 0.4, 0.3, 0.2], start=1):
        model[0].weight.data.fill_(epoch)
        files.save(model, stepper(model), Constant(), epoch_metrics(epoch, accuracy))
        model[0].weight.data.fill_(99)  # the training goes on while the file is written
    files.wait()
    return tmp_path


def taken_up(folder, said=None):
    files, model = CheckpointManager(folder), toy_model()
    history = files.restore_latest(model, stepper(model), Constant(), (said if said is not None else []).append)
    return files, model, history


def test_the_last_two_states_are_kept_and_the_newest_is_taken_up(trained):
    assert names(trained) == ["000003", "000004"]
    files, model, history = taken_up(trained)
    assert [metrics.epoch for metrics in history] == [1, 2, 3, 4]
    assert model[0].weight.unique().tolist() == [4]
    assert (files.best_epoch, files.best_accuracy) == (2, 0.4)
    files.finish()
    assert checkpoint_file.load(files.best)["0.weight"].unique().tolist() == [2]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_state_is_reported_and_the_one_before_it_is_used(trained, damage):
    newest = max(trained.glob("resume-*.pt"))
    whole = newest.read_bytes()
    middle = len(whole) // 2
    spoilt = {
        "truncated": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
    }
    newest.write_bytes(spoilt[damage])
    said = []
    _, model, history = taken_up(trained, said)
    assert len(history) == 3
    assert model[0].weight.unique().tolist() == [3]
    assert newest.name in said[0]
    assert not newest.exists()


def test_a_state_whose_best_weights_are_damaged_is_not_whole(trained):
    max(trained.glob("best-*.pt")).write_bytes(b"")
    said = []
    assert taken_up(trained, said)[2] == []  # both states know the same best weights
    assert len(said) == 2
    assert names(trained) == names(trained, "best") == []


def test_what_a_killed_write_left_is_removed(trained):
    torn = trained / ".resume-000005.1.tmp"
    torn.write_bytes(b"half")
    taken_up(trained)
    assert not torn.exists()


def test_best_weights_of_an_epoch_that_is_trained_again_are_removed(tmp_path):
    files, model = CheckpointManager(tmp_path), toy_model()
    for epoch in (1, 2):
        files.save(model, stepper(model), Constant(), epoch_metrics(epoch, epoch / 10))
    files.wait()
    max(tmp_path.glob("resume-*.pt")).unlink()  # killed between the two files of epoch 2
    files, _, history = taken_up(tmp_path)
    assert (len(history), files.best_epoch, names(tmp_path, "best")) == (1, 1, ["000001"])


def test_finished_files_are_the_newest_and_a_resume_is_possible_until_all_is_cleared(trained):
    files, model, _ = taken_up(trained)
    files.finish()
    state = torch.load(files.last, weights_only=True)
    assert (state["epoch"], len(state["metrics"])) == (4, 4)
    assert identical(dict(state["model"]), copied(model))
    assert len(taken_up(trained)[2]) == 4
    files.clear()
    assert sorted(path.name for path in trained.iterdir()) == ["best.pt", "last.pt"]


def test_what_was_finished_before_a_kill_is_finished_again(trained):
    taken_up(trained)[0].finish()
    files, _, _ = taken_up(trained)
    files.finish()
    files.clear()
    assert sorted(path.name for path in trained.iterdir()) == ["best.pt", "last.pt"]


def test_a_disk_that_is_full_is_told_at_the_next_epoch(tmp_path, monkeypatch):
    files, model = CheckpointManager(tmp_path), toy_model()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    files.save(model, stepper(model), Constant(), epoch_metrics(1))
    with pytest.raises(TrainingError, match=r"cannot be written .*No space left"):
        files.save(model, stepper(model), Constant(), epoch_metrics(2))
    assert list(tmp_path.iterdir()) == []
