"""A finished run is opened with its network, images and predictions, from its folder or from the store."""

import numpy as np
import pytest

import cifar_sweeps
from cifar_sweeps.analysis.predictions import FILE, load_predictions
from cifar_sweeps.errors import DataError, TrackingError
from cifar_sweeps.runs.trained_run import open_trained_run
from cifar_sweeps.tracking.store import Store

SMALL = ["data.train_size=400", "data.source.test_images=300", "trainer.threads=1", "analysis.log_model=false"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("trained") / "outputs"
    config = cifar_sweeps.compose([*SMALL, "trainer.epochs=2", "analysis.pictures=false", f"outputs={outputs}"])
    result = cifar_sweeps.run(config, name="small", progress=False)
    return result, Store.open(outputs)


def test_the_predictions_are_those_that_were_tested(trained):
    result, store = trained
    run = open_trained_run("small", store)
    assert run.predictions.accuracy == pytest.approx(result.metrics["test/accuracy"], abs=0)
    assert np.array_equal(run.predictions.index, np.arange(300))
    assert np.array_equal(run.predictions.labels, run.images.test.labels.numpy())


def test_the_network_is_the_tested_one(trained):
    run = open_trained_run("small", trained[1])
    assert np.array_equal(run.predict(run.images.test).probabilities, run.predictions.probabilities)
    served = run.servable(run.images.test.images).numpy()
    assert np.abs(served - run.predictions.probabilities).max() < 0.02  # that one computes in float32


def test_artifacts_come_from_the_store_where_the_folder_is_gone(trained, monkeypatch):
    run = open_trained_run("small", trained[1])
    here = run.predictions.probabilities
    monkeypatch.setattr(type(run), "folder", None)
    elsewhere = open_trained_run("small", trained[1])
    assert np.array_equal(elsewhere.predictions.probabilities, here)
    assert np.array_equal(elsewhere.predict(elsewhere.images.test).probabilities, here)
    assert elsewhere.artifact("nothing.png") is None


def test_a_run_that_has_not_finished_is_one_error(trained):
    result, store = trained
    store.client().set_terminated(result.run_id, "FAILED")
    try:
        with pytest.raises(TrackingError, match=r"is failed.*cifar-sweeps resume"):
            open_trained_run("small", store)
    finally:
        store.client().set_terminated(result.run_id, "FINISHED")


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(path.read_bytes()[:2000]), lambda path: np.savez(path, index=np.arange(3))],
    ids=["cut off", "something else"],
)
def test_a_damaged_file_of_predictions_is_one_error(trained, tmp_path, damage):
    path = tmp_path / FILE
    path.write_bytes((trained[0].folder / FILE).read_bytes())
    damage(path)
    with pytest.raises(DataError, match="is no file of predictions"):
        load_predictions(path)
