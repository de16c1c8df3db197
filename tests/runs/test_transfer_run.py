"""A run with a frozen backbone, in this process: it trains on cached features, and tests and keeps the whole net."""

import logging

import pytest
import torch

from cifar_sweeps.config.compose import compose
from cifar_sweeps.models import transfer_vgg16
from cifar_sweeps.runs.reporters import LogReporter
from cifar_sweeps.runs.run import run
from cifar_sweeps.runs.setup import build_setup
from cifar_sweeps.training.loop import evaluate


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    backbone = transfer_vgg16(cut="block2_pool", weights="none").backbone
    drawn = backbone.layers.state_dict()
    held = {theirs: drawn[own] for own, theirs in backbone._file_keys.items()}
    torch.save(held, path)
    return path


@pytest.fixture
def small(weights):
    return (
        "data.source.train_images=200",
        "data.source.test_images=60",
        "model=vgg16_block3",
        f"model.weights={weights}",
        "model.cut=block2_pool",
        "model.pool=average",
        "trainer.epochs=3",
        "trainer.precision=fp32",
        "trainer.threads=1",
        "analysis.pictures=false",
        "tracking=none",
    )


def feature_files(folder):
    return sorted(path.name for path in (folder / "data" / "features").glob("*.bin"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_replace_the_images(small, outputs, precision):
    override = f"trainer.precision={precision}"
    cached = build_setup(compose([*small, override]))
    direct = build_setup(compose([*small, override, "augmentation=flip_crop"]))
    assert len(feature_files(outputs)) == 1  # augmented images differ each time
    (features, labels), *_ = cached.val
    (images, same_labels), *_ = direct.val
    assert torch.equal(labels, same_labels)
    assert (features.shape, images.shape) == ((50, 128), (50, 3, 32, 32))
    apart = (evaluate(setup.net, setup.val, setup.precision).logits for setup in (cached, direct))
    torch.testing.assert_close(*apart, atol=1e-5, rtol=1e-5)


def test_jobs_share_features_and_the_kept_weights_are_tested(small, outputs, tmp_path, caplog):
    caplog.set_level(logging.INFO, "cifar_sweeps.data.frozen_features")
    results = []
    for number, override in enumerate(("optimizer.lr=0.001", "optimizer.lr=0.01")):
        config = compose([*small, override, "trainer.select=best"])
        folder = tmp_path / str(number)
        results.append(run(config, name="a", folder=folder, reporter=LogReporter()))
    assert (
        sum("pass through the frozen layers once" in message for message in caplog.messages) == 2
    )  # training side, test side
    assert len(feature_files(outputs)) == 2

    # The test on features equals that of the whole net on the images.
    setup = build_setup(compose([*small, "augmentation=flip_crop"]))
    kept = torch.load(tmp_path / "1" / "checkpoints" / "best.pt", weights_only=True)
    assert {name.split(".")[0] for name in kept} == {"head"}
    setup.net.load_state_dict(kept)
    tested = evaluate(setup.net, setup.test_batches(), setup.precision)
    assert tested.accuracy == results[1].metrics["test/accuracy"]
    assert tested.loss == pytest.approx(results[1].metrics["test/loss"], rel=1e-4)


def test_a_run_repeats_bit_for_bit_with_new_and_with_cached_features(small, tmp_path):
    histories = []
    for name in ("new", "cached"):
        result = run(compose([*small]), name=name, folder=tmp_path / name, reporter=LogReporter())
        histories.append([(epoch.train_loss, epoch.val_loss) for epoch in result.history])
    assert histories[0] == histories[1]


def test_it_starts_from_the_weights_of_another_run(small, tmp_path):
    first = run(compose([*small]), name="a", folder=tmp_path / "a", reporter=LogReporter())
    start = f"trainer.init_from={tmp_path / 'a' / 'checkpoints' / 'last.pt'}"
    second = run(compose([*small, start]), name="b", folder=tmp_path / "b", reporter=LogReporter())
    assert second.history[0].train_loss < first.history[0].train_loss
