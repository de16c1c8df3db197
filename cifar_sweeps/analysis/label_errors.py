"""Images whose labels are probably wrong, from the predictions of networks that were not trained on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cifar_sweeps.analysis.predictions import Predictions
from cifar_sweeps.errors import ConfigError, DataError, in_one_line

INSTALL = "pip install 'cifar-sweeps[labels]'"


@dataclass(frozen=True)
class OutOfSample:
    """Mean predictions for M of a data set's training images, each by the networks that were not trained on it.

    predictions: of these images; ``index`` is into the training images. times: (M,) int64, how many networks
    predicted each image.
    """

    predictions: Predictions
    times: npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelScores:
    """Precision and recall of suspected labels, where the wrong ones are known. wrong: how many there are."""

    precision: float
    recall: float
    wrong: int


def out_of_sample(parts: Sequence[Predictions]) -> OutOfSample:
    """Join the predictions for validation images of several networks; an image that several predicted gets their mean.

    parts: at least one; of the same data set, ``index`` into its training images.
    """
    size = 1 + max(int(part.index.max()) for part in parts)
    classes = parts[0].classes
    sums, times = np.zeros((size, len(classes))), np.zeros(size, dtype=np.int64)
    labels = np.zeros(size, dtype=np.int64)
    for part in parts:
        sums[part.index] += part.probabilities
        times[part.index] += 1
        labels[part.index] = part.labels
    seen = np.flatnonzero(times)
    means = (sums[seen] / times[seen, None]).astype(np.float32)
    return OutOfSample(Predictions(seen, labels[seen], means, classes), times[seen])


def suspected_labels(predictions: Predictions) -> npt.NDArray[np.int64]:
    """Return the positions of images whose labels are probably wrong, the most suspicious first.

    cleanlab's confident learning (Northcutt et al., JAIR 2021), ranked by the probability of the label. Raises
    ConfigError if cleanlab is not installed, DataError if it cannot work with these predictions.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise ConfigError(f"label errors are found by cleanlab, which is not installed; {INSTALL}") from error
    try:
        found = find_label_issues(
            predictions.labels,
            predictions.probabilities.astype(np.float64),
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        )
    except Exception as error:  # it raises various errors, for classes that have no image, for example
        raise DataError(
            f"cleanlab cannot judge these {len(predictions):,} images ({in_one_line(error)}); every class needs images "
            "that some run validated on: use data.split=fold, or a larger data.val_fraction"
        ) from error
    return np.asarray(found, dtype=np.int64)


def score_suspects(
    predictions: Predictions, suspects: npt.NDArray[np.int64], true_labels: npt.NDArray[np.int64]
) -> LabelScores:
    """Compare suspects with the known truth. true_labels: of all training images; ``index`` points into them."""
    wrong = predictions.labels != true_labels[predictions.index]
    hits = int(wrong[suspects].sum())
    total = int(wrong.sum())
    return LabelScores(hits / len(suspects) if len(suspects) else 0.0, hits / total if total else 0.0, total)
