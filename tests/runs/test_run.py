"""One run in this process, without MLflow: what it trains, tests and leaves."""

import pytest
import torch
from running import SMALL, Told, trained, weights

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.runs.identity import training_hash
from cifar_sweeps.runs.setup import build_setup
from cifar_sweeps.tracking import journal
from cifar_sweeps.training.loop import evaluate
from cifar_sweeps.training.metrics import DivergedError


def test_the_test_set_is_opened_once_for_the_last_epoch(tmp_path):
    result, told = trained(tmp_path)
    assert [step for step, _ in told.by_metric["test/accuracy"]] == [4]
    assert result.val_accuracy == told.by_metric["val/accuracy"][-1][1]
    assert told.state == "FINISHED"


def test_the_best_weights_are_tested_where_they_are_selected(tmp_path):
    # At this rate the net gets worse after its best epoch.
    overrides = ("trainer.select=best", "optimizer.lr=0.05", "seed=1")
    result, told = trained(tmp_path, *overrides)
    accuracies = dict(told.by_metric["val/accuracy"])
    best = max(accuracies, key=lambda epoch: accuracies[epoch])
    assert told.by_metric["best/epoch"][0][1] == best
    assert [step for step, _ in told.by_metric["test/accuracy"]] == [best]
    assert result.val_accuracy == accuracies[best]
    net = build.model(compose([*SMALL, *overrides]))
    net.load_state_dict(weights(tmp_path / "checkpoints" / "best.pt"))
    setup = build_setup(compose([*SMALL, *overrides]))
    tested = evaluate(net.to(memory_format=torch.channels_last), setup.test_batches(), setup.precision)
    assert told.by_metric["test/loss"][0][1] == pytest.approx(tested.loss)
    assert best < 4  # or the last weights would have done as well


def test_the_test_set_is_opened_at_the_epochs_that_were_named(tmp_path):
    plain, _ = trained(tmp_path / "a")
    result, told = trained(tmp_path / "b", "trainer.test_at=[1,3,4]")
    assert [step for step, _ in told.by_metric["test/accuracy"]] == [1, 3, 4]
    assert result.metrics["test/loss"] == plain.metrics["test/loss"]  # opening it has changed nothing


def test_augmented_test_images_have_a_figure_of_their_own(tmp_path):
    plain, _ = trained(tmp_path / "a", "augmentation=rotate_shift_flip")
    result, told = trained(tmp_path / "b", "augmentation=rotate_shift_flip", "trainer.test_augmented=true")
    assert result.metrics["test/loss"] == plain.metrics["test/loss"]
    assert result.metrics["test_augmented/loss"] != result.metrics["test/loss"]
    assert "test_augmented/accuracy" in told.by_metric
    assert [
        step
        for step, _ in trained(
            tmp_path / "c", "augmentation=flip_crop", "trainer.test_augmented=true", "trainer.test_at=[2]"
        )[1].by_metric["test_augmented/loss"]
    ] == [2, 4]
    assert "test_augmented/accuracy" not in plain.metrics


def test_parts_are_trained_one_after_another_and_the_optimizer_goes_on(tmp_path):
    result, told = trained(tmp_path, "trainer.parts=3", "trainer.epochs=2")
    assert [metrics.epoch for metrics in result.history] == [1, 2, 3, 4, 5, 6]
    state = weights(tmp_path / "checkpoints" / "last.pt")["optimizer"]["state"]
    steps = {int(entry["step"]) for entry in state.values()}
    assert steps == {6}  # 150 images in three parts of 50, one step of 64 each; two epochs a part
    setup = build_setup(compose([*SMALL, "trainer.parts=3", "trainer.epochs=2"]))
    seen = [sum(len(labels) for _, labels in setup.train.epoch(epoch)) for epoch in range(1, 7)]
    assert seen == [50] * 6
    assert "trainer.parts=3" in told.tagged["cifar_sweeps.split_notes"]


def test_validation_on_the_test_set_is_marked_and_selects_nothing(tmp_path):
    result, told = trained(tmp_path, "data.split=test")
    assert told.tagged["cifar_sweeps.validated_on"] == "test"
    assert result.metrics["val/accuracy"] == result.metrics["test/accuracy"]
    with pytest.raises(ConfigError) as caught:
        compose([*SMALL, "data.split=test", "trainer.select=best", "trainer.early_stopping.patience=2"])
    assert len(caught.value.errors) == 2


def test_epochs_that_are_not_validated_have_no_validation_figures(tmp_path):
    _, told = trained(tmp_path, "trainer.validate_every=3")
    assert [step for step, _ in told.by_metric["val/accuracy"]] == [3, 4]
    assert [step for step, _ in told.by_metric["train/accuracy"]] == [1, 2, 3, 4]


