"""Write what an arm trains on, validates on and tests on into one .npz, for programs that know nothing of cifar_sweeps.

python -m tests.benchmarks.peers.export_npz FOLDER.npz OVERRIDE…  (overrides as for cifar-train)

Arrays: train_images, val_images, test_images (N, 32, 32, 3) uint8; train_labels, val_labels, test_labels (N,) int64.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.data.dataset import LabelledImages
from cifar_sweeps.runs.setup import check_data


def export(path: Path, overrides: Sequence[str]) -> None:
    """Divide the data as the config says, with its seed, and write the three parts."""
    config = compose(overrides)
    data = build.images(config)
    splits = check_data(config, build.summarize_model(config), data)
    parts: dict[str, tuple[LabelledImages, object]] = {
        "train": (data.train, splits.train),
        "val": (data.test if splits.val_on_test else data.train, splits.val),
        "test": (data.test, slice(None)),
    }
    arrays = {}
    for name, (side, chosen) in parts.items():
        arrays[f"{name}_images"] = np.ascontiguousarray(side.images[chosen].permute(0, 2, 3, 1).numpy())
        arrays[f"{name}_labels"] = side.labels[chosen].numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


if __name__ == "__main__":
    export(Path(sys.argv[1]), sys.argv[2:])
