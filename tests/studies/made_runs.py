"""Recorded runs, made by hand."""

import datetime

from cifar_sweeps.studies.study import StudyRun
from cifar_sweeps.tracking.recorded_run import PREFIX

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def make_run(arm, seed=0, swept=(), tags=(), state="finished", **metrics):
    """Return a run of an arm; metrics: with __ for /."""
    named = {key.replace("__", "/"): value for key, value in metrics.items()}
    prefixed = {f"{PREFIX}{key}": value for key, value in {"budget": "full", **dict(tags)}.items()}
    return StudyRun(f"{arm}-{seed}", arm, state, dict(swept), "", arm, named, {"seed": str(seed)}, prefixed, NOW, 1.0)
