"""Say in a few lines what a loader changed in the images, left out, or found odd."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cifar_sweeps.data.picture_files import Change, Treatment

_CHANGES: dict[Change, str] = {
    "turned": "{count} turned by EXIF",
    "transparent": "{count} transparent laid on {background}",
    "deep": "{count} of 16 bits scaled to 8",
    "cmyk": "{count} of CMYK converted to RGB",
    "frames": "the first frame of {count} with several",
}


@dataclass
class LoadedPictures:
    """What was found in the images of one side. Entries are in the order of the images.

    digests: equal for equal pixels. flat: whether all pixels of an image have one colour.
    """

    labels: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    changes: list[tuple[Change, ...]] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    flat: list[bool] = field(default_factory=list)


def loading_notes(
    sides: Sequence[LoadedPictures], treatment: Treatment, background: str, left_out: int
) -> tuple[str, ...]:
    """Return the notes of a data set's sides, the training images first; none where nothing is to be said."""
    treated = [*_treatments(sides, treatment, background)]
    if left_out:
        treated.append(f"{left_out:,} hidden or system file{'s' if left_out > 1 else ''} left out")
    return (*(["images: " + "; ".join(treated)] if treated else []), *_oddities(sides))


def _treatments(sides: Sequence[LoadedPictures], treatment: Treatment, background: str) -> Iterator[str]:
    target = (treatment.width, treatment.height)
    sizes = [size for side in sides for size in side.sizes]
    others = Counter(size for size in sizes if size != target)
    if others:
        count = others.total()
        shown = [f"{width}×{height}" for width, height in sorted(others)]
        which = shown[0] if len(shown) == 1 else f"{shown[0]} to {shown[-1]} ({len(shown)} sizes)"
        how = {"squash": "resized", "crop": "resized and cropped", "pad": f"resized and padded with {background}"}
        line = f"{count:,} of {which} {how[treatment.fit]} to {target[0]}×{target[1]}"
        skewed = any(width * target[1] != height * target[0] for width, height in others)
        if treatment.fit == "squash" and skewed:
            line += " (squashed; data.fit=crop or pad keeps proportions)"
        yield line
    changes = Counter(change for side in sides for changes in side.changes for change in changes)
    for change, text in _CHANGES.items():
        if changes[change]:
            yield text.format(count=f"{changes[change]:,}", background=background)


def _oddities(sides: Sequence[LoadedPictures]) -> Iterator[str]:
    train, others = sides[0], sides[1:]
    count, kinds = len(train.digests), len(set(train.digests))
    if kinds == 1 and count > 1:
        yield f"all {count:,} training images are alike: there is nothing to learn from them; look at the files"
        return
    flat = sum(sum(side.flat) for side in sides)
    total = sum(len(side.flat) for side in sides)
    if flat:
        which = f"all {total:,}" if flat == total else f"{flat:,} of {total:,}"
        yield f"{which} images are of one colour throughout; look at the files if they should show something"
    if kinds < count:
        labels: dict[bytes, set[int]] = {}
        for digest, label in zip(train.digests, train.labels, strict=True):
            labels.setdefault(digest, set()).add(label)
        torn = sum(len(found) > 1 for found in labels.values())
        line = f"{count - kinds:,} of {count:,} training images are copies of others"
        yield line + (f", {torn:,} of them under several classes" if torn else "")
    known = set(train.digests)
    leaked = sum(digest in known for side in others for digest in side.digests)
    if leaked:
        yield f"{leaked:,} test or validation images are copies of training images: their accuracy says less"
