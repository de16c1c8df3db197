"""One run in this process, without MLflow: training, test and output."""

import dataclasses
import os

import pytest
import torch
from running import SMALL, JournalContents, train, weights

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.runs.identity import training_hash
from cifar_sweeps.runs.setup import build_setup
from cifar_sweeps.tracking import journal
from cifar_sweeps.training.loop import evaluate
from cifar_sweeps.training.metrics import DivergedError


def test_the_test_set_is_evaluated_once_at_the_last_epoch(tmp_path):
    result, contents = train(tmp_path)
    assert [step for step, _ in contents.metrics["test/accuracy"]] == [4]
    assert result.val_accuracy == contents.metrics["val/accuracy"][-1][1]
    assert contents.state == "FINISHED"


def test_the_best_weights_are_tested_if_selected(tmp_path):
    # At this rate the net gets worse after its best epoch.
    overrides = ("trainer.select=best", "optimizer.lr=0.05", "seed=1")
    result, contents = train(tmp_path, *overrides)
    accuracies = dict(contents.metrics["val/accuracy"])
    best = max(accuracies, key=lambda epoch: accuracies[epoch])
    assert contents.metrics["best/epoch"][0][1] == best
    assert [step for step, _ in contents.metrics["test/accuracy"]] == [best]
    assert result.val_accuracy == accuracies[best]
    net = build.model(compose([*SMALL, *overrides]))
    net.load_state_dict(weights(tmp_path / "checkpoints" / "best.pt"))
    setup = build_setup(compose([*SMALL, *overrides]))
    tested = evaluate(net.to(memory_format=torch.channels_last), setup.test_batches(), setup.precision)
    assert contents.metrics["test/loss"][0][1] == pytest.approx(tested.loss)
    assert best < 4  # else the last weights would pass as well


def test_the_test_set_is_evaluated_at_the_configured_epochs(tmp_path):
    plain, _ = train(tmp_path / "a")
    result, contents = train(tmp_path / "b", "trainer.test_at=[1,3,4]")
    assert [step for step, _ in contents.metrics["test/accuracy"]] == [1, 3, 4]
    assert result.metrics["test/loss"] == plain.metrics["test/loss"]  # the evaluations have changed nothing


def test_augmented_test_images_have_their_own_metrics(tmp_path):
    plain, _ = train(tmp_path / "a", "augmentation=rotate_shift_flip")
    result, contents = train(tmp_path / "b", "augmentation=rotate_shift_flip", "trainer.test_augmented=true")
    assert result.metrics["test/loss"] == plain.metrics["test/loss"]
    assert result.metrics["test_augmented/loss"] != result.metrics["test/loss"]
    assert "test_augmented/accuracy" in contents.metrics
    assert [
        step
        for step, _ in train(
            tmp_path / "c", "augmentation=flip_crop", "trainer.test_augmented=true", "trainer.test_at=[2]"
        )[1].metrics["test_augmented/loss"]
    ] == [2, 4]
    assert "test_augmented/accuracy" not in plain.metrics


def test_parts_are_trained_in_turn_with_one_optimizer_state(tmp_path):
    result, contents = train(tmp_path, "trainer.parts=3", "trainer.epochs=2")
    assert [metrics.epoch for metrics in result.history] == [1, 2, 3, 4, 5, 6]
    state = weights(tmp_path / "checkpoints" / "last.pt")["optimizer"]["state"]
    steps = {int(entry["step"]) for entry in state.values()}
    assert steps == {6}  # 150 images in three parts of 50, one step of 64 each; two epochs a part
    setup = build_setup(compose([*SMALL, "trainer.parts=3", "trainer.epochs=2"]))
    seen = [sum(len(labels) for _, labels in setup.train.epoch(epoch)) for epoch in range(1, 7)]
    assert seen == [50] * 6
    assert "trainer.parts=3" in contents.tags["cifar_sweeps.split_notes"]


