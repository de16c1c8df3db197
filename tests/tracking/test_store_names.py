"""Names, tags and parameters of any script, length and characters fit into the store."""

import pytest

from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.hydra_messages import quote
from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import tracking_uri


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp('it\'s a "quoted" folder #1 🎉 عربي')
    return Store(tracking_uri(None, folder), folder)


def open_logger(outputs, folder, name):
    return RunLogger(
        RunHeader(
            folder=folder,
            outputs=outputs,
            backend="mlflow",
            uri=None,
            study="عربي 🎉 ../'\"/%",
            name=name,
            tags={"cifar_sweeps.overrides": name * 9},
            identity="x",
        )
    )


@pytest.mark.parametrize(
    "name", ["عربي 🎉\u202e", "a\nb\0c\x1b[2J", "../../x", "x" * 9000, "'\"%_"], ids=lambda name: ascii(name)[:20]
)
def test_any_name_of_any_length_is_recorded(store, name, tmp_path):
    logger = open_logger(store.outputs, tmp_path, name)
    logger.log_params({f"key_{number}": name * 9 for number in range(150)})
    (tmp_path / "x.txt").touch()
    logger.log_artifact(tmp_path / "x.txt")
    logger.end_run("FAILED", name * 9)
    assert logger.delivery_error is None
    stored = store.find_run(logger.run_id)
    assert stored.name.isprintable() or "\u202e" in stored.name
    assert len(stored.name) <= 250
    assert (stored.tag("failure") or "")[:9] == (name * 9)[:9]


@pytest.mark.parametrize("name", ["a\nb", "x" * 201, " ", "a\x1bb"], ids=lambda name: ascii(name)[:20])
def test_a_study_name_that_a_store_cannot_show_is_refused(name):
    with pytest.raises(ConfigError, match=r"study_name=.*must be one line of 1 to 200 characters"):
        compose([f"study_name={quote(name)}"])


@pytest.mark.parametrize("name", ["what?", "100%"])
def test_a_folder_that_a_uri_cannot_hold_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="which an SQLite URI cannot hold; choose a folder without them"):
        tracking_uri(None, tmp_path / name)


def test_a_store_that_cannot_be_opened_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(TrackingError, match="the store cannot be used"):
        Store(tracking_uri(None, tmp_path), tmp_path).prepare("x")
