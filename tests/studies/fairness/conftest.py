"""Recorded runs, made by hand."""

import datetime

import pytest

from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.tracking.store import PREFIX

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


@pytest.fixture(scope="session")
def make_run():
    def run(arm, seed=0, swept=(), tags=(), state="finished", **metrics):
        named = {key.replace("__", "/"): value for key, value in metrics.items()}
        prefixed = {f"{PREFIX}{key}": value for key, value in {"budget": "full", **dict(tags)}.items()}
        values = dict(swept)
        return StudyRun(f"{arm}-{seed}", arm, state, values, "", arm, named, {"seed": str(seed)}, prefixed, NOW, 1.0)

    return run
