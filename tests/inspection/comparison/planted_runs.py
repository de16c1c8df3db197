"""Recorded runs with planted test predictions: which images each has wrong is known, and nothing is trained."""

import numpy as np
import torch
from studies.study_toys import ToyStore

import cifar_sweeps
from cifar_sweeps.analysis.predictions import FILE, Predictions
from cifar_sweeps.config import build
from cifar_sweeps.config.parse import flatten
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import tracking_uri

TINY = ("data.source.train_images=200", "data.source.test_images=60", "trainer.epochs=3", "trainer.precision=fp32")
TEST_IMAGES = 60


class PlantedStore(ToyStore):
    """Record runs with MLflow's client, as `ToyStore` does, whose config, images and predictions can be opened."""

    def __init__(self, outputs):
        Store(tracking_uri(None, outputs), outputs).prepare("toys")  # far faster than MLflow's own migrations
        super().__init__(outputs)
        self._known = {}
        self.runs = 0

    def plant(self, study, wrong, *overrides, seed=0, name=None, swept=None, parent=None, state="FINISHED", tags=None):
        """Record a run that has the test images ``wrong`` (positions) wrong; return its id. name: of a single run."""
        config, images, epochs = self._config(overrides, seed)
        self.runs += 1
        folder = self.store.outputs / "planted" / str(self.runs)
        folder.mkdir(parents=True)
        predictions = planted_predictions(images.test.labels.numpy(), images.classes, wrong)
        if state == "FINISHED":
            predictions.save(folder / FILE)
        own = {
            "folder": str(folder),
            "overrides": " ".join((*TINY, *overrides, f"seed={seed}")),
            "threads": "1",
            "precision": "fp32",
            "device": "cpu",
            "data": "synthetic",
            "data_fingerprint": images.fingerprint,
            "classes": str(len(images.classes)),
            "train_images": str(round(0.75 * len(images.train))),
            "test_images": str(len(images.test)),
            "validated_on": "validation",
            **(tags or {}),
        }
        params = {key: value for key, value in flatten(config).items() if len(value) < 500}
        run_id = self.run(
            study, 0.5, swept=swept or {}, seed=seed, parent=parent, tags=own, state=state, config=config,
            epochs=epochs, params=params,
        )  # fmt: skip
        if state == "FINISHED":
            self.client.log_metric(run_id, "test/accuracy", predictions.accuracy, step=epochs)
        if name is not None:
            self.client.update_run(run_id, name=name)
        return run_id

    def _config(self, overrides, seed):
        if overrides not in self._known:
            composed = cifar_sweeps.compose([*TINY, *overrides, f"outputs={self.store.outputs}"])
            self._known[overrides] = (composed.as_dict, build.images(composed), composed.trainer.epochs)
        config, images, epochs = self._known[overrides]
        return {**config, "seed": seed}, images, epochs


def planted_predictions(labels, classes, wrong):
    """Return predictions that are right but for the images ``wrong``, which are taken for the next class.

    The earlier an image, the surer: its probability falls from 0.9 to 0.5.
    """
    predicted = labels.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 1) % len(classes)
    sure = np.linspace(0.9, 0.5, len(labels), dtype=np.float32)
    probabilities = np.repeat((1 - sure)[:, None] / (len(classes) - 1), len(classes), axis=1)
    probabilities[np.arange(len(labels)), predicted] = sure
    return Predictions(np.arange(len(labels)), labels, probabilities.astype(np.float32), classes)


NONE, DROPOUT = ((0, 10), (0, 12), (2, 12)), ((0, 20), (3, 24), (0, 26))
"""Which test images the runs of the two arms have wrong, by seed: from the first to before the second."""


def one_sweep(outputs):
    """Record a sweep of two arms by three seeds."""
    planted = PlantedStore(outputs)
    in_sweep = {"parent": planted.sweep("toys", "arms"), "tags": {"sweep_id": "arms"}}
    for arm, wrong in (("none", NONE), ("dropout", DROPOUT)):
        for seed, (first, last) in enumerate(wrong):
            swept = {"regularization": arm}
            planted.plant("toys", range(first, last), f"regularization={arm}", seed=seed, swept=swept, **in_sweep)
    planted.in_sweep = in_sweep
    return planted


def two_sweeps(outputs):
    """Record that sweep with a failed run more, one on other test images, and single runs."""
    planted = one_sweep(outputs)
    swept = {"regularization": "dropout"}
    planted.plant("toys", (), "regularization=dropout", seed=3, swept=swept, state="FAILED", **planted.in_sweep)
    other = planted.sweep("others", "other_images")
    in_other = {"parent": other, "tags": {"sweep_id": "other_images"}}
    for seed in (5, 6, 7):
        wrong, swept = range(30 + seed), {"regularization": "none"}
        planted.plant("others", wrong, "data.source.test_images=80", seed=seed, swept=swept, **in_other)
    planted.plant("single", range(5, 12), name="alone")
    planted.plant(
        "single", range(8), "data.split=test", "trainer.epochs=2", name="on test", tags={"validated_on": "test"}
    )
    planted.plant("single", range(4), "data.source.train_images=240", name="more images")
    planted.plant("single", range(4), name="other classes", tags={"classes": "3"})
    return planted


def toy_explain(_run, images, classes):
    """What mattered, as a network would say it: the upper left quarter of an image, however it is classified."""
    maps = torch.zeros(len(classes), 4, 4)
    maps[:, :2, :2] = 1
    assert images.dtype == torch.uint8
    return maps
