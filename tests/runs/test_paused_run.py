"""A run that pauses after an epoch is recorded as paused, untested, and ends as if it had never paused."""

import pytest
import torch
from conftest import TINY
from running import JournalContents, weights

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import TrackingError
from cifar_sweeps.runs.run import run
from cifar_sweeps.runs.trained_run import open_trained_run
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.tracking.journal_reader import read_curve, read_run
from cifar_sweeps.tracking.recorded_run import EARLY_STOPPED, finish_command
from cifar_sweeps.tracking.store import Store

QUICK = (*TINY, "trainer.epochs=4", "analysis=none", "analysis.log_model=false")
TIMES = {"epoch_seconds", "images_per_second"}


def train(folder, *overrides, until=None):
    return run(compose([*QUICK, *overrides]), name="a run", folder=folder, until=until, progress=False)


def test_a_run_that_paused_twice_has_the_bits_of_one_that_never_did(tmp_path):
    overrides = ("augmentation=flip_crop", "regularization=dropout", "lr_schedule=cosine")
    whole = train(tmp_path / "whole", *overrides)
    folder = tmp_path / "paused"
    assert [train(folder, *overrides, until=until).paused_at for until in (1, 3, None)] == [1, 3, None]
    expected, found = JournalContents(whole.folder), JournalContents(folder)
    assert found.state == expected.state == "FINISHED"
    # What is measured at an epoch; the best one is also recorded where it paused.
    for metric in expected.metrics.keys() - TIMES - {"best/val_accuracy", "best/epoch"}:
        assert sorted(found.metrics[metric]) == sorted(expected.metrics[metric]), metric
    for metric in ("best/val_accuracy", "best/epoch"):
        assert max(found.metrics[metric]) == max(expected.metrics[metric])
    ours, theirs = (weights(each / "checkpoints" / "last.pt")["model"] for each in (folder, whole.folder))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"last.pt", "best.pt"}


def test_a_paused_run_is_finished_in_mlflow_with_its_epoch_and_untested(tmp_path):
    paused = train(tmp_path, until=2)
    assert (paused.paused_at, paused.val_accuracy) == (2, paused.history[-1].val_accuracy)
    store = Store.open()
    stored = store.client().get_run(paused.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags[EARLY_STOPPED] == "2"
    assert "paused at epoch 2 of 4" in stored.data.tags["mlflow.note.content"]
    assert not {name for name in stored.data.metrics if name.startswith(("test/", "final/"))}
    assert (read_run(tmp_path).state, read_run(tmp_path).state_text) == ("PAUSED", "paused at epoch 2 of 4")
    assert sorted(read_curve(tmp_path, "val/accuracy")) == [1, 2]
    (found,) = find_runs("cifar_sweeps", store).runs
    assert (found.state, found.is_paused, found.finished) == ("paused", True, False)
    with pytest.raises(
        TrackingError, match=r"is paused at epoch 2 of 4, and has no trained model .*cifar-sweeps resume"
    ):
        open_trained_run(paused.run_id, store)

    train(tmp_path)
    resumed = store.client().get_run(paused.run_id)
    assert EARLY_STOPPED not in resumed.data.tags
    assert "test/accuracy" in resumed.data.metrics
    assert read_run(tmp_path).state == "FINISHED"


def test_a_run_that_was_killed_after_the_checkpoint_of_its_pause_pauses_without_another_epoch(tmp_path, monkeypatch):
    from cifar_sweeps.runs import run as module

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_pause", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, until=2)
    assert read_run(tmp_path).state == "KILLED"
    monkeypatch.undo()
    assert train(tmp_path, until=2).paused_at == 2
    assert sorted(read_curve(tmp_path, "val/accuracy")) == [1, 2]


def test_a_run_of_that_length_or_one_that_stops_by_itself_does_not_pause(tmp_path):
    assert train(tmp_path / "whole", until=4).paused_at is None
    patient = ("trainer.early_stopping.patience=1", "optimizer=sgd", "optimizer.lr=0.00001")
    stopped = train(tmp_path / "stopped", *patient, until=2)
    assert (stopped.paused_at, len(stopped.history)) == (None, 2)
    assert "test/accuracy" in stopped.metrics


@pytest.mark.parametrize(
    ("tags", "command"),
    [
        ({}, "cifar-sweeps resume 0123abcd"),
        ({"cifar_sweeps.sweep_id": "s", "cifar_sweeps.job": "3"}, "cifar-sweeps resume s"),
        ({"cifar_sweeps.sweep_id": "s", "cifar_sweeps.job": "3", EARLY_STOPPED: "4"}, "cifar-sweeps promote s 3"),
    ],
    ids=["single", "stopped job", "paused job"],
)
def test_what_is_not_finished_is_named_with_the_command_that_finishes_it(tags, command):
    assert finish_command("0123abcdef", tags) == command
