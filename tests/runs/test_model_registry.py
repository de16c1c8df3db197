"""`cifar-sweeps register`: a run's model in MLflow's registry, once, with what a reader wants to know."""

import shutil

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag
from mlflow.models import Model
from mlflow.tracking import get_tracking_uri, is_tracking_uri_set

from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.runs.model_registry import register_model
from cifar_sweeps.tracking.mlflow_inputs import log_model
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import embedded_uri


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Runs with a model, without, and failed, in a store that is copied for each test."""
    outputs = tmp_path_factory.mktemp("recorded")
    store = Store(embedded_uri(outputs), outputs)
    client, experiment = store.client(), store.prepare("toys")
    tags = {"data": "synthetic", "train_images": "90", "repeat": "cifar-train seed=1", "validated_on": "test"}
    for name, state in (("modelled", "FINISHED"), ("bare", "FINISHED"), ("broken", "FAILED")):
        run = client.create_run(experiment, run_name=name).info.run_id
        metrics = [Metric("test/accuracy", 0.87654, 1, 3), Metric("best/val_accuracy", 0.9, 1, 3)]
        own = [RunTag(f"cifar_sweeps.{key}", value) for key, value in tags.items()]
        client.log_batch(run, metrics=metrics, tags=own)
        if name == "modelled":
            folder = outputs / "model"
            folder.mkdir()
            Model().save(folder / "MLmodel")
            log_model(client, run, folder, name="model", step=3)
        client.set_terminated(run, state)
    return outputs


@pytest.fixture
def store(recorded, tmp_path):
    outputs = tmp_path / "outputs"
    shutil.copytree(recorded, outputs)
    found = Store(embedded_uri(outputs), outputs)
    found.check_exists()
    return found


def test_a_model_is_registered_once(store):
    run = store.find_run("modelled")
    first = register_model(run, "shapes", ["champion"], store)
    assert (first.version, first.is_new) == ("1", True)
    again = register_model(run, "shapes", ["second"], store)
    assert (again.version, again.is_new) == ("1", False)
    other = register_model(run, "it's shapes", [], store)
    assert (other.name, other.version, other.is_new) == ("it's shapes", "1", True)
    client = store.client()
    (version,) = client.search_model_versions("name = 'shapes'")
    assert (version.run_id, set(client.get_registered_model("shapes").aliases)) == (run.run_id, {"champion", "second"})
    assert version.tags["cifar_sweeps.test_accuracy"] == "0.8765"
    assert version.tags["cifar_sweeps.repeat"] == "cifar-train seed=1"
    experiment = client.get_run(run.run_id).info.experiment_id
    page = f"#/experiments/{experiment}/runs/{run.run_id}?workflowType=machine_learning"
    for words in (f"[modelled]({page})", "`synthetic`, 90 images", "test/accuracy 0.8765", "validated on the test set"):
        assert words in version.description
    assert not is_tracking_uri_set(), get_tracking_uri()


def test_it_is_found_where_its_outputs_folder_lies_later(store, tmp_path):
    register_model(store.find_run("modelled"), "shapes", [], store)
    moved = tmp_path / "moved"
    store.outputs.rename(moved)
    now = Store(embedded_uri(moved), moved)
    now.check_exists()
    place = now.client().get_model_version_download_uri("shapes", "1")
    assert place.startswith((moved / "artifacts").as_uri())


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("bare", r"make it: cifar-sweeps export \w{8} --format mlflow"),
        ("broken", "is failed, and a model is logged at the end; finish it: cifar-sweeps resume"),
    ],
)
def test_a_run_without_a_model_says_what_to_do(store, run, said):
    with pytest.raises(TrackingError, match=said):
        register_model(store.find_run(run), "shapes", [], store)
    assert store.client().search_registered_models() == []


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "..", "x" * 251])
def test_a_name_that_mlflow_does_not_take_is_refused_before_anything_else(store, name):
    with pytest.raises(ConfigError, match="is no name of a model"):
        register_model(store.find_run("modelled"), name, [], store)


@pytest.mark.parametrize("alias", ["", "a b", "Latest", "v12", "x" * 251])
def test_so_is_an_alias(store, alias):
    with pytest.raises(ConfigError, match="is no alias"):
        register_model(store.find_run("modelled"), "shapes", ["fine", alias], store)
    assert store.client().search_registered_models() == []


def test_a_store_without_a_registry_says_so(store, monkeypatch):
    def refuse(*_args, **_more):
        from mlflow.exceptions import MlflowException

        raise MlflowException("Model registry functionality is unavailable")

    monkeypatch.setattr(MlflowClient, "search_model_versions", refuse)
    with pytest.raises(TrackingError, match=r"cannot register shapes: .*unavailable; a registry needs"):
        register_model(store.find_run("modelled"), "shapes", [], store)
