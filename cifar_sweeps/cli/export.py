"""`cifar-sweeps export`: a recorded run's network for other programs: as a file, or as a model in MLflow."""

from pathlib import Path
from typing import Annotated

import typer

from cifar_sweeps.cli.common import mark_abandoned_runs
from cifar_sweeps.cli.completion import complete_run


def export(
    run: Annotated[
        str,
        typer.Argument(
            help="a run's id, the beginning of its id, or a name that one run has", autocompletion=complete_run
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            help="onnx, or torch: a program of torch.export; mlflow: the model for mlflow.pyfunc, logged into the run; "
            "by default what --out ends in"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="the file; by default export/model.onnx or model.pt2 in the run's folder")
    ] = None,
) -> None:
    """Write a run's network to a file, raw pixels to probabilities, and check it on all test images.

    With --format mlflow it is logged into the run, as the model that MLflow loads and serves.
    """
    from rich.console import Console

    if format == "mlflow":
        _log_into_run(run, out)
        return
    from cifar_sweeps.inspection.export.formats import export_format

    how = export_format(format, out)
    how.check_installed()
    mark_abandoned_runs()
    from cifar_sweeps.inspection.export.exporting import export as export_run
    from cifar_sweeps.runs.loading import LoadingBar
    from cifar_sweeps.runs.trained_run import open_trained_run
    from cifar_sweeps.tracking.store import default_store

    store, console = default_store(), Console(highlight=False)
    bar = LoadingBar(Console(stderr=True))
    try:
        opened = open_trained_run(run, store, bar)
        written = export_run(opened, how, out)
    finally:
        bar.close()
    console.print(f"{opened.label}: pixels (N, 3, H, W) uint8 in RGB to probabilities, any N", markup=False)
    console.print(f"Checked on the test images: {written.agreement}.", markup=False)
    for line in written.notes:
        console.print(line, markup=False)
    console.print(f"Model: {written.path}", markup=False, soft_wrap=True)
    console.print(f"Classes, preprocessing, agreement: {written.record}", markup=False, soft_wrap=True)


def _log_into_run(run: str, out: Path | None) -> None:
    from rich.console import Console

    from cifar_sweeps.errors import ConfigError

    if out is not None:
        raise ConfigError(f"--out {out}: belongs to onnx and torch; --format mlflow logs the model into the run")
    mark_abandoned_runs()
    from cifar_sweeps.inspection.export.mlflow_export import export_to_mlflow
    from cifar_sweeps.runs.description import load_call, loading_lines
    from cifar_sweeps.runs.loading import LoadingBar
    from cifar_sweeps.runs.trained_run import open_trained_run
    from cifar_sweeps.tracking.store import default_store

    store, bar = default_store(), LoadingBar(Console(stderr=True))
    try:
        opened = open_trained_run(run, store, bar)
        agreement = export_to_mlflow(opened)
    finally:
        bar.close()
    if agreement is None:
        typer.echo(f"{opened.label}: has its model in the store already")
    else:
        typer.echo(f"{opened.label}: pixels (N, 3, H, W) uint8 in RGB to probabilities, any N")
        typer.echo(f"Checked on the test images: {agreement}.")
    typer.echo("Load it, in Python:")
    for line in loading_lines(load_call(opened.record.run_id), store.uri):
        typer.echo(line)
