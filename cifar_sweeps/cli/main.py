"""cifar-sweeps: the tool box around the store of runs. Each command is a few lines, and imports torch only at need."""

import sys

import typer

from cifar_sweeps.cli import models, runs, store, studies
from cifar_sweeps.errors import CifarSweepsError, in_one_line
from cifar_sweeps.system.gc_control import skip_final_gc

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def tool_box() -> None:
    """Look at models and runs. Training itself is done by `cifar-train`."""


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
    """Run the command; faults are told in one message."""
    skip_final_gc()
    try:
        app()
    except CifarSweepsError as fault:
        sys.exit(f"{type(fault).__name__}: {fault}")
    except Exception as fault:
        if type(fault).__name__ not in ("MlflowException", "RestException"):  # mlflow is not imported for this
            raise
        sys.exit(f"TrackingError: the store cannot be used: {in_one_line(fault)}; see MLFLOW_TRACKING_URI")


if __name__ == "__main__":
    main()
