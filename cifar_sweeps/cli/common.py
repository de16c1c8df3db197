"""Argument types and the outputs folder, shared by the commands."""

import os
from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[list[str] | None, typer.Argument(help="as for cifar-train: model=lenet_3 kernel_size=k5 …")]
ConfigDir = Annotated[
    Path | None, typer.Option(help="a folder with config files of your own, as for cifar-train --config-dir")
]


def outputs_folder() -> Path:
    """Return the outputs folder: ``$CIFAR_SWEEPS_OUTPUTS``, or ``./outputs``."""
    return Path(os.environ.get("CIFAR_SWEEPS_OUTPUTS") or "outputs").expanduser()


def mark_abandoned_runs() -> None:
    """Mark runs whose process died as KILLED before they are shown."""
    from cifar_sweeps.tracking.recovery import recover_abandoned_runs

    recover_abandoned_runs(outputs_folder(), lambda line: typer.echo(line, err=True))
