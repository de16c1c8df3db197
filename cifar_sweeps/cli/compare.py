"""`cifar-sweeps compare`: two runs, arms or sweeps beside each other."""

from typing import TYPE_CHECKING, Annotated

import typer

from cifar_sweeps.cli.common import mark_abandoned_runs
from cifar_sweeps.cli.completion import complete_sweep_or_run, complete_sweep_or_study

if TYPE_CHECKING:
    from rich.console import Console

    from cifar_sweeps.inspection.comparison.compare import Comparison

Side = Annotated[
    str,
    typer.Argument(
        help="a run or a sweep by its id, the beginning of that, or its name; or an arm, SWEEP:ARM or STUDY:ARM, "
        "with ARM as results --arms shows it, or words that only one has",
        autocompletion=complete_sweep_or_run,
    ),
]


def compare(
    a: Side,
    b: Side,
    within: Annotated[
        str | None,
        typer.Option(
            "--in",
            metavar="SWEEP",
            help="a sweep or study that both are in: then A and B are its arms or runs",
            autocompletion=complete_sweep_or_study,
        ),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="only the figures, as comma-separated values; no page")] = False,
    json: Annotated[bool, typer.Option("--json", help="everything, as one JSON object; no page")] = False,
) -> None:
    """Compare two runs (do these nets differ?), or two arms or sweeps with seeds (do these settings differ?).

    What differs in their configs, curves, figures, classes, and the images that one has right and the other wrong.
    """
    import json as json_format

    from rich.console import Console

    if csv and json:
        raise typer.BadParameter("give --csv or --json, not both")
    mark_abandoned_runs()
    from cifar_sweeps.inspection.comparison import tables
    from cifar_sweeps.inspection.comparison.compare import compare as compare_sides
    from cifar_sweeps.inspection.comparison.page import write_page
    from cifar_sweeps.inspection.explain.explanation import class_maps
    from cifar_sweeps.runs.loading import LoadingBar
    from cifar_sweeps.tracking.store import default_store

    store, console = default_store(), Console(highlight=False)
    found = compare_sides(a, b, store, within, LoadingBar(Console(stderr=True)))
    if csv:
        typer.echo(tables.as_frame(found).to_csv(index=False), nl=False)
        return
    if json:
        objects = tables.as_objects(found)
        typer.echo(json_format.dumps(objects[0] if len(objects) == 1 else objects, indent=1, ensure_ascii=False))
        return
    typed = [*(["--in", within] if within else []), a, b]
    _print(found, console)
    page = write_page(found, typed, store.outputs, class_maps)
    console.print(f"Page: {page}", markup=False, soft_wrap=True)


_LISTED = 3


def _print(found: "list[Comparison]", console: "Console") -> None:
    from cifar_sweeps.inspection.comparison import tables
    from cifar_sweeps.inspection.comparison.compare import remarks
    from cifar_sweeps.studies.reports.terminal_tables import to_rich_table

    if len(found) > 1:
        for letter, side in (("A", found[0].first), ("B", found[0].second)):
            console.print(f"{letter}: {side.typed.partition(':')[0]}", markup=False)
        warnings, notes = remarks(found)
        for warning in warnings:
            console.print(warning, markup=False, style="bold")
        console.print(to_rich_table(tables.arms_table(found), console.width))
        for note in notes:
            console.print(note, markup=False)
        console.print("Each arm by itself: name it on both sides, SWEEP:ARM", markup=False)
        return
    (comparison,) = found
    for letter, side in (("A", comparison.first), ("B", comparison.second)):
        runs = ", ".join(run.run_id[:8] for run in side.runs)
        console.print(f"{letter}: {side.name} ({'run' if len(side.runs) == 1 else 'runs'} {runs})", markup=False)
    console.print()
    for warning in comparison.warnings:
        console.print(warning, markup=False, style="bold")
    console.print(comparison.answer.question, markup=False, style="bold")
    for line in (comparison.answer.verdict, *comparison.answer.details):
        console.print(line, markup=False)
    console.print()
    differences = tables.differences_table(comparison)
    if differences.rows:
        console.print(to_rich_table(differences, console.width))
    else:
        console.print(f"What differs: {comparison.differences.text}\n", markup=False)
    for table in (tables.figures_table(comparison), tables.classes_table(comparison)):
        console.print(to_rich_table(table, console.width))
    if comparison.images is not None:
        counts = ", ".join(f"{name} {number}" for name, number, _ in tables.images_table(comparison).rows)
        console.print(f"Test images: {counts}.\n", markup=False)
        console.print(to_rich_table(tables.examples_table(comparison, _LISTED), console.width))
    for note in comparison.notes:
        console.print(note, markup=False)
