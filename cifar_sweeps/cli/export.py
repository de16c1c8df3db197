"""`cifar-sweeps export`: a recorded run's network as a file for other programs."""

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
        str | None, typer.Option(help="onnx, or torch: a program of torch.export; by default what --out ends in")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="the file; by default export/model.onnx or model.pt2 in the run's folder")
    ] = None,
) -> None:
    """Write a run's network to a file, raw pixels to probabilities, and check it on all test images."""
    from rich.console import Console

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