def test_validation_on_the_test_set_is_tagged_and_selects_nothing(tmp_path):
    result, contents = train(tmp_path, "data.split=test")
    assert contents.tags["cifar_sweeps.validated_on"] == "test"
    assert result.metrics["val/accuracy"] == result.metrics["test/accuracy"]
    with pytest.raises(ConfigError) as caught:
        compose([*SMALL, "data.split=test", "trainer.select=best", "trainer.early_stopping.patience=2"])
    assert len(caught.value.errors) == 2


def test_epochs_without_validation_have_no_validation_metrics(tmp_path):
    _, contents = train(tmp_path, "trainer.validate_every=3")
    assert [step for step, _ in contents.metrics["val/accuracy"]] == [3, 4]
    assert [step for step, _ in contents.metrics["train/accuracy"]] == [1, 2, 3, 4]


def test_early_stopping_ends_a_run_that_no_longer_improves(tmp_path):
    overrides = ("trainer.early_stopping.patience=1", "trainer.early_stopping.min_delta=1.0", "trainer.epochs=9")
    result, contents = train(tmp_path, *overrides)
    assert len(result.history) == 2
    assert [step for step, _ in contents.metrics["test/accuracy"]] == [2]


def test_a_run_without_validation_data(tmp_path):
    result, contents = train(tmp_path, "data.val_fraction=0")
    assert result.val_accuracy is None
    assert not {"val/loss", "val/accuracy", "best/val_accuracy"} & set(contents.metrics)
    assert not (tmp_path / "checkpoints" / "best.pt").exists()


def test_the_order_of_images_changes_with_the_seed_alone(tmp_path):
    losses = []
    for attempt, seed in enumerate((0, 0, 1)):
        result, _ = train(tmp_path / str(attempt), f"seed={seed}", "augmentation=rotate_shift_flip")
        losses.append([metrics.train_loss for metrics in result.history])
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adamax", "rmsprop"])
def test_every_optimizer_lowers_the_loss_in_every_precision(tmp_path, optimizer, precision):
    rate = "0.01" if optimizer == "sgd" else "0.003"
    overrides = (f"optimizer={optimizer}", f"optimizer.lr={rate}", f"trainer.precision={precision}", "trainer.epochs=6")
    result, _ = train(tmp_path, *overrides, "data.source.label_noise=0")
    assert result.history[-1].train_loss < result.history[0].train_loss


