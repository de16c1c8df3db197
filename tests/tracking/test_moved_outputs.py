"""An outputs folder that was moved, copied or mounted elsewhere is read and written where it lies now."""

import shutil

import pytest
from mlflow import MlflowClient
from test_delivery import empty_store, header, log_all  # noqa: F401 (a fixture)

from cifar_sweeps.tracking.recorded_run import locate_folder
from cifar_sweeps.tracking.run_logger import RunLogger
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import configured_uri, embedded_uri


@pytest.fixture
def recorded(tmp_path, empty_store):  # noqa: F811
    """Record a run, with its folder as a tag, in an outputs folder whose name has to be escaped in an address."""
    outputs = tmp_path / "out puts #1"
    outputs.mkdir()
    shutil.copy(empty_store, outputs)
    logger = RunLogger(header(outputs, "runs/one", tags={"cifar_sweeps.folder": str(outputs / "runs" / "one")}))
    log_all(logger)
    logger.end_run("FINISHED")
    assert logger.delivery_error is None
    return outputs


@pytest.mark.parametrize("how", ["moved", "copied", "linked"])
def test_artifacts_and_folders_are_found_and_new_runs_stay_inside(recorded, how, tmp_path, capsys):
    now = tmp_path / "deeper" / "now"
    now.parent.mkdir()
    if how == "moved":
        recorded.rename(now)
    elif how == "copied":
        shutil.copytree(recorded, now)
        shutil.rmtree(recorded / "artifacts")
    else:
        now.symlink_to(recorded)
    store = Store(embedded_uri(now), now)
    store.check_exists()
    said = capsys.readouterr().err
    assert ("its artifacts are found here now" in said) == (how != "linked")
    (run,) = store.client().search_runs([store.prepare("toys")])
    assert [item.path for item in store.client().list_artifacts(run.info.run_id)] == ["config.yaml"]
    found = store.find_run(run.info.run_id).folder_in(now)
    assert found is not None
    assert found.samefile(now / "runs" / "one")
    logger = RunLogger(header(now, "runs/two"))
    log_all(logger)
    logger.end_run("FINISHED")
    assert logger.delivery_error is None
    assert len([*(now / "artifacts").iterdir()]) == 2
    assert capsys.readouterr().err == ""  # said once
    if how == "moved":
        assert not recorded.exists()


def test_a_store_that_cannot_be_written_is_read_as_it_is(recorded, tmp_path, monkeypatch):
    now = tmp_path / "now"
    recorded.rename(now)
    lock = now / "mlflow.db"
    client = MlflowClient(embedded_uri(now))
    lock.chmod(0o444)
    Store(embedded_uri(now), now).check_exists()
    assert client.get_experiment_by_name("toys") is not None


@pytest.mark.parametrize("folder", [None, "", "/nowhere/at/all", "../..", "/"])
def test_a_folder_that_is_not_there_is_as_recorded(recorded, folder):
    found = locate_folder(folder, recorded)
    assert found is None or str(found) == folder


def test_a_folder_s_own_store_is_no_other_one_however_it_is_named(tmp_path, monkeypatch):
    own = embedded_uri(tmp_path / "outputs")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert configured_uri(own, tmp_path / "outputs") is None
    assert configured_uri(own, tmp_path / "moved") == own
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own)
    assert configured_uri(None, tmp_path / "outputs") is None
