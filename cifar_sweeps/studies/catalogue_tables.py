"""The catalogue of studies as a person reads it on a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cifar_sweeps.studies.catalogue import CatalogueStudy


def print_catalogue(studies: Sequence[CatalogueStudy], console: Console) -> None:
    """Print a table a study: its arms with parameters, what the document printed, and whether it runs offline."""
    for study in studies:
        console.print(Text(study.name, style="bold"), Text(study.about))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("arm", no_wrap=True)  # to be copied
        table.add_column("parameters", justify="right")
        table.add_column("published", overflow="fold")
        table.add_column("offline", overflow="fold")
        for arm in study.arms:
            count = "-" if arm.parameters is None else f"{arm.parameters:,}"
            table.add_row(Text(arm.name), count, arm.published, Text(f"no: {arm.needs}" if arm.needs else "yes"))
        if study.arms:
            console.print(table)
        if not study.name:
            console.print("cifar-train experiment=ARM\n")
            continue
        swept = "".join(f", {key}={values}" for key, values in study.swept.items())
        console.print(f"{study.runs} runs{swept}: cifar-train study={study.name}\n", markup=False, soft_wrap=True)
    console.print(
        "CIFAR-10 itself is downloaded once (data=cifar10), or lies in data.root; data=image_folder and data=synthetic "
        "download nothing. budget=short and budget=smoke train less."
    )
