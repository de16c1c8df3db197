import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from cifar_sweeps.tracking.mlflow_inputs import log_input


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


@pytest.mark.parametrize(
    ("source", "kind", "key"),
    [("/data/cifar10", "local", "uri"), ("https://example.org/cifar", "http", "url")],
    ids=["folder", "web"],
)
def test_data_set_is_an_input_of_the_run(run, source, kind, key):
    client, run_id = run
    images = {"training": 45000, "validation": 5000}

    log_input(client, run_id, name="CIFAR-10", fingerprint=f"0123-{kind}", source=source, images=images, classes=10)

    (entry,) = client.get_run(run_id).inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("CIFAR-10", f"0123-{kind}")
    assert (entry.dataset.source_type, json.loads(entry.dataset.source)) == (kind, {key: source})
    assert json.loads(entry.dataset.profile) == {"num_classes": 10}


def test_runs_with_different_splits_of_the_same_data_record_their_own(store):
    client, experiment = store
    for count in (45000, 8000):
        run_id = client.create_run(experiment).info.run_id
        log_input(client, run_id, name="x", fingerprint="4567", source="/x", images={"training": count}, classes=10)

        (entry,) = client.get_run(run_id).inputs.dataset_inputs
        tags = {tag.key: tag.value for tag in entry.tags}
        assert tags == {"mlflow.data.context": "training", "num_images.training": str(count)}


def test_a_new_data_set_logged_by_several_jobs_at_once_is_recorded_for_all(store):
    client, experiment = store
    runs = [client.create_run(experiment).info.run_id for _ in range(8)]

    def log(run_id):
        log_input(client, run_id, name="new", fingerprint="8910", source="/x", images={"training": 9}, classes=10)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(log, runs))

    assert all(len(client.get_run(run_id).inputs.dataset_inputs) == 1 for run_id in runs)


def test_an_error_for_another_reason_is_raised(monkeypatch):
    class Refusing:
        def log_inputs(self, *_):
            raise MlflowException("no such run")

    with pytest.raises(MlflowException, match="no such run"):
        log_input(Refusing(), "x", name="x", fingerprint="1", source="/x", images={}, classes=10)
