"""Which checkpoints a job keeps by default, and how near the estimate of its disk is."""

import pytest
from conftest import TINY
from omegaconf import OmegaConf

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.runs.run import run
from cifar_sweeps.sweeps.dry_run import disk_bytes
from cifar_sweeps.sweeps.plan import PlannedJob, kept_checkpoints, with_checkpoints_of
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import embedded_uri


@pytest.mark.parametrize(("jobs", "kept"), [(1, "all"), (100, "all"), (101, "tested"), (1000, "tested")])
def test_jobs_of_a_large_sweep_keep_the_weights_that_were_tested_alone(jobs, kept):
    assert kept_checkpoints(compose([*TINY]), jobs) == kept


@pytest.mark.parametrize("keep", ["tested", "best", "last", "all"])
def test_what_was_asked_for_is_kept_however_many_jobs_there_are(keep):
    for jobs in (1, 1000):
        assert kept_checkpoints(compose([*TINY, f"tracking.keep={keep}"]), jobs) == keep


def test_what_a_job_keeps_is_in_its_recorded_config():
    config = compose([*TINY])
    job = PlannedJob(0, (), "job", OmegaConf.create({"tracking": {"keep": "auto"}}), config, None, None)
    resolved = with_checkpoints_of(job, 500)
    assert resolved.config.tracking.keep == resolved.config.as_dict["tracking"]["keep"] == "tested"
    assert resolved.node.tracking.keep == "tested"
    assert config.as_dict["tracking"]["keep"] == "auto"


def used(folder):
    """Bytes of all files, each once however many names it has."""
    found = (path.lstat() for path in folder.rglob("*") if path.is_file() and "data" not in path.parts)
    return sum({each.st_ino: each.st_size for each in found}.values())


@pytest.mark.parametrize(
    "overrides",
    [
        ["tracking.keep=best", "optimizer=adam"],
        ["tracking.keep=tested", "optimizer=adam"],
        ["tracking.keep=all", "optimizer=adam"],
        ["tracking.keep=all", "optimizer=sgd"],
        ["tracking.keep=last", "optimizer=sgd", "optimizer.momentum=0"],
    ],
    ids=" ".join,
)
def test_a_run_takes_the_disk_that_was_said_within_a_tenth(outputs, overrides):
    # As large as a study's runs: some thousand test images, and a net whose weights are most of it.
    size = ["data.source.test_images=3000", "data.source.train_images=300", "model.dense=[1024]", "trainer.epochs=1"]
    config = compose([*TINY, *size, "analysis.log_model=false", *overrides])
    Store(embedded_uri(outputs), outputs).prepare("toys")
    before = used(outputs)
    run(config, progress=False)
    said = disk_bytes(config, build.check_config(config), 1, test_images=3000)
    assert used(outputs) - before == pytest.approx(said, rel=0.1)
