"""Read the pickles of the published CIFAR archives, without running anything that they name."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class _SafeUnpickler(pickle.Unpickler):
    """Unpickler for numpy arrays and plain values; refuses anything that could run code."""

    _ALLOWED = frozenset(
        {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
        | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
    )

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 (pickle's signature)
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which CIFAR's files do not")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_images(path: Path, labels: str, num_classes: int) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """Return the pixels (N, 3072) and the N labels of one file. labels: the name under which the file has them.

    Raises whatever a damaged pickle raises, or ValueError if it holds something else.
    """
    content = _load(path)
    pixels, numbers = content["data"], content[labels]
    count = len(numbers)
    if pixels.shape != (count, 3072) or pixels.dtype != np.uint8:
        raise ValueError(f"{pixels.shape} {pixels.dtype} pixels for {count} labels")
    if count == 0 or not all(0 <= label < num_classes for label in numbers):
        raise ValueError(f"no labels, or labels beyond {num_classes - 1}")
    return pixels, numbers


def read_class_names(path: Path, key: str, count: int) -> tuple[str, ...]:
    """Return the names of the classes in the order of their labels. Raises as `read_images`."""
    names = _load(path)[key]
    if len(names) != count or len(set(names)) != count or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{key} are not {count} different names")
    return tuple(names)


def _load(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        content: dict[str, Any] = _SafeUnpickler(file, encoding="latin1").load()
    return content
