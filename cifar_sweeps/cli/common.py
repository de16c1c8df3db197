"""What several commands need: their arguments' types, the outputs folder."""

import os
from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[list[str] | None, typer.Argument(help="as for cifar-train: model=lenet_3 kernel_size=k5 …")]
RunName = Annotated[str, typer.Argument(help="a run's id, the beginning of it, or its name")]


def outputs_folder() -> Path:
    """Return the outputs folder: ``./outputs``, or where CIFAR_SWEEPS_OUTPUTS says."""
    return Path(os.environ.get("CIFAR_SWEEPS_OUTPUTS", "outputs"))


def recover_outputs() -> None:
    """Let the record say of killed processes that they are gone, before somebody looks at it."""
    from cifar_sweeps.tracking.recovery import recover_abandoned_runs

    recover_abandoned_runs(outputs_folder(), lambda line: typer.echo(line, err=True))
