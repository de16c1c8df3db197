"""Tables and lines of what a run would train on, for the page and the terminal."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cifar_sweeps.analysis.datasets.class_counts import imbalance
from cifar_sweeps.analysis.tables import Column, TextTable
from cifar_sweeps.data.folder_layout import show
from cifar_sweeps.inspection.data_findings import DataFindings, SplitOverlap

_MOST_PARTS = 8
CHANGES = {
    "turned": "turned by EXIF",
    "transparent": "transparent, laid on {background}",
    "deep": "16 bits a channel, scaled to 8",
    "cmyk": "CMYK, converted to RGB",
    "frames": "several frames, of which the first is used",
}
"""What the loader does with files, by `cifar_sweeps.data.picture_files.Change`."""
GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I")


def splits_table(found: DataFindings) -> TextTable:
    """Return a row a split: images, of a class, and those that are grey or of one colour."""
    rows = []
    for split, counts in zip(found.splits, found.counts, strict=True):
        low, high = int(counts.min()), int(counts.max())
        a_class = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        grey, flat = int(split.statistics.grey.sum()), int(split.statistics.flat.sum())
        name = f"{split.name} (the test images)" if split.same_as_test else split.name
        rows.append((name, f"{len(split):,}", a_class, f"{grey:,}", f"{flat:,}"))
    columns = [Column(name, is_number=True) for name in ("images", "of a class", "grey", "one colour")]
    note = "grey: red, green and blue are equal in every pixel; one colour: all pixels are the same (and may be grey)"
    return TextTable("", (Column("split"), *columns), tuple(rows), note=note)


def classes_table(found: DataFindings, most: int) -> TextTable:
    """Return a row a class, of the first ``most``: its images in each split and training part, and those not used."""
    names, classes = [split.name for split in found.splits], found.data.classes
    columns = [*found.counts]
    parts = found.run_splits.parts
    if 1 < len(parts) <= _MOST_PARTS:
        for number, part in enumerate(parts, 1):
            names.append(f"part {number}")
            columns.append(np.bincount(found.data.train.labels[part].numpy(), minlength=len(classes)))
    unused = np.bincount(found.data.train.labels.numpy(), minlength=len(classes)) - found.counts[0]
    if found.run_splits.val_from == "train" and len(found.splits) > 2:
        unused = unused - found.counts[1]
    if unused.any():
        names.append("not used")
        columns.append(unused)
    rows = [(name, *(f"{int(column[label]):,}" for column in columns)) for label, name in enumerate(classes[:most])]
    if len(classes) > 1:
        rows.append(("all", *(f"{int(column.sum()):,}" for column in columns)))
    note = f"The first {most} of {len(classes):,} classes." if len(classes) > most else ""
    heads = (Column("class"), *(Column(name, is_number=True) for name in names))
    return TextTable("Images of each class", heads, tuple(rows), note=note)


def imbalance_line(found: DataFindings) -> str:
    """Return how uneven the training classes are, in words."""
    times = imbalance(found.counts[0])
    if np.isinf(times):
        return "Some classes have no training image."
    return f"The largest class has {times:,.1f} times as many training images as the smallest."


def overlaps_table(found: DataFindings, only_found: bool = False) -> TextTable:
    """Return a row a pair of splits: the images that have a duplicate there, exact or near, and with other labels.

    only_found: leave out rows without any.
    """
    rows = []
    for each in found.overlaps:
        if only_found and not each.overlap.images:
            continue
        overlap, size = each.overlap, len(each.one)
        rows.append(
            (
                where(each),
                f"{overlap.exact:,}",
                f"{overlap.near:,}",
                f"{overlap.images / size:.2%}" if size else "",
                f"{overlap.otherwise:,}",
            )
        )
    columns = ("equal pixels", "nearly the same", "of the split", "other label")
    heads = (Column("duplicates"), *(Column(name, is_number=True) for name in columns))
    return TextTable("", heads, tuple(rows), empty="No duplicates were found.")


def where(each: SplitOverlap) -> str:
    """Return which images are meant, in words."""
    if each.one.name == each.other.name:
        return f"within {each.one.name}"
    return f"{each.one.name} in {each.other.name}"


def leak_lines(found: DataFindings) -> Iterator[str]:
    """Yield a line for each split whose images are among the training images too, and one for labels that disagree."""
    for each in found.overlaps:
        overlap, size = each.overlap, len(each.one)
        if each.is_leak and overlap.images:
            kinds = [f"{overlap.exact:,} equal in every pixel"] if overlap.exact else []
            kinds += [f"{overlap.near:,} nearly the same"] if overlap.near else []
            torn = f"; {overlap.otherwise:,} of them under another label" if overlap.otherwise else ""
            yield (
                f"{overlap.images:,} of {size:,} {each.one.name} images ({overlap.images / size:.1%}) have a duplicate "
                f"among the training images, {' and '.join(kinds)}{torn}: accuracy on them says less"
            )
    torn_apart = [each.overlap.otherwise for each in found.overlaps if each.one is each.other is found.training]
    if any(torn_apart):
        yield f"{torn_apart[0]:,} training images have a duplicate under another label"


def channels_table(found: DataFindings) -> TextTable:
    """Return mean and deviation of the training images' channels."""
    statistics = found.training.statistics
    rows = zip(("red", "green", "blue"), statistics.mean, statistics.std, strict=True)
    columns = (Column("channel"), Column("mean", is_number=True), Column("deviation", is_number=True))
    return TextTable("", columns, tuple((name, f"{mean:.4f}", f"{std:.4f}") for name, mean, std in rows))


