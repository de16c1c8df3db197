import os

import pytest
import torch
from training_toys import OPTIMIZERS, ToyBatches, clone_state, identical, toy_model, toy_optimizer

from cifar_sweeps.errors import TrainingError
from cifar_sweeps.training import checkpoint_file
from cifar_sweeps.training.checkpoint_file import load, restore, save
from cifar_sweeps.training.checkpoint_manager import CheckpointManager
from cifar_sweeps.training.loop import fit
from cifar_sweeps.training.metrics import EpochMetrics
from cifar_sweeps.training.precision import BF16, FP32
from cifar_sweeps.training.schedules import Constant, Cosine, Plateau, Step

SCHEDULES = {
    "constant": Constant,
    "step": lambda: Step([3], 0.1),
    "cosine": lambda: Cosine(4, 1),
    "plateau": lambda: Plateau(0.5, 1, min_delta=1.0),
}
DECAYS = {"l2": 0.01, "l1": 0.001, "weight_decay": 0.01}


def epoch_metrics(epoch=1, val_accuracy=None):
    return EpochMetrics(epoch, 1.0, 0.5, None, val_accuracy, None, None, 0.1, 2.0, 10.0)


def train(folder, optimizer="sgd", schedule="constant", until=4, resume=False, precision=FP32):
    """Train to epoch ``until`` of 4, from last.pt if asked to; return the weights and the metrics without times."""
    model, batches, rate = toy_model(seed=1 if resume else 0), ToyBatches(), SCHEDULES[schedule]()
    model = model.to(memory_format=torch.channels_last)
    step = toy_optimizer(model, optimizer, **DECAYS)
    files = CheckpointManager(folder, {"seed": 0})
    first = len(files.restore_latest(model, step, rate, pytest.fail)) + 1 if resume else 1
    run = fit(
        model, batches, step, rate, epochs=until, val_batches=batches, first_epoch=first, seed=0, precision=precision
    )
    for metrics in run:
        files.save(model, step, rate, metrics)
    files.finish()
    saved = checkpoint_file.load(files.last)["metrics"]
    times = ("epoch_seconds", "images_per_second")
    return clone_state(model), [{key: epoch[key] for key in epoch if key not in times} for epoch in saved], files


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resume_gives_the_weights_of_an_uninterrupted_training_bit_for_bit(tmp_path, optimizer, schedule):
    (tmp_path / "whole").mkdir()
    whole, metrics, files = train(tmp_path / "whole", optimizer, schedule)
    train(tmp_path, optimizer, schedule, until=2)
    resumed, resumed_metrics, resumed_files = train(tmp_path, optimizer, schedule, resume=True)
    assert identical(whole, resumed)
    assert metrics == resumed_metrics
    assert (files.best_epoch, files.best_accuracy) == (resumed_files.best_epoch, resumed_files.best_accuracy)
    assert identical(checkpoint_file.load(files.best), checkpoint_file.load(resumed_files.best))


def test_a_resume_in_bf16_is_bit_identical_too(tmp_path):
    (tmp_path / "whole").mkdir()
    whole, _, _ = train(tmp_path / "whole", precision=BF16)
    train(tmp_path, until=2, precision=BF16)
    resumed, _, _ = train(tmp_path, resume=True, precision=BF16)
    assert identical(whole, resumed)


def test_restore_returns_the_next_epoch_and_the_metrics_of_those_before_it(tmp_path):
    _, _, files = train(tmp_path, until=2)
    model = toy_model()
    epoch, history = restore(files.last, model, toy_optimizer(model), Constant())
    assert (epoch, [metrics["epoch"] for metrics in history]) == (3, [1, 2])


def test_last_holds_what_a_resume_needs_and_best_holds_weights_alone(tmp_path):
    weights, _, files = train(tmp_path)
    last = torch.load(files.last, weights_only=True)
    assert set(last) == {"model", "optimizer", "schedule", "epoch", "config", "metrics", "best"}
    assert (last["epoch"], last["config"]) == (4, {"seed": 0})
    assert [metrics["epoch"] for metrics in last["metrics"]] == [1, 2, 3, 4]
    assert identical(dict(last["model"]), weights)
    best = torch.load(files.best, weights_only=True)
    assert best.keys() == weights.keys()


