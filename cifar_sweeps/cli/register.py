"""`cifar-sweeps register`: put a run's model into MLflow's model registry."""

from typing import Annotated

import typer

from cifar_sweeps.cli.runs import RunName


def register(
    run: RunName,
    name: Annotated[str, typer.Option(help="the registered model; made if there is none of this name")],
    alias: Annotated[list[str] | None, typer.Option(help="another name of this version, such as champion")] = None,
) -> None:
    """Register a run's model in MLflow, with its data, its accuracy and how to repeat it."""
    from cifar_sweeps.runs.model_registry import register_model
    from cifar_sweeps.tracking.store import default_store

    store = default_store()
    recorded = store.find_run(run)
    found = register_model(recorded, name, alias or [], store)
    shown = f"run {recorded.run_id[:8]} ({recorded.name})"
    if found.is_new:
        typer.echo(f"{found.name}, version {found.version}: the model of {shown}")
    else:
        typer.echo(f"{found.name}, version {found.version}, is the model of {shown} already; no version was added")
    for each in alias or []:
        typer.echo(f"alias: models:/{found.name}@{each}")
    typer.echo(f'load it: mlflow.pyfunc.load_model("models:/{found.name}/{found.version}")')
