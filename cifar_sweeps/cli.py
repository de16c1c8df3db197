"""cifar-sweeps: the tool box around the store of runs. Each command is a few lines, and imports torch only at need."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cifar_sweeps.errors import CifarSweepsError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Overrides = Annotated[list[str] | None, typer.Argument(help="as for cifar-train: model=lenet_3 kernel_size=k5 …")]


@app.callback()
def tool_box() -> None:
    """Look at models and runs. Training itself is done by `cifar-train`."""


@app.command()
def summary(overrides: Overrides = None) -> None:
    """Print a model's layers, output shapes, parameters and multiply-adds."""
    from rich.console import Console

    from cifar_sweeps import build
    from cifar_sweeps.compose import compose
    from cifar_sweeps.models.summary_table import summary_table

    Console(highlight=False).print(summary_table(build.describe(compose(overrides or []))))


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="where the page is served on this machine")] = 5000,
) -> None:
    """Open the MLflow page of the runs in this folder's outputs, on 127.0.0.1 alone. Ctrl-C ends it."""
    from cifar_sweeps.tracking.server import serve

    serve(Path(os.environ.get("CIFAR_SWEEPS_OUTPUTS", "outputs")), port)


def main() -> None:
    """Run the command; faults are told in one message."""
    try:
        app()
    except CifarSweepsError as fault:
        sys.exit(f"{type(fault).__name__}: {fault}")


if __name__ == "__main__":
    main()
