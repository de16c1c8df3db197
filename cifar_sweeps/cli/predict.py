"""`cifar-sweeps predict`: the classes of any pictures, by one or several recorded runs."""

from typing import Annotated

import typer

from cifar_sweeps.cli.common import mark_abandoned_runs
from cifar_sweeps.cli.completion import complete_run


def predict(
    runs_and_pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN… FILE|FOLDER…",
            help="runs by their ids, the beginnings of these, or names; and pictures, or folders of pictures",
            autocompletion=complete_run,
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="how many classes of each picture")] = 3,
    each: Annotated[bool, typer.Option("--each", help="of several runs: also what each says")] = False,
    fit: Annotated[
        str | None, typer.Option(help="how to bring a picture to size: squash, crop or pad; by default the run's")
    ] = None,
    background: Annotated[
        str | None, typer.Option(help="colour under transparent pictures; by default the run's, white")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="comma-separated values")] = False,
    json: Annotated[bool, typer.Option("--json", help="one object")] = False,
) -> None:
    """Predict the classes of any pictures, read as in training. Several runs: the mean of their probabilities."""
    if csv and json:
        raise typer.BadParameter("give --csv or --json, not both")
    from rich.console import Console

    mark_abandoned_runs()
    from cifar_sweeps.inspection.predict import output, prediction
    from cifar_sweeps.inspection.predict.sources import split_arguments
    from cifar_sweeps.runs.loading import LoadingBar
    from cifar_sweeps.runs.trained_run import open_trained_run
    from cifar_sweeps.tracking.store import default_store

    store = default_store()
    recorded, paths = split_arguments(runs_and_pictures, store)
    bar = LoadingBar(Console(stderr=True))
    try:
        found = prediction.predict(
            [open_trained_run(run, store, bar) for run in recorded],
            paths,
            fit=fit,  # type: ignore[arg-type]  # checked there
            background=background,
            progress=bar,
        )
    finally:
        bar.close()
    each = each and len(recorded) > 1
    if csv or json:
        for line in output.notes(found):
            typer.echo(line, err=True)
        typer.echo((output.as_csv if csv else output.as_json)(found, top, each).rstrip("\n"))
        return
    console = Console(highlight=False)
    console.print(output.predictions_table(found, top, each))
    confused = output.confusions_table(found)
    for line in filter(None, (*output.notes(found), output.accuracy_line(found))):
        console.print(line, markup=False)
    if confused is not None:
        console.print(confused)
