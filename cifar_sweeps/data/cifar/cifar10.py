"""Load CIFAR-10 from its Python batches, downloading them with torchvision if they are missing."""

from pathlib import Path

from cifar_sweeps.data.cifar.archive import Archive, load_archive
from cifar_sweeps.data.dataset import ImageData, Progress

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = Archive(
    name="CIFAR-10",
    option="cifar10",
    folder="cifar-10-batches-py",
    train_files=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test_files=("test_batch",),
)


def load_cifar10(
    *, root: str | Path, cache: str | Path, download: bool = True, progress: Progress | None = None
) -> ImageData:
    """Load ``root/cifar-10-batches-py`` in its original order, downloading it first if it is missing.

    Batches that lie in ``root`` itself, or in a folder of it, are used as well, and a note says so. Existing batches
    are used as they are, without network access. progress: told when a download starts.
    Raises DataError if they are damaged, or if they are missing and cannot be downloaded; all of them in one error.
    """
    return load_archive(
        ARCHIVE,
        name=ARCHIVE.name,
        labels="labels",
        classes=CLASSES,
        root=root,
        cache=cache,
        download=download,
        original_order=True,
        progress=progress,
    )
