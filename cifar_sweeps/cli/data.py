"""`cifar-sweeps data`: what a run with these overrides would train on, as a page, pictures and a summary."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_sweeps.cli.common import ConfigDir, Overrides

if TYPE_CHECKING:
    from rich.console import Console

    from cifar_sweeps.inspection.data_findings import DataFindings


def data(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    out: Annotated[
        Path | None,
        typer.Option(help="the page; its pictures go into a folder beside it  [default: OUTPUTS/reports/data-….html]"),
    ] = None,
) -> None:
    """Look at what a run would train on: splits, samples, augmentation, channels, duplicates, odd images."""
    from rich.console import Console

    from cifar_sweeps.config.compose import compose
    from cifar_sweeps.inspection.data_findings import look_at_data
    from cifar_sweeps.inspection.data_page import PAIRS_FILE, write_data_page
    from cifar_sweeps.runs.loading import LoadingBar

    config = compose(overrides or [], config_dir)
    console = Console(highlight=False)
    bar = LoadingBar(console)
    try:
        found = look_at_data(config, bar)
    finally:
        bar.close()
    folder = ["--config-dir", str(config_dir)] if config_dir is not None else []
    written = write_data_page(found, ["cifar-sweeps", "data", *(overrides or []), *folder], out)
    _print_summary(found, console)
    if written.missing:
        letters = "".join(sorted(written.missing))[:20]
        console.print(f"No font here has {len(written.missing)} of the letters ({letters}): boxes.", markup=False)
    console.print(f"Page: {written.page}", markup=False, soft_wrap=True)
    console.print(f"Pictures, and all pairs in {PAIRS_FILE}: {written.folder}", markup=False, soft_wrap=True)


def _print_summary(found: "DataFindings", console: "Console") -> None:
    from cifar_sweeps.inspection import data_tables
    from cifar_sweeps.studies.reports.terminal_tables import to_rich_table

    height, width = found.data.train.images.shape[-2:]
    console.print(f"{found.data.name}: {width}×{height} pixels, {len(found.data.classes):,} classes", markup=False)
    for note in (*found.notes, *found.left_out):
        console.print(f"  {note}", markup=False)
    console.print(to_rich_table(data_tables.splits_table(found), console.width))
    duplicates = data_tables.overlaps_table(found, only_found=True)
    console.print(to_rich_table(duplicates, console.width) if duplicates.rows else duplicates.empty)
    for line in data_tables.leak_lines(found):
        console.print(line, markup=False, style="bold")
    overrides = data_tables.standardisation_overrides(found)
    if overrides:
        console.print("Mean and deviation of the training images, to standardise with:", markup=False)
        console.print(f"  {overrides}", markup=False, soft_wrap=True)