@pytest.mark.parametrize(
    ("accuracies", "best_epoch"),
    [([0.1, 0.3, 0.2], 2), ([0.3, 0.3, 0.3], 1), ([0.0, 0.0, 0.1], 3)],
    ids=["highest", "earliest_of_equals", "from_zero"],
)
def test_best_is_the_epoch_of_the_highest_validation_accuracy(tmp_path, accuracies, best_epoch):
    files, model = CheckpointManager(tmp_path), toy_model()
    for epoch, accuracy in enumerate(accuracies, start=1):
        model[0].weight.data.fill_(epoch)
        files.save(model, toy_optimizer(model), Constant(), epoch_metrics(epoch, accuracy))
    files.finish()
    assert (files.best_epoch, files.best_accuracy) == (best_epoch, max(accuracies))
    assert checkpoint_file.load(files.best)["0.weight"].unique().tolist() == [best_epoch]


def test_without_validation_data_nothing_is_best(tmp_path):
    files, model = CheckpointManager(tmp_path), toy_model()
    files.save(model, toy_optimizer(model), Constant(), epoch_metrics())
    files.finish()
    assert files.best_epoch is None
    assert not files.best.exists()
    assert files.last.exists()


@pytest.mark.parametrize("step", ["write", "sync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "last.pt"
    checkpoint_file.save(path, {"epoch": 1})

    def no_space(*_, **__):
        raise OSError(28, "No space left on device")

    def half_a_file(payload, file):
        file.write(b"half")
        no_space()

    if step == "write":
        monkeypatch.setattr(torch, "save", half_a_file)
    elif step == "sync":
        monkeypatch.setattr(os, "fsync", no_space)
    else:
        monkeypatch.setattr("pathlib.Path.replace", no_space)
    with pytest.raises(TrainingError, match=r"last\.pt: cannot be written .*No space left"):
        checkpoint_file.save(path, {"epoch": 2})
    assert checkpoint_file.load(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "missing", "pickled_code"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "last.pt"
    checkpoint_file.save(path, {"weights": torch.rand(1000)})
    whole = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("not a checkpoint")
    elif damage == "missing":
        path.unlink()
    else:
        torch.save({"call": os.system}, path)
    with pytest.raises(TrainingError, match=r"last\.pt: is not a whole checkpoint"):
        checkpoint_file.load(path)


@pytest.mark.parametrize("change", ["model", "schedule", "weights_alone"])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, change):
    _, _, files = train(tmp_path, until=1)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5)) if change == "model" else toy_model()
    schedule = Plateau() if change == "schedule" else Constant()
    path = files.best if change == "weights_alone" else files.last
    with pytest.raises(TrainingError, match="does not fit this run's model, optimizer or schedule"):
        restore(path, model, toy_optimizer(model), schedule)


def test_compressed_weights_are_smaller_and_read_as_any_others_by_torch_alone(tmp_path):
    plain, small = tmp_path / "plain.pt", tmp_path / "small.pt"
    shared = torch.randn(64, 1000)
    payload = {"weight": shared, "same": shared, "half": shared.bfloat16(), "count": torch.tensor(3), "text": "a ✓"}
    save(plain, payload)
    save(small, payload, is_compressed=True)
    assert small.stat().st_size < 0.95 * plain.stat().st_size
    for loaded in (load(small), torch.load(small, weights_only=True)):
        assert loaded["weight"].data_ptr() == loaded["same"].data_ptr()
        assert loaded["text"] == payload["text"]
        assert all(torch.equal(loaded[key], payload[key]) for key in ("weight", "same", "half", "count"))
    half = small.read_bytes()[: small.stat().st_size // 2]
    small.write_bytes(half)
    with pytest.raises(TrainingError, match="is not a whole checkpoint"):
        load(small)
