"""`cifar-sweeps explain`: what a run's network looks at."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_sweeps.cli.common import mark_abandoned_runs
from cifar_sweeps.cli.completion import complete_run

if TYPE_CHECKING:
    from cifar_sweeps.analysis.tables import TextTable
    from cifar_sweeps.inspection.explain.results import Explanation


def explain(
    run: Annotated[
        str, typer.Argument(help="a run's id, the beginning of it, or its name", autocompletion=complete_run)
    ],
    index: Annotated[
        list[str] | None, typer.Option(help="a test image by its number, or several: --index 3,17; may be repeated")
    ] = None,
    mistakes: Annotated[int | None, typer.Option(help="so many of the most confident mistakes")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="a picture of any size; may be repeated")] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="a layer whose feature maps are shown, as cifar-sweeps summary names it; may be repeated, and the "
            "last one is that of Grad-CAM; by default the first convolution, one in the middle, and the last"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="write the page there, and nothing else; by default page and pictures go to explain/ in the run's "
            "folder, and to its artifacts in MLflow"
        ),
    ] = None,
) -> None:
    """Show what a run's network looks at: Grad-CAM, occlusion, gradients, feature maps, similar training images.

    By default in its eight most confident mistakes and three images that it has right. Occlusion and integrated
    gradients need captum (pip install captum); the rest is made without it.
    """
    from rich.console import Console

    mark_abandoned_runs()
    from cifar_sweeps.analysis.matplotlib_setup import import_matplotlib

    import_matplotlib()
    from cifar_sweeps.inspection.explain import artifacts
    from cifar_sweeps.inspection.explain.explanation import explain as compute
    from cifar_sweeps.inspection.explain.page import completeness
    from cifar_sweeps.inspection.explain.subjects import Selection
    from cifar_sweeps.runs.trained_run import open_trained_run
    from cifar_sweeps.studies.reports.terminal_tables import to_rich_table
    from cifar_sweeps.system.scripts import shell_command
    from cifar_sweeps.tracking.store import default_store

    selection = Selection(_numbers(index or []), mistakes, tuple(image or []))
    if out is not None:
        artifacts.check_page(out)
    console = Console(highlight=False)
    with console.status("") as status:
        trained = open_trained_run(run, default_store())
        found = compute(trained, selection, layer or [], lambda line: status.update(line.replace("[", "\\[")))
        typed = [("--index", each) for each in index or []]
        typed += [] if mistakes is None else [("--mistakes", str(mistakes))]
        typed += [("--image", str(each)) for each in image or []] + [("--layer", each) for each in layer or []]
        words = ["explain", trained.record.run_id[:8], *(word for pair in typed for word in pair)]
        command = shell_command("cifar-sweeps", words)
        status.update("the page")
        page, pictures = (
            artifacts.write_artifacts(found, command)
            if out is None
            else (artifacts.write_page(found, out, command), [])
        )
    console.print(to_rich_table(_table(found), console.width))
    lines = [completeness(found)]
    if found.nearest is not None:
        lines.append(f"Nearest of {found.nearest.searched:,} training images: {found.nearest.seconds:.1f} s.")
    for line in (*filter(None, lines), *found.notes):
        console.print(line, markup=False)
    console.print(f"Page: {page}", markup=False, soft_wrap=True)
    if out is None:
        artifacts.log_artifacts(trained, [page, *pictures])


def _numbers(typed: list[str]) -> tuple[int, ...]:
    from cifar_sweeps.errors import ConfigError

    words = [word for each in typed for word in each.split(",")]
    wrong = [word for word in words if not (word.strip().isascii() and word.strip().isdigit())]
    if wrong:
        raise ConfigError(f"--index {','.join(wrong)}: must be numbers of test images from 0; use e.g. --index 3,17")
    return tuple(int(word) for word in words)


def _table(found: "Explanation") -> "TextTable":
    from cifar_sweeps.analysis.tables import Column, TextTable

    classes = found.classes
    rows = [
        (
            subject.name,
            "" if subject.actual is None else classes[subject.actual],
            classes[subject.predicted],
            f"{float(subject.probabilities[subject.predicted]):.3f}",
        )
        for subject in found.subjects
    ]
    columns = (Column("image"), Column("actual"), Column("predicted"), Column("probability", is_number=True))
    return TextTable("", columns, tuple(rows))