def standardisation_overrides(found: DataFindings) -> str:
    """Return the overrides that standardise with the training images' mean and deviation; empty if one is 0."""
    statistics = found.training.statistics
    if min(statistics.std) < 5e-5:
        return ""
    mean, std = (",".join(f"{x:.4f}" for x in values) for values in (statistics.mean, statistics.std))
    return shlex.join([f"data.mean=[{mean}]", f"data.std=[{std}]"])


def standardisation_line(found: DataFindings) -> str:
    """Return how this run scales pixels, in words."""
    data = found.config.data
    if data.mean is None and data.std is None:
        return "This run divides pixels by 255 and leaves them so (data.mean=null data.std=null)."
    return f"This run scales pixels with data.mean={data.mean} data.std={data.std}."


def files_table(found: DataFindings) -> TextTable:
    """Return a row for each thing that the loader does with files: how many, and the first of them by name."""
    config = found.config.data
    height, width = config.image_shape
    how = {"squash": "resized", "crop": "resized and cropped", "pad": f"resized and padded with {config.background}"}
    kinds: dict[str, list[str]] = {}
    for side, headers in found.headers.items():
        for path, header in zip(found.files[side], headers, strict=True):
            if header.size != (width, height):
                kinds.setdefault(f"{how[config.fit]} to {width}×{height}", []).append(path)
            for change in header.changes:
                kinds.setdefault(CHANGES[change].format(background=config.background), []).append(path)
            if header.mode in GREY_MODES:
                kinds.setdefault("grey, the same in all three channels", []).append(path)
    rows = [(what, f"{len(paths):,}", _some(paths)) for what, paths in kinds.items()]
    columns = (Column("what the loader did"), Column("files", is_number=True), Column("which"))
    return TextTable("", columns, tuple(rows), empty="No file was changed: all are of the size, and opaque RGB.")


def sizes_line(found: DataFindings) -> str:
    """Return the smallest and the largest picture, with their files, in words."""
    sized = [
        (header.size[0] * header.size[1], header.size, path)
        for side, headers in found.headers.items()
        for path, header in zip(found.files[side], headers, strict=True)
    ]
    (_, small, first), (_, large, last) = min(sized), max(sized)
    if small == large:
        return f"All files have {small[0]}×{small[1]} pixels."
    return (
        f"The smallest file has {small[0]}×{small[1]} pixels ({_some([first])}), "
        f"the largest {large[0]}×{large[1]} ({_some([last])})."
    )


def _some(paths: Sequence[str], count: int = 5) -> str:
    named = ", ".join(show("/".join(Path(path).parts[-3:])) for path in paths[:count])
    return named + (f" and {len(paths) - count:,} more" if len(paths) > count else "")
