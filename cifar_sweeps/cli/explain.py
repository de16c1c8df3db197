"""`cifar-sweeps explain`: what a run's network looks at."""

from pathlib import Path
from typing import Annotated

import typer

from cifar_sweeps.cli.common import mark_abandoned_runs


def explain(
    run: Annotated[str, typer.Argument(help="a run's id, the beginning of it, or its name")],
    index: Annotated[list[int] | None, typer.Option(help="a test image, by its number from 0; repeat it")] = None,
    mistakes: Annotated[int | None, typer.Option(help="this many of the most confident mistakes")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="a picture of your own; repeat it")] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="a layer whose maps are shown; the last one is that of Grad-CAM  [default: three]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="a folder for page and pictures  [default: explain/ in the run's folder]")
    ] = None,
) -> None:
    """Show what a run's network looks at: Grad-CAM, occlusion, gradients, feature maps, similar training images.

    By default in its most confident mistakes and two images that it is surest of.
    """
    from rich.console import Console

    mark_abandoned_runs()
    from cifar_sweeps.errors import TrackingError
    from cifar_sweeps.inspection.explain.explaining import choose_subjects, explain
    from cifar_sweeps.inspection.explain.page import FOLDER, write_explanation
    from cifar_sweeps.runs.trained_run import open_trained_run
    from cifar_sweeps.system.scripts import shell_command
    from cifar_sweeps.tracking.store import default_store

    console, store = Console(highlight=False), default_store()
    trained = open_trained_run(run, store)
    subjects = choose_subjects(trained, index or [], mistakes, image or [])
    with console.status("") as status:
        found = explain(trained, subjects, layer or [], lambda line: status.update(line))
    target = out or (trained.folder or store.outputs / "reports" / trained.record.run_id) / FOLDER
    if out is not None and out.exists() and any(out.iterdir()) and not (out / "explain.html").is_file():
        raise TrackingError(f"--out {out}: is a folder with other files, which would be deleted; give a new one")
    typed = [trained.record.run_id[:8]]
    for option, values in (("--index", index), ("--image", image), ("--layer", layer)):
        typed += [part for value in values or [] for part in (option, str(value))]
    typed += [] if mistakes is None else ["--mistakes", str(mistakes)]
    page, _ = write_explanation(found, target, shell_command("cifar-sweeps", ["explain", *typed]))
    if out is None:
        store.client().log_artifacts(trained.record.run_id, str(target), FOLDER)
    for subject, probabilities in zip(found.subjects, found.probabilities, strict=True):
        at = int(probabilities.argmax())
        actual = "" if subject.actual is None else f", actual {trained.classes[subject.actual]}"
        line = f"{subject.name}: {trained.classes[at]} {float(probabilities[at]):.2f}{actual}"
        console.print(line, markup=False)
    for note in found.notes:
        console.print(note, markup=False)
    console.print(f"Page: {page}", markup=False, soft_wrap=True)
