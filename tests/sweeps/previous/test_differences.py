"""A launch joins a previous one only where nothing but the swept values differs."""

import dataclasses
import json

import pytest
import yaml
from conftest import TINY
from hydra import compose as hydra_compose
from omegaconf import OmegaConf

from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.hydra_support import initialized_compose
from cifar_sweeps.runs import identity
from cifar_sweeps.sweeps.manifest import SweepManifest
from cifar_sweeps.sweeps.previous import differences
from cifar_sweeps.sweeps.previous.differences import (
    NewJob,
    changed_selection,
    difference,
    fixed_values,
    selection_settings,
)
from cifar_sweeps.sweeps.previous.launches import PreviousJob
from cifar_sweeps.tracking.recorded_run import RecordedRun

SWEPT = ("seed", "optimizer.lr")


def new_job(*overrides, fingerprint="images", **changes):
    config = dataclasses.replace(
        compose([*TINY, "trainer.device=cpu", "trainer.precision=fp32", *overrides]), **changes
    )
    digits = identity.training_hash(config, fingerprint)
    return NewJob(tuple(overrides), config, fingerprint, digits)


def previous_job(folder, job, swept, **tags):
    """Record a job as a launch leaves it."""
    path = folder / str(len([*folder.glob("*")]))
    path.mkdir()
    (path / "config.yaml").write_text(yaml.safe_dump(job.config.as_dict))
    recorded = {"data_fingerprint": job.fingerprint, "device": "cpu", "precision": "fp32", "swept": json.dumps(swept)}
    named = {f"cifar_sweeps.{key}": value for key, value in {**recorded, **tags}.items()}
    return PreviousJob(0, path, job.identity, RecordedRun("", "run", "FINISHED", {}, named))


def manifest(fixed=None):
    return SweepManifest("a sweep", "toys", SWEPT, "identity", (), "/", fixed or {})


FIRST = ("seed=0", "optimizer.lr=0.1")
SWEPT_FIRST = {"seed": "0", "optimizer.lr": "0.1"}


@pytest.mark.parametrize(
    ("overrides", "fingerprint", "expected"),
    [
        (("seed=0", "optimizer.lr=0.1"), "images", ""),
        (("seed=1", "optimizer.lr=0.1"), "images", ""),
        (("seed=1", "optimizer.lr=0.2"), "images", ""),
        (("seed=1", "optimizer.lr=0.1", "outputs=elsewhere", "sweep.retries=2"), "images", ""),
        (("seed=0", "optimizer.lr=0.1"), "others", "the images have changed"),
        (("seed=1", "optimizer.lr=0.2"), "others", "the images have changed"),
        (("seed=1", "optimizer.lr=0.1", "trainer.batch_size=7"), "images", "trainer.batch_size was"),
        (("seed=0", "optimizer.lr=0.1", "regularization=l2"), "images", "regularization.l2 was 0.0, is 0.0005"),
        (("seed=0", "optimizer.lr=0.1", "trainer.precision=bf16"), "images", "trainer.precision was fp32, is bf16"),
        (("seed=1", "optimizer.lr=0.2", "data.source.train_images=60"), "others", ""),  # that is in the fixed values
    ],
)
def test_what_separates_a_job_from_those_of_a_previous_launch(tmp_path, overrides, fingerprint, expected):
    earlier = previous_job(tmp_path, new_job(*FIRST), SWEPT_FIRST)
    found = difference([new_job(*overrides, fingerprint=fingerprint)], {}, manifest(), [earlier])
    assert found.startswith(expected)
    assert bool(found) == bool(expected)


def test_other_code_and_a_job_that_was_stopped_before_it_began(tmp_path, monkeypatch):
    earlier = previous_job(tmp_path, new_job(*FIRST), SWEPT_FIRST)
    begun = dataclasses.replace(earlier, folder=tmp_path / "without config")
    monkeypatch.setattr(differences, "NUMBERS", 2)
    monkeypatch.setattr(identity, "NUMBERS", 2)
    assert difference([new_job(*FIRST)], {}, manifest(), [begun]) == ""
    assert "another version of the code" in difference([new_job(*FIRST)], {}, manifest(), [begun, earlier])


def fixed(*overrides, swept=SWEPT):
    with initialized_compose(conf_folder()):
        return fixed_values(hydra_compose("config", overrides=list(overrides)), swept)


def test_fixed_values_that_resolve_differently_make_another_sweep_and_older_manifests_have_none():
    before, now = fixed("model=quick_3"), fixed("model=quick_3", "trainer.batch_size=7")
    assert "trainer.batch_size" in before
    assert "optimizer.lr" not in before
    assert not any(key.startswith(("model.", "tracking.", "sweep.")) for key in fixed(swept=("model",)))
    assert difference([], now, manifest(before), []) == "trainer.batch_size was 64, is 7"
    assert difference([], before, manifest(before), []) == ""
    assert difference([], now, manifest(), []) == ""


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {}, ""),
        ({"early_stopping": "asha"}, {"early_stopping": "asha"}, ""),
        ({"early_stopping": "asha"}, {"early_stopping": "asha", "eta": 2}, "sweep.eta was 4, is 2"),
        ({"early_stopping": "median"}, {"early_stopping": "median", "eta": 2}, ""),  # which has no eta
        ({}, {"early_stopping": "asha", "eta": 2}, "sweep.early_stopping was none, is asha"),
        ({"eta": 2}, {"metric": "val/loss", "grace_epochs": 1}, ""),  # nothing pauses
        (
            {"objectives": ["val/accuracy"], "n_trials": 5},
            {"objectives": ["val/accuracy", "epoch_seconds"], "n_trials": 9},
            "hydra.sweeper.objectives was [val/accuracy], is [val/accuracy,epoch_seconds]",
        ),
        ({"sampler": "tpe"}, {"sampler": "gp"}, "hydra.sweeper.sampler was tpe, is gp"),
    ],
)
def test_a_launch_that_proposes_or_pauses_otherwise_joins_and_says_so(before, now, expected):
    def settings(changes):
        sweep = {"early_stopping": "none", "metric": "val/accuracy", "eta": 4, "grace_epochs": 4}
        sweeper = {"sampler": "tpe", "seed": 0, "objectives": ["val/accuracy"], "conditions": []}
        for part in (sweep, sweeper):
            part.update({key: value for key, value in changes.items() if key in part})
        return selection_settings(OmegaConf.create({"sweep": sweep, "hydra": {"sweeper": sweeper}}), is_search=True)

    line = changed_selection(settings(before), settings(now))
    assert line == (f"Changed since its last launch: {expected}. What its jobs have trained stays." if expected else "")


def test_sweeps_of_before_these_settings_were_recorded_are_joined_without_a_word():
    assert changed_selection({}, {"sweep.early_stopping": "asha"}) == ""
