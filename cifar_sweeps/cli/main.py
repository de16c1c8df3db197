"""Entry point of `cifar-sweeps`. Each command is a few lines, and imports torch only if it needs it."""

import sys

import typer

from cifar_sweeps.cli import models, runs, store, studies
from cifar_sweeps.errors import CifarSweepsError, in_one_line
from cifar_sweeps.system.gc_control import skip_final_gc

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def cifar_sweeps() -> None:
    """Inspect, resume and reproduce recorded runs. `cifar-train` trains them."""


for _command in (
    models.summary,
    store.ui,
    store.sync,
    runs.resume,
    store.clean,
    runs.logs,
    runs.reproduce,
    studies.studies,
    studies.results,
    studies.report,
):
    app.command()(_command)


def main() -> None:
    """Run the command, and report an error as one message without a traceback."""
    skip_final_gc()
    try:
        app()
    except CifarSweepsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except Exception as error:
        if type(error).__name__ not in ("MlflowException", "RestException"):  # mlflow is not imported for this
            raise
        sys.exit(f"TrackingError: the store cannot be used: {in_one_line(error)}; see MLFLOW_TRACKING_URI")


if __name__ == "__main__":
    main()
