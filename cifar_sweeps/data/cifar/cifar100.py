"""Load CIFAR-100 with its 100 fine or its 20 coarse classes, downloading it with torchvision if it is missing."""

from pathlib import Path
from typing import Literal

from cifar_sweeps.data.cifar.archive import Archive, ClassNames, load_archive
from cifar_sweeps.data.dataset import ImageData, Progress
from cifar_sweeps.errors import ConfigError

CLASS_COUNTS = {"fine": 100, "coarse": 20}
ARCHIVE = Archive(
    name="CIFAR-100",
    option="cifar100",
    folder="cifar-100-python",
    train_files=("train",),
    test_files=("test",),
    other_files=("meta",),
    general_names=True,
)


def load_cifar100(
    *,
    root: str | Path,
    cache: str | Path,
    labels: Literal["fine", "coarse"] = "fine",
    download: bool = True,
    progress: Progress | None = None,
) -> ImageData:
    """Load ``root/cifar-100-python`` as published, downloading it first if it is missing.

    labels: ``fine`` for the 100 classes, ``coarse`` for the 20 that hold five of them each.
    Files that lie in ``root`` itself, or in a folder of it, are used as well, and a note says so. Existing files are
    used as they are, without network access. progress: told when a download starts.
    Raises ConfigError for other labels, DataError if the files are damaged, or missing and cannot be downloaded.
    """
    if labels not in CLASS_COUNTS:
        raise ConfigError(f"data.labels={labels}: must be fine (100 classes) or coarse (20)")
    count = CLASS_COUNTS[labels]
    return load_archive(
        ARCHIVE,
        name=ARCHIVE.name if labels == "fine" else f"{ARCHIVE.name} ({count} coarse classes)",
        labels=f"{labels}_labels",
        classes=ClassNames("meta", f"{labels}_label_names", count),
        root=root,
        cache=cache,
        download=download,
        original_order=False,  # of CIFAR-10: there are no batches here that a document speaks of
        progress=progress,
    )