def test_a_diverged_run_is_recorded_as_failed_with_epoch_and_step(tmp_path):
    with pytest.raises(DivergedError):
        train(tmp_path, "optimizer=sgd", "optimizer.lr=1e30")
    contents = JournalContents(tmp_path)
    assert contents.state == "FAILED"
    assert "diverged" in contents.reason
    assert contents.tags["cifar_sweeps.failed_epoch"] == "1"
    assert int(contents.tags["cifar_sweeps.failed_step"]) >= 1
    assert "test/accuracy" not in contents.metrics


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.num_classes=7"], "set model.num_classes=10"),
        (["data.train_size=1000"], "data.train_size=1000"),
        (["lr_schedule=plateau", "data.val_fraction=0"], "follows the validation loss"),
    ],
    ids=["classes", "train size", "plateau"],
)
def test_errors_that_need_the_data_are_raised_before_anything_is_recorded(tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        train(tmp_path, *overrides)
    assert not (tmp_path / journal.NAME).exists()


@pytest.mark.parametrize(("keep", "left"), [("all", {"best", "last"}), ("best", {"best"}), ("last", {"last"})])
def test_the_configured_checkpoints_are_kept(tmp_path, keep, left):
    train(tmp_path, f"tracking.keep={keep}", "trainer.epochs=1")
    assert {path.stem for path in (tmp_path / "checkpoints").iterdir()} == left
    recorded = [entry.fields["path"] for entry in journal.read(tmp_path) if entry.op == "artifact"]
    assert {path for path in recorded if "checkpoints" in path} == {f"checkpoints/{name}.pt" for name in left}


@pytest.mark.parametrize("select", ["last", "best"])
def test_of_the_weights_that_were_tested_alone_nothing_else_is_kept(tmp_path, select):
    train(tmp_path, "tracking.keep=tested", "trainer.epochs=2", f"trainer.select={select}")
    [path] = (tmp_path / "checkpoints").iterdir()
    assert path.stem == select
    state = torch.load(path, weights_only=True)
    assert "optimizer" not in state
    whole = tmp_path / "whole"
    train(whole, "tracking.keep=all", "trainer.epochs=2", f"trainer.select={select}")
    tested = torch.load(whole / f"checkpoints/{select}.pt", weights_only=True)
    one, other = (each.get("model", each) for each in (state, tested))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_without_validation_data_the_last_checkpoint_is_kept_instead_of_the_best(tmp_path):
    train(tmp_path, "tracking.keep=best", "trainer.epochs=1", "data.val_fraction=0")
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
        (["lr_schedule=cosine"], False),
        (["augmentation=flip_crop"], False),
        (["regularization=l2"], False),
        (["kernel_size=k5"], False),
        (["trainer.select=best"], False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_training_hash_ignores_what_cannot_change_the_result(overrides, is_same):
    plain, changed = compose([*SMALL]), compose([*SMALL, *overrides])
    assert (training_hash(plain, "images") == training_hash(changed, "images")) == is_same
    assert training_hash(plain, "images") != training_hash(plain, "other images")


def test_a_precision_chosen_automatically_has_the_training_hash_of_the_configured_one(tmp_path, monkeypatch):
    def hash_with(precision):
        return training_hash(compose([*SMALL, "trainer.device=cpu", f"trainer.precision={precision}"]), "images")

    for flags, chosen, other in (("avx512_bf16", "bf16", "fp32"), ("avx2", "fp32", "bf16")):
        (tmp_path / "cpuinfo").write_text(f"flags\t: {flags}\n")
        monkeypatch.setattr("cifar_sweeps.training.precision.CPU_FLAGS", tmp_path / "cpuinfo")
        assert hash_with("auto") == hash_with(chosen) != hash_with(other)


def test_a_device_chosen_automatically_is_part_of_the_training_hash(monkeypatch):
    hashes = set()
    for has_cuda in (False, True):
        monkeypatch.setattr("torch.cuda.is_available", lambda has_cuda=has_cuda: has_cuda)
        hashes.add(training_hash(compose([*SMALL, "trainer.device=auto"]), "images"))
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("model", "key"), [("vgg16_block3", "model.weights"), ("plain_3", "trainer.init_from")], ids=["weights", "start"]
)
def test_the_training_hash_uses_the_content_of_weight_files(tmp_path, model, key):
    def hash_with(name, content):
        (tmp_path / name).write_bytes(content)
        return training_hash(compose([f"model={model}", f"{key}={tmp_path / name}"]), "images")

    first = hash_with("a.pth", b"some weights")
    assert hash_with("b.pth", b"some weights") == first
    assert hash_with("a.pth", b"other weights") != first


def test_the_training_hash_covers_the_user_s_own_modules_and_the_files_that_they_are_given(tmp_path, monkeypatch):
    module, weights = tmp_path / "ownnets.py", tmp_path / "w.pt"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CIFAR_SWEEPS_ALLOW_TARGETS", "ownnets")
    config = compose([])

    def hash_now(source="class Net: ...", content=b"a", **arguments):
        module.write_text(source)
        weights.write_bytes(content)
        os.utime(module, ns=(0, module.stat().st_mtime_ns + len(source)))
        os.utime(weights, ns=(0, weights.stat().st_mtime_ns + content[0]))
        model = {"_target_": "ownnets.Net", "start": str(weights), "root": 1, "cache": "x", **arguments}
        return training_hash(dataclasses.replace(config, as_dict={**config.as_dict, "model": model}), "images")

    hashes = [
        hash_now(),
        hash_now(source="class Net:  # another one\n    ..."),
        hash_now(content=b"b"),
        hash_now(root=2),
        hash_now(cache="y"),
    ]
    assert len(set(hashes)) == len(hashes)
    assert hash_now() == hashes[0]
