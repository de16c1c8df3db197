"""`cifar-sweeps clean`: disk usage and what the options remove."""

import os

import pytest
from conftest import TINY

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import TrackingError
from cifar_sweeps.runs.run import run
from cifar_sweeps.tracking import disk_usage
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import embedded_uri

LEAN = (*TINY, "trainer.epochs=1", "analysis.pictures=false", "analysis.log_model=false")


def option(outputs, name):
    (use,) = (use for use in disk_usage.disk_usage(outputs) if use.option == name)
    return use


@pytest.mark.slow
def test_only_files_that_can_be_restored_are_removed(outputs):
    recorded = run(compose([*LEAN]), name="recorded")
    alone = run(compose([*LEAN, "tracking=none"]), name="not recorded")
    (outputs / "sweeps" / "empty").mkdir(parents=True)
    (outputs / "sweeps" / "about to begin").mkdir()
    os.utime(outputs / "sweeps" / "empty", (0, 0))

    assert not option(outputs, "--checkpoints").paths  # the store's are other names of the same files
    # As in an outputs folder that was copied without its links, or is of an earlier version:
    for path in (recorded.folder / "checkpoints").glob("*.pt"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    (recorded.folder / "checkpoints" / ".best-000009.7.tmp").write_bytes(b"half")
    checkpoints = option(outputs, "--checkpoints")
    assert {path.parent.parent for path in checkpoints.paths} == {recorded.folder}
    for name in ("--checkpoints", "--caches", "--leftovers"):
        assert option(outputs, name).paths
        disk_usage.remove(option(outputs, name))
        assert option(outputs, name).size == 0
    assert sorted(path.name for path in (alone.folder / "checkpoints").iterdir()) == ["best.pt", "last.pt"]
    assert [path.name for path in (outputs / "sweeps").iterdir()] == ["about to begin"]

    store = Store(embedded_uri(outputs), outputs)
    store.client().delete_run(recorded.run_id)
    disk_usage.purge_deleted_runs(outputs)
    assert not list((outputs / "artifacts").rglob("last.pt"))


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(TrackingError, match="there is no such folder"):
        disk_usage.disk_usage(tmp_path / "none")
