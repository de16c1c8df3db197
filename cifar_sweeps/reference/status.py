"""How far the reference is: runs done and left by stage."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from cifar_sweeps.hydra_overrides import parse_overrides, sweep_texts
from cifar_sweeps.reference.stages import Stage
from cifar_sweeps.studies.overview.catalogue import swept_by
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal_reader import read_run


def status_lines(stages: Sequence[Stage], outputs: Path) -> list[str]:
    """Return a line a stage: its study, how many of its runs are finished, and its length."""
    done = [_finished(folder) for folder in sorted((outputs / "sweeps").glob("*")) if journal.read(folder)]
    lines = [f"{'study':16} {'done':>5} {'of':>4}  length"]
    for stage in stages:
        finished = max((count for command, count in done if set(stage.command) <= command), default=0)
        lines.append(f"{stage.study:16} {finished:5} {_runs_of(stage):4}  {stage.why}")
    return lines


def _finished(sweep: Path) -> tuple[set[str], int]:
    """Return a sweep's command, and how many of its runs have finished."""
    command: set[str] = set()
    manifest = sweep / "sweep.json"
    if manifest.exists():
        command = set(json.loads(manifest.read_text(encoding="utf-8")).get("command", []))
    runs = (read_run(folder) for folder in journal.folders(sweep) if folder != sweep)
    return command, sum(run is not None and run.state == "FINISHED" for run in runs)


def _runs_of(stage: Stage) -> int:
    swept = swept_by(stage.study)
    counts = {key: len(values) for key, values in swept.items()}
    for override in parse_overrides(stage.command):
        values = list(sweep_texts(override)) if override.is_sweep_override() else [""]
        counts[override.key_or_group] = len(values)
    return math.prod(counts.values())
