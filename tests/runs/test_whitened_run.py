"""A run with data.whitening: one fit for training, validation, tests, a resumed run, and whatever opens it later."""

import shutil

import mlflow
import numpy as np
import pytest
import torch
from running import SMALL, train, weights

import cifar_sweeps
from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.parse import config_hash
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.runs.reporters import LogReporter
from cifar_sweeps.runs.run import run
from cifar_sweeps.runs.setup import build_setup
from cifar_sweeps.runs.trained_run import open_trained_run
from cifar_sweeps.tracking.store import Store

WHITENED = ("data.whitening=zca", "data.image_size=8", "data.source.train_images=400", "trainer.precision=bf16")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("whitened") / "outputs"
    config = compose([*SMALL, *WHITENED, "tracking=mlflow", "trainer.epochs=2", f"outputs={outputs}"])
    result = cifar_sweeps.run(config, name="white", progress=False)
    return result, Store.open(outputs)


def as_keras(data, splits, images):
    """ImageDataGenerator's fit on the training images of the split, and standardize; (N, 3, H, W)."""
    train, others = (
        each.permute(0, 2, 3, 1).double().numpy() / 255 for each in (data.train.images[splits.train], images)
    )
    mean = train.mean(axis=(0, 1, 2))
    u, s, _ = np.linalg.svd((train - mean).reshape(len(train), -1).T, full_matrices=False)
    matrix = (u * (np.sqrt(len(train)) / (s + 1e-6))).dot(u.T)
    white = ((others - mean).reshape(len(others), -1) @ matrix).reshape(others.shape)
    return torch.from_numpy(white).permute(0, 3, 1, 2)


def test_training_validation_and_test_images_are_whitened_by_the_training_images(tmp_path):
    setup = build_setup(compose([*SMALL, *WHITENED, f"outputs={tmp_path}"]))
    white = as_keras(setup.data, setup.splits, setup.data.train.images).float()
    assert len(setup.splits.train) == 300
    images, labels = next(setup.train.epoch(1))
    # Which images a batch holds follows from the whitened ones: each must be one of the training images.
    distance = torch.cdist(images.flatten(1), white[setup.splits.train].flatten(1))
    assert distance.min(dim=1).values.max() < 0.05
    found = setup.splits.train[distance.argmin(dim=1)]
    assert torch.equal(setup.data.train.labels[found], labels)
    validation, _ = next(iter(setup.val))
    torch.testing.assert_close(validation, white[setup.splits.val][: len(validation)], atol=2e-3, rtol=0)
    tested, _ = next(iter(setup.test_batches()))
    expected = as_keras(setup.data, setup.splits, setup.data.test.images).float()
    torch.testing.assert_close(tested, expected[: len(tested)], atol=2e-3, rtol=0)


def test_what_opens_the_run_later_whitens_too(trained):
    result, store = trained
    opened = open_trained_run("white", store)
    assert np.array_equal(opened.predict(opened.images.test).probabilities, opened.predictions.probabilities)
    pixels = opened.images.test.images
    served = opened.servable(pixels)
    white = as_keras(opened.images, opened.splits, pixels).float()
    with torch.no_grad():
        torch.testing.assert_close(served, opened.net(white).softmax(1), atol=2e-3, rtol=0)
        torch.testing.assert_close(opened.net(opened.model_input(pixels)).softmax(1), served, atol=1e-4, rtol=0)
    assert opened.predictions.accuracy == pytest.approx(result.metrics["test/accuracy"], abs=0)


def test_the_logged_model_holds_the_matrix(trained, monkeypatch):
    result, store = trained
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    opened = open_trained_run("white", store)
    pixels = np.ascontiguousarray(opened.images.test.images.numpy())
    loaded = mlflow.pyfunc.load_model(f"runs:/{result.run_id}/model")
    np.testing.assert_allclose(loaded.predict(pixels), opened.servable(torch.from_numpy(pixels)).numpy(), atol=1e-4)


class StopAfterEpoch(LogReporter):
    def on_epoch(self, metrics):
        if metrics.epoch == 2:
            raise KeyboardInterrupt


def test_a_resumed_run_is_bit_identical_though_the_fit_was_lost(tmp_path):
    places = (f"outputs={tmp_path / 'outputs'}",)
    train(tmp_path / "whole", *WHITENED, *places)
    config = compose([*SMALL, *WHITENED, *places])
    with pytest.raises(KeyboardInterrupt):
        run(config, name="a run", folder=tmp_path / "stopped", reporter=StopAfterEpoch())
    shutil.rmtree(tmp_path / "outputs" / "data" / "whitening")
    train(tmp_path / "stopped", *WHITENED, *places)
    kept = [weights(tmp_path / folder / "checkpoints" / "last.pt")["model"] for folder in ("whole", "stopped")]
    assert all(torch.equal(kept[0][key], kept[1][key]) for key in kept[0])


def test_whitening_and_its_epsilon_are_part_of_the_identity():
    plain, white, other = (
        config_hash(compose([*SMALL, *more]).as_dict)
        for more in ((), WHITENED[:1], (WHITENED[0], "data.whitening_epsilon=0.1"))
    )
    assert len({plain, white, other}) == 3


def test_few_training_images_are_told_and_recorded(tmp_path, caplog):
    caplog.set_level("INFO")
    few = ("data.train_size=100", "trainer.epochs=1", f"outputs={tmp_path / 'outputs'}")
    _, contents = train(tmp_path / "run", *WHITENED, *few)
    note = contents.tags["cifar_sweeps.whitening_notes"]
    assert note.startswith("data.whitening=zca: the 100 training images vary in")
    assert note in caplog.text


def test_pretrained_layers_take_no_whitened_pixels():
    config = compose(["model=vgg16_top", "model.weights=none", "data.whitening=zca"])
    with pytest.raises(ConfigError, match=r"data\.whitening: the pretrained layers take plain pixels"):
        build.check_config(config)
