"""`cifar-sweeps summary`: a model's layers as a table."""

from typing import TYPE_CHECKING

from cifar_sweeps.cli.common import ConfigDir, Overrides

if TYPE_CHECKING:
    from rich.table import Table

    from cifar_sweeps.models.summary import Summary


def summary(overrides: Overrides = None, config_dir: ConfigDir = None) -> None:
    """Print a model's layers, output shapes, parameters and multiply-adds."""
    from rich.console import Console

    from cifar_sweeps.config import build
    from cifar_sweeps.config.compose import compose

    config, note = build.with_classes_at_hand(compose(overrides or [], config_dir))
    console = Console(highlight=False)
    console.print(summary_table(build.summarize_model(config)))
    if note:
        console.print(note, markup=False)


def summary_table(summary: "Summary") -> "Table":
    """Return a table of layers with type, output shape, parameters and multiply-adds, and totals in the last row."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True, padding=(0, 1, 0, 0))
    table.add_column("layer", footer="total", overflow="fold")
    table.add_column("type")
    table.add_column("output")
    table.add_column("parameters", footer=f"{summary.parameters:,}", justify="right")
    table.add_column("multiply-adds", footer=f"{summary.multiply_adds:,}", justify="right")
    for layer in summary.layers:
        shape = "×".join(str(side) for side in layer.output_shape)
        counts = [f"{n:,}" if n else "" for n in (layer.parameters, layer.multiply_adds)]
        table.add_row(Text(layer.name), Text(layer.type), shape, *counts)
    frozen = summary.parameters - summary.trainable
    note = f"{frozen:,} parameters are frozen. " if frozen else ""
    table.caption = f"{note}Multiply-adds of convolutions and dense layers, for one image."
    table.caption_justify = "left"
    return table
