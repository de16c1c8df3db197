"""A resume finds an undamaged state, whatever happened to the files."""

import copy
import os
import threading

import pytest
import torch
from test_checkpoint_file import epoch_metrics
from training_toys import clone_state, identical, toy_model, toy_optimizer

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
        files.save(model, toy_optimizer(model), Constant(), epoch_metrics(epoch, accuracy))
        model[0].weight.data.fill_(99)  # training continues while the file is written
    files.wait()
    return tmp_path


def restored(folder, messages=None):
    files, model = CheckpointManager(folder), toy_model()
    history = files.restore_latest(
        model, toy_optimizer(model), Constant(), (messages if messages is not None else []).append
    )
    return files, model, history


def test_the_last_two_states_are_kept_and_the_newest_is_restored(trained):
    assert names(trained) == ["000003", "000004"]
    files, model, history = restored(trained)
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
    messages = []
    _, model, history = restored(trained, messages)
    assert len(history) == 3
    assert model[0].weight.unique().tolist() == [3]
    assert newest.name in messages[0]
    assert not newest.exists()


def test_a_state_whose_best_weights_are_damaged_is_not_whole(trained):
    max(trained.glob("best-*.pt")).write_bytes(b"")
    messages = []
    assert restored(trained, messages)[2] == []  # both states know the same best weights
    assert len(messages) == 2
    assert names(trained) == names(trained, "best") == []


def test_what_a_killed_write_left_is_removed(trained):
    torn = trained / ".resume-000005.1.tmp"
    torn.write_bytes(b"half")
    restored(trained)
    assert not torn.exists()


def test_best_weights_of_an_epoch_that_is_trained_again_are_removed(tmp_path):
    files, model = CheckpointManager(tmp_path), toy_model()
    for epoch in (1, 2):
        files.save(model, toy_optimizer(model), Constant(), epoch_metrics(epoch, epoch / 10))
    files.wait()
    max(tmp_path.glob("resume-*.pt")).unlink()  # killed between the two files of epoch 2
    files, _, history = restored(tmp_path)
    assert (len(history), files.best_epoch, names(tmp_path, "best")) == (1, 1, ["000001"])


def test_finished_files_are_the_newest_and_a_resume_is_possible_until_all_is_cleared(trained):
    files, model, _ = restored(trained)
    files.finish()
    state = torch.load(files.last, weights_only=True)
    assert (state["epoch"], len(state["metrics"])) == (4, 4)
    assert identical(dict(state["model"]), clone_state(model))
    assert len(restored(trained)[2]) == 4
    files.clear()
    assert sorted(path.name for path in trained.iterdir()) == ["best.pt", "last.pt"]


def test_what_was_finished_before_a_kill_is_finished_again(trained):
    restored(trained)[0].finish()
    files, _, _ = restored(trained)
    files.finish()
    files.clear()
    assert sorted(path.name for path in trained.iterdir()) == ["best.pt", "last.pt"]


def test_a_state_that_is_written_late_is_that_of_the_end_of_its_epoch(tmp_path, monkeypatch):
    """Training continues while the file is written, and changes weights and momentum in place."""
    continued = threading.Event()

    def save_late(path, payload):
        assert continued.wait(30)
        checkpoint_file.save(path, payload)

    monkeypatch.setattr("cifar_sweeps.training.checkpoint_manager.save", save_late)
    files, model = CheckpointManager(tmp_path), toy_model()
    optimizer = toy_optimizer(model)

    def take_step():
        for weight in model.parameters():
            weight.grad = torch.ones_like(weight)
        optimizer.step()

    take_step()
    weights, momentum = clone_state(model), copy.deepcopy(optimizer.state_dict())["state"]
    files.save(model, optimizer, Constant(), epoch_metrics(1, 0.5))
    take_step()
    continued.set()
    files.wait()
    state = checkpoint_file.load(files.latest())
    assert identical(dict(state["model"]), weights)
    assert all(identical(state["optimizer"]["state"][number], momentum[number]) for number in momentum)
    files.finish()
    assert identical(checkpoint_file.load(files.best), weights)


def test_a_full_disk_is_reported_at_the_next_epoch(tmp_path, monkeypatch):
    files, model = CheckpointManager(tmp_path), toy_model()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    files.save(model, toy_optimizer(model), Constant(), epoch_metrics(1))
    with pytest.raises(TrainingError, match=r"cannot be written .*No space left"):
        files.save(model, toy_optimizer(model), Constant(), epoch_metrics(2))
    assert list(tmp_path.iterdir()) == []
