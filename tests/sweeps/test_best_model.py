"""The model of a sweep's best run: made at its end, once, and never at the cost of what else is printed."""

import pytest
from conftest import TINY, cifar_train

import cifar_sweeps
from cifar_sweeps.runs.served_model import has_served_model
from cifar_sweeps.sweeps.best_model import best_model_lines
from cifar_sweeps.tracking.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("trained") / "outputs"
    for seed in (0, 1):
        overrides = [*TINY, "trainer.epochs=1", "analysis=none", f"seed={seed}", f"outputs={outputs}"]
        cifar_sweeps.run(cifar_sweeps.compose(overrides), name=f"seed={seed}", progress=False)
    return Store.open(outputs)


def told(store, name):
    return [*best_model_lines(store.find_run(name), store, {"CIFAR_SWEEPS_OUTPUTS": "there"})]


def test_the_best_run_of_a_resumed_sweep_gets_its_model_and_the_one_before_keeps_its_own(store, monkeypatch):
    first, second = (store.find_run(f"seed={seed}").run_id for seed in (0, 1))
    made = f'model = mlflow.pyfunc.load_model("runs:/{first}/model")'
    assert told(store, "seed=0")[-1] == made
    assert [has_served_model(run, store) for run in (first, second)] == [True, False]
    head, address, call = told(store, "seed=1")
    assert address == f"import mlflow; mlflow.set_tracking_uri({store.uri!r})"
    assert head.startswith("Model of the best run, seed=1 (of another: CIFAR_SWEEPS_OUTPUTS=there ")
    assert head.endswith("cifar-sweeps export RUN --format mlflow):")
    assert second in call
    assert [has_served_model(run, store) for run in (first, second)] == [True, True]
    monkeypatch.setattr("cifar_sweeps.sweeps.best_model.give_served_model", lambda _run: pytest.fail("made again"))
    assert told(store, "seed=0")[-1] == made


@pytest.mark.slow
def test_a_sweep_whose_images_are_kept_elsewhere_decodes_them_once_for_its_model_too(outputs, tmp_path):
    kept = tmp_path / "kept"
    swept = ["-m", "seed=0,1", *TINY, "analysis.pictures=false", "sweep.report=false"]
    done = cifar_train(*swept, f"data.source.cache={kept}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mlflow.pyfunc.load_model" in done.stdout
    assert [path.suffix for path in kept.glob("*.pt")] == [".pt"]
    assert not (outputs / "data").exists()


def test_mlflow_is_not_told_where_the_store_is_if_it_knows_it_and_its_password(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    assert [line.split("(")[0] for line in told(store, "seed=0")[1:]] == [
        "import mlflow",
        "model = mlflow.pyfunc.load_model",
    ]
    for another in ("http://another:5000", "./not-an-address"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", another)
        assert told(store, "seed=0")[1] == f"import mlflow; mlflow.set_tracking_uri({store.uri!r})"


@pytest.mark.parametrize("select", ["last", "best"])
def test_it_is_made_of_the_weights_that_a_large_sweep_keeps(outputs, select):
    overrides = [*TINY, "trainer.epochs=2", "analysis=none", "tracking.keep=tested", f"trainer.select={select}"]
    cifar_sweeps.run(cifar_sweeps.compose([*overrides, f"outputs={outputs}"]), name="kept little", progress=False)
    assert "could not be made" not in told(Store.open(outputs), "kept little")[-1]


def test_a_model_that_cannot_be_made_is_one_line_with_the_command_that_tries_again(store, monkeypatch):
    def full(_run):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cifar_sweeps.sweeps.best_model.has_served_model", lambda _run, _store: False)
    monkeypatch.setattr("cifar_sweeps.sweeps.best_model.give_served_model", full)
    run = store.find_run("seed=0").run_id[:8]
    last = told(store, "seed=0")[-1]
    assert "could not be made: OSError: [Errno 28] No space left on device; try again: " in last
    assert last.endswith(f"cifar-sweeps export {run} --format mlflow")
