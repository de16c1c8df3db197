"""Initial weights from a file, a run or an experiment."""

import pytest
import torch
from conftest import TINY
from running import SMALL, train, weights

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError, TrainingError
from cifar_sweeps.runs.initial_weights import pretraining_config, resolve_initial_weights
from cifar_sweeps.runs.reporters import LogReporter
from cifar_sweeps.runs.run import run
from cifar_sweeps.runs.setup import build_setup


@pytest.mark.parametrize("file", ["last.pt", "best.pt"])
def test_a_run_starts_from_the_weights_of_a_file_with_a_fresh_optimizer(tmp_path, file):
    train(tmp_path / "first")
    path = tmp_path / "first" / "checkpoints" / file
    setup = build_setup(compose(SMALL), path)
    held = weights(path)
    held = held.get("model", held)
    assert all(torch.equal(value, held[name]) for name, value in setup.net.state_dict().items())
    assert setup.optimizer.optimizer.state == {}
    result, _ = train(tmp_path / "second", f"trainer.init_from={path}")
    assert result.history[0].train_loss < train(tmp_path / "anew")[0].history[0].train_loss


def test_the_weights_of_an_experiment_are_those_of_its_own_run(tmp_path, outputs):
    small = ("data=synthetic", *TINY[:2], "trainer.threads=1", "analysis.pictures=false")
    first = run(compose(["experiment=base_cnn/base", *small, "tracking=none"]), folder=tmp_path / "first")
    config = compose(["experiment=base_cnn/longer", *small, "tracking=none"])
    path = resolve_initial_weights(config, LogReporter())
    held, own = weights(path), weights(tmp_path / "first" / "checkpoints" / "last.pt")["model"]
    assert all(torch.equal(held[name], own[name]) for name in own)
    before = path.stat().st_mtime_ns
    run(config, folder=tmp_path / "second")
    assert path.stat().st_mtime_ns == before  # it was trained once
    assert first.history[-1].epoch == 2


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/nowhere/last.pt", "no such file or experiment"),
        ("a_run_that_is_not", "trainer.init_from=a_run_that_is_not: "),
        ("case_study/model_3", "has a different model"),
    ],
    ids=["file", "run", "experiment"],
)
def test_missing_initial_weights_are_an_error_before_training(tmp_path, source, message):
    with pytest.raises(ConfigError) as caught:
        train(tmp_path, f"trainer.init_from={source}")
    assert message in str(caught.value)


def test_overrides_apply_to_the_pretraining_as_well():
    overrides = ("data=synthetic", "seed=3", "optimizer.lr=0.002", "data.image_size=16", "regularization.l2=0.001")
    first = pretraining_config(compose(["experiment=base_cnn/augmented", *overrides, "augmentation.degrees=5"]))
    assert (first.seed, first.optimizer["lr"], first.regularization.l2) == (3, 0.002, 0.001)
    assert (first.data.image_size, first.model["image_size"]) == (16, 16)
    assert first.augmentation["_target_"] == "cifar_sweeps.data.Unchanged"
    assert first.trainer.init_from is None


def test_weights_of_another_model_are_refused(tmp_path):
    train(tmp_path / "first")
    path = tmp_path / "first" / "checkpoints" / "best.pt"
    with pytest.raises(TrainingError, match="holds the weights of another model"):
        train(tmp_path / "second", f"trainer.init_from={path}", "model.dense=[32]")


def test_a_run_that_kept_only_its_best_checkpoint_names_the_file_to_start_from(outputs):
    overrides = [*(each for each in SMALL if each != "tracking=none"), "trainer.epochs=1", "tracking.keep=best"]
    first = run(compose(overrides), name="kept its best")
    best = first.folder / "checkpoints" / "best.pt"
    with pytest.raises(ConfigError, match="kept only its best checkpoint") as caught:
        run(compose([*overrides, f"trainer.init_from={first.run_id}"]))
    assert f"trainer.init_from={best}" in str(caught.value)
