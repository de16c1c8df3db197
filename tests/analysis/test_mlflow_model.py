import json
import sys
import tempfile
import threading
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

from cifar_sweeps.analysis.mlflow_model import ServableClassifier, save_model, warm_up_export
from cifar_sweeps.models import ConvNet, SmallInception, mobilenet_v2, resnet18
from cifar_sweeps.tracking import mlflow_inputs

CLASSES = ("cat", "dog", "ship", "truck")
MEAN, STD = (0.49, 0.48, 0.45), (0.20, 0.21, 0.22)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A client of a new store, and an experiment in it that is not MLflow's default one."""
    folder = tmp_path_factory.mktemp("store")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return client, client.create_experiment("study", artifact_location=str(folder / "artifacts"))


@pytest.fixture
def run(store):
    client, experiment = store
    return client, client.create_run(experiment).info.run_id


@pytest.fixture
def loading_from(store, monkeypatch):
    """Point MLflow's loaders to the store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store[0].tracking_uri)


def log_model(client, run_id, model, classes, images, step=0):
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, classes, images, Path(folder, "model"))
        return mlflow_inputs.log_model(client, run_id, Path(folder, "model"), name="model", step=step)


def conv_net():
    return ConvNet([{"filters": [4], "batch_norm": True}], dense=[8], conv_dropout=0.5, num_classes=len(CLASSES))


def pixels(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def test_probabilities_are_those_of_the_net_on_standardised_pixels():
    net = conv_net().eval()
    images = (torch.from_numpy(pixels(5)) / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)

    probabilities = ServableClassifier(net, MEAN, STD)(torch.from_numpy(pixels(5)))

    assert probabilities.dtype == torch.float32
    assert torch.allclose(probabilities, net(images).softmax(dim=1), atol=1e-6)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(5))


def test_float_pixels_without_standardization():
    net, raw = conv_net().eval(), torch.from_numpy(pixels(3))
    servable = ServableClassifier(net, None, None)

    assert torch.equal(servable(raw), servable(raw.float()))
    assert torch.allclose(servable(raw), net(raw / 255).softmax(dim=1), atol=1e-6)


def test_wrapped_net_is_not_changed():
    net = conv_net().to(torch.bfloat16, memory_format=torch.channels_last).train()

    servable = ServableClassifier(net, MEAN, STD)

    assert net.training
    assert all(weight.dtype == torch.bfloat16 and weight.requires_grad for weight in net.parameters())
    assert not servable.training
    assert all(weight.dtype == torch.float32 for weight in servable.parameters())


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(conv_net, id="ConvNet"),
        pytest.param(lambda: SmallInception([8, 16], num_classes=len(CLASSES)), id="SmallInception"),
        pytest.param(lambda: resnet18(num_classes=len(CLASSES)), id="resnet18"),
        pytest.param(lambda: mobilenet_v2(num_classes=len(CLASSES)), id="mobilenet_v2"),
    ],
)
def test_logged_model_predicts_as_the_net_does_for_any_number_of_images(run, loading_from, build):
    client, run_id = run
    servable = ServableClassifier(build().to(memory_format=torch.channels_last), MEAN, STD)

    log_model(client, run_id, servable, CLASSES, pixels(6))

    loaded = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    for count in (1, 7):
        expected = servable(torch.from_numpy(pixels(count))).numpy()
        np.testing.assert_allclose(loaded.predict(pixels(count)), expected, atol=1e-5)
    assert loaded.metadata.metadata["classes"] == list(CLASSES)


def test_logging_changes_neither_the_run_nor_mlflow_and_prints_nothing(run, capfd, recwarn):
    client, run_id = run
    before = mlflow.get_tracking_uri()

    model_uri = log_model(client, run_id, ServableClassifier(conv_net(), None, None), CLASSES, pixels(2), step=7)

    assert capfd.readouterr() == ("", "")
    assert not [w for w in recwarn if not issubclass(w.category, DeprecationWarning | FutureWarning)]
    assert mlflow.active_run() is None
    assert mlflow.get_tracking_uri() == before
    recorded = client.get_run(run_id)
    assert recorded.info.status == "RUNNING"
    assert [(f"models:/{o.model_id}", o.step) for o in recorded.outputs.model_outputs] == [(model_uri, 7)]
    model = client.get_logged_model(model_uri.removeprefix("models:/"))
    assert model.status == "READY"
    assert model.experiment_id == recorded.info.experiment_id


def test_logged_model_has_a_signature_and_requirements(run, loading_from):
    model_uri = log_model(*run, ServableClassifier(conv_net(), None, None), CLASSES, pixels(2))

    info = mlflow.models.get_model_info(model_uri)
    assert json.loads(info.signature.inputs.to_json())[0]["tensor-spec"] == {"dtype": "uint8", "shape": [-1, 3, 32, 32]}
    assert json.loads(info.signature.outputs.to_json())[0]["tensor-spec"] == {"dtype": "float32", "shape": [-1, 4]}
    with open(mlflow.pyfunc.get_model_dependencies(model_uri)) as file:
        needed = file.read().split()
    assert f"torch=={torch.__version__.split('+')[0]}" in needed
    with pytest.raises(mlflow.exceptions.MlflowException, match="float64"):
        mlflow.pyfunc.load_model(model_uri).predict(pixels(2) / 255)


def test_logged_model_needs_neither_this_package_nor_pickles(run, loading_from, monkeypatch):
    servable = ServableClassifier(conv_net(), MEAN, STD)
    model_uri = log_model(*run, servable, CLASSES, pixels(2))
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    for name in [name for name in sys.modules if name.split(".")[0] == "cifar_sweeps"]:
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails from here on

    predicted = mlflow.pyfunc.load_model(model_uri).predict(pixels(3))

    np.testing.assert_allclose(predicted, servable(torch.from_numpy(pixels(3))).numpy(), atol=1e-5)


def test_net_that_cannot_be_exported_leaves_nothing_in_the_store(run):
    class DataDependent(nn.Module):
        def forward(self, images):
            return images.flatten(1) if images.sum() > 0 else images

    client, run_id = run
    with pytest.raises(Exception, match=r"data-dependent|Could not guard"):
        log_model(client, run_id, ServableClassifier(DataDependent(), None, None), CLASSES, pixels(2))

    assert not client.get_run(run_id).outputs.model_outputs


def test_warm_up_leaves_no_files_or_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    running = threading.enumerate()

    warm_up_export()

    assert list(tmp_path.iterdir()) == []
    assert threading.enumerate() == running
