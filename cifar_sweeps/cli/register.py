"""`cifar-sweeps register`: put a run's model into MLflow's model registry."""

from typing import TYPE_CHECKING, Annotated

import typer

from cifar_sweeps.cli.runs import RunName

if TYPE_CHECKING:
    from cifar_sweeps.tracking.recorded_run import RecordedRun
    from cifar_sweeps.tracking.store import Store


def register(
    run: RunName,
    name: Annotated[str, typer.Option(help="the registered model; made if there is none of this name")],
    alias: Annotated[list[str] | None, typer.Option(help="another name of this version, such as champion")] = None,
) -> None:
    """Register a run's model in MLflow, with its data, its accuracy and how to repeat it."""
    from cifar_sweeps.runs.description import loading_lines
    from cifar_sweeps.runs.model_registry import check_names, register_model
    from cifar_sweeps.tracking.store import default_store

    check_names(name, alias or [])  # before a model is made
    store = default_store()
    recorded = store.find_run(run)
    if recorded.state == "FINISHED":
        _give_model(recorded, store)
    found = register_model(recorded, name, alias or [], store)
    shown = f"run {recorded.run_id[:8]} ({recorded.name})"
    if found.is_new:
        typer.echo(f"{found.name}, version {found.version}: the model of {shown}")
    else:
        typer.echo(f"{found.name}, version {found.version}, is the model of {shown} already; no version was added")
    for each in alias or []:
        typer.echo(f"alias: models:/{found.name}@{each}")
    typer.echo("Load it, in Python:")
    for line in loading_lines(f'mlflow.pyfunc.load_model("models:/{found.name}/{found.version}")', store.uri):
        typer.echo(line)


def _give_model(recorded: "RecordedRun", store: "Store") -> None:
    """Make and log the model of a run that has none yet: in a sweep only the best one logs its own by default."""
    from cifar_sweeps.runs.served_model import has_served_model

    if has_served_model(recorded.run_id, store):
        return
    from rich.console import Console

    from cifar_sweeps.inspection.export.mlflow_export import export_to_mlflow
    from cifar_sweeps.runs.loading import LoadingBar
    from cifar_sweeps.runs.trained_run import open_trained_run

    typer.echo(
        f"run {recorded.run_id[:8]} ({recorded.name}) has no model in the store yet; it is made from its weights"
    )
    bar = LoadingBar(Console(stderr=True))
    try:
        export_to_mlflow(open_trained_run(recorded, store, bar))  # refused unless it agrees on every test image
    finally:
        bar.close()
