"""Write the page of what a run would train on, and its pictures and pairs of duplicates as files beside it."""

import csv
import hashlib
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cifar_sweeps
from cifar_sweeps.analysis.figures import save
from cifar_sweeps.analysis.matplotlib_setup import own_style
from cifar_sweeps.analysis.pages.html_page import render_sections
from cifar_sweeps.data.folder_layout import show
from cifar_sweeps.inspection import data_tables
from cifar_sweeps.inspection.data_findings import DataFindings
from cifar_sweeps.inspection.data_sections import data_sections
from cifar_sweeps.system.files import file_name, write_text_atomic

PAIRS_FILE = "duplicates.csv"


@dataclass(frozen=True)
class WrittenPage:
    """The page, and the folder with its pictures and ``duplicates.csv``. missing: letters that no font here has."""

    page: Path
    folder: Path
    missing: frozenset[str]


@own_style()
def write_data_page(found: DataFindings, command: Sequence[str], out: Path | None = None) -> WrittenPage:
    """Write the page and the files of its folder. command: what makes them again, to be printed.

    out: the page. Default: `default_page`. The files lie beside it, in ``NAME_files``.
    """
    page = default_page(found) if out is None else out.expanduser()
    page = page if page.suffix == ".html" else page.with_name(f"{page.name}.html")
    folder = page.with_name(f"{page.stem}_files")  # as browsers call what belongs to a page
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):  # a picture of duplicates that are gone would mislead
        old.unlink()
    sections = list(data_sections(found))
    missing: set[str] = set()
    for section in sections:
        for figure in section.figures:
            missing |= save(figure.figure, folder / f"{figure.title.lower().replace(',', '').replace(' ', '_')}.png")
    write_text_atomic(folder / PAIRS_FILE, _pairs_csv(found))
    html = render_sections(
        f"Data: {found.data.name}",
        _summary(found),
        sections,
        version=cifar_sweeps.__version__,
        warnings=[f"{line}." for line in data_tables.leak_lines(found)],
        commands=[shlex.join(command)],
    )
    write_text_atomic(page, html)
    return WrittenPage(page, folder, frozenset(missing))


def default_page(found: DataFindings) -> Path:
    """Return where the page of these images, splits, seed and augmentation is written."""
    digest = hashlib.sha256(f"{found.data.fingerprint} {found.config.augmentation} {found.config.seed}".encode())
    for split in found.splits:
        digest.update(split.indices.numpy().tobytes())
    name = file_name("-".join(found.data.name.replace("(", "").replace(")", "").split()))
    name = f"data-{name}-{digest.hexdigest()[:6]}"
    return Path(found.config.outputs) / "reports" / f"{name}.html"


def _summary(found: DataFindings) -> str:
    height, width = found.data.train.images.shape[-2:]
    counts = ", ".join(f"{len(split):,} {split.name}" for split in found.splits)
    return (
        f"What a run with these settings would train on: {counts} images of {width}×{height} pixels in "
        f"{len(found.data.classes):,} classes. Nothing was trained."
    )


def _pairs_csv(found: DataFindings) -> str:
    """Return all pairs of duplicates, a row each: of equal images, the first with each other one."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    sides = [f"{what}_{number}" for number in (1, 2) for what in ("split", "image", "index", "label")]
    rows.writerow(("kind", "correlation", "detail_correlation", *sides))
    for pair in found.duplicates.all_pairs():
        places: list[object] = []
        for position in (pair.first, pair.second):
            split, index = found.at(position)
            paths = found.files.get(split.side)
            path = show("/".join(Path(paths[index]).parts[-3:])) if paths else split.side
            places += [split.name, path, index, found.data.classes[int(split.images.labels[index])]]
        kind = "equal" if pair.exact else "near"
        rows.writerow((kind, f"{pair.correlation:.4f}", f"{pair.detail:.4f}", *places))
    return text.getvalue()