def test_early_stopping_ends_a_run_that_no_longer_improves(tmp_path):
    overrides = ("trainer.early_stopping.patience=1", "trainer.early_stopping.min_delta=1.0", "trainer.epochs=9")
    result, told = trained(tmp_path, *overrides)
    assert len(result.history) == 2
    assert [step for step, _ in told.by_metric["test/accuracy"]] == [2]


def test_a_run_without_validation_data(tmp_path):
    result, told = trained(tmp_path, "data.val_fraction=0")
    assert result.val_accuracy is None
    assert not {"val/loss", "val/accuracy", "best/val_accuracy"} & set(told.by_metric)
    assert not (tmp_path / "checkpoints" / "best.pt").exists()


def test_the_order_of_images_changes_with_the_seed_alone(tmp_path):
    losses = []
    for attempt, seed in enumerate((0, 0, 1)):
        result, _ = trained(tmp_path / str(attempt), f"seed={seed}", "augmentation=rotate_shift_flip")
        losses.append([metrics.train_loss for metrics in result.history])
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adamax", "rmsprop"])
def test_every_optimizer_lowers_the_loss_in_every_precision(tmp_path, optimizer, precision):
    rate = "0.01" if optimizer == "sgd" else "0.003"
    overrides = (f"optimizer={optimizer}", f"optimizer.lr={rate}", f"trainer.precision={precision}", "trainer.epochs=6")
    result, _ = trained(tmp_path, *overrides, "data.source.label_noise=0")
    assert result.history[-1].train_loss < result.history[0].train_loss


def test_a_diverged_run_is_recorded_as_failed_with_epoch_and_step(tmp_path):
    with pytest.raises(DivergedError):
        trained(tmp_path, "optimizer=sgd", "optimizer.lr=1e30")
    told = Told(tmp_path)
    assert told.state == "FAILED"
    assert "diverged" in told.reason
    assert told.tagged["cifar_sweeps.failed_epoch"] == "1"
    assert int(told.tagged["cifar_sweeps.failed_step"]) >= 1
    assert "test/accuracy" not in told.by_metric


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.num_classes=7"], "set model.num_classes=10"),
        (["data.train_size=1000"], "data.train_size=1000"),
        (["lr_schedule=plateau", "data.val_fraction=0"], "follows the validation loss"),
    ],
    ids=["classes", "train size", "plateau"],
)
def test_what_only_the_data_can_tell_is_told_before_a_record_is_opened(tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        trained(tmp_path, *overrides)
    assert not (tmp_path / journal.NAME).exists()


@pytest.mark.parametrize(("keep", "left"), [("all", {"best", "last"}), ("best", {"best"}), ("last", {"last"})])
def test_the_checkpoints_stay_that_are_wanted(tmp_path, keep, left):
    trained(tmp_path, f"tracking.keep={keep}", "trainer.epochs=1")
    assert {path.stem for path in (tmp_path / "checkpoints").iterdir()} == left
    recorded = [entry.fields["path"] for entry in journal.read(tmp_path) if entry.op == "artifact"]
    assert {path for path in recorded if "checkpoints" in path} == {f"checkpoints/{name}.pt" for name in left}


def test_without_validation_data_the_last_checkpoint_stays_for_the_best(tmp_path):
    trained(tmp_path, "tracking.keep=best", "trainer.epochs=1", "data.val_fraction=0")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.pt"]


@pytest.mark.parametrize(
    ("overrides", "is_same"),
    [
        (["outputs=/elsewhere", "study_name=x", "tracking.uri=sqlite:////x.db", "tracking.keep=last"], True),
        (
            ["sweep.retries=3", "sweep.timeout=9", "sweep.rerun=all", "analysis.pictures=true", "trainer.resume=never"],
            True,
        ),
        (["budget=short", "budget.epochs=1.0", "budget.images=1.0"], True),
        (["seed=1"], False),
        (["trainer.threads=2"], False),
        (["trainer.eval_batch_size=100"], False),
        (["optimizer.lr=0.002"], False),
        (["data.val_fraction=0.2"], False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_two_runs_are_the_same_training_whatever_cannot_change_the_result(overrides, is_same):
    plain, changed = compose([*SMALL]), compose([*SMALL, *overrides])
    assert (training_hash(plain, "images") == training_hash(changed, "images")) == is_same
    assert training_hash(plain, "images") != training_hash(plain, "other images")


@pytest.mark.parametrize(
    ("model", "key"), [("vgg16_block3", "model.weights"), ("plain_3", "trainer.init_from")], ids=["weights", "start"]
)
def test_a_file_of_weights_counts_by_what_it_holds(tmp_path, model, key):
    def identity_with(name, content):
        (tmp_path / name).write_bytes(content)
        return training_hash(compose([f"model={model}", f"{key}={tmp_path / name}"]), "images")

    first = identity_with("a.pth", b"some weights")
    assert identity_with("b.pth", b"some weights") == first
    assert identity_with("a.pth", b"other weights") != first
