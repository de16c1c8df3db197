"""Say in what two recorded trainings differ: resolved config, images and code, as far as they decide a result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cifar_sweeps.studies.pooling import BUDGET, CODE, FILES, IMAGES, OWN_CODE, arm_values
from cifar_sweeps.studies.study import StudyRun

TRAIN_IMAGES = "training images"
_FIRST = (IMAGES, TRAIN_IMAGES, "trainer.epochs", "trainer.parts", "data.image_size")
"""What makes accuracies those of other trainings altogether: named before anything else."""
_UNHEEDED = frozenset(
    {"trainer.eval_batch_size", "trainer.test_at", "trainer.test_augmented", "trainer.channels_last"}
    | {"data.num_classes", "model.num_classes", BUDGET}  # said by the images, and by epochs and images
)
_SOURCES_OF_MODEL = ("kernel_size.", "regularization.dropout.")
"""Settings that a model's arguments refer to: where those are equal, they have done nothing."""
_IN_OTHER_WORDS = {
    "data.source.image_size": "data.image_size",
    "model.image_size": "data.image_size",
    "data.source.split": "data.split",
    "lr_schedule.epochs": "trainer.epochs",
}
"""Arguments that repeat another key."""
_SIZES_OF_DATA = ("data.train_size", "data.train_fraction", "data.source.train_images", "data.val_size")
_NAMES = {
    TRAIN_IMAGES: ("training images", ""),
    IMAGES: ("images (fingerprint)", ""),
    CODE: ("version of the code's numbers", ""),
    FILES: ("weight files (hash)", ""),
    OWN_CODE: ("own code (hash)", ""),
    "trainer.epochs": ("epochs", ""),
    "trainer.parts": ("parts of the data", ""),
    "trainer.batch_size": ("batch size", "images"),
    "trainer.init_from": ("initial weights", ""),
    "trainer.precision": ("precision", ""),
    "trainer.device": ("device", ""),
    "trainer.early_stopping.patience": ("patience", "epochs"),
    "optimizer._target_": ("optimizer", ""),
    "model._target_": ("model", ""),
    "augmentation._target_": ("augmentation", ""),
    "lr_schedule._target_": ("schedule", ""),
    "data.source._target_": ("data set", ""),
    "optimizer.lr": ("learning rate", ""),
    "optimizer.momentum": ("momentum", ""),
    "regularization.l2": ("L2", "times the squared kernels"),
    "regularization.l1": ("L1", "times the absolute kernels"),
    "regularization.weight_decay": ("weight decay", "of the weights, times the rate"),
    "data.image_size": ("image size", "pixels"),
    "data.val_fraction": ("validation fraction", "of the training side"),
    "data.source.label_noise": ("wrong labels", "of the training side"),
    "data.split": ("split", ""),
    "data.mean": ("mean of channels", "of pixels in 0 to 1"),
    "data.std": ("deviation of channels", "of pixels in 0 to 1"),
    "data.val_size": ("validation images", ""),
    "data.source.test_images": ("test images", ""),
    "data.fold": ("validation fold", ""),
    "model.kernel_sizes": ("kernel size", "pixels"),
    "model.conv_dropout": ("dropout after blocks", "of the activations"),
    "model.dense_dropout": ("dropout in the head", "of the activations"),
    "augmentation.degrees": ("rotation, at most", "degrees"),
    "augmentation.shift": ("shift, at most", "of the side"),
    "augmentation.padding": ("crop padding", "pixels"),
    "lr_schedule.milestones": ("milestones", "epochs"),
    "lr_schedule.patience": ("patience of the schedule", "epochs"),
    "lr_schedule.warmup_epochs": ("warm-up", "epochs"),
}
"""Names and units of what is most often varied; anything else is shown by its key."""


@dataclass(frozen=True)
class Difference:
    """A value in which two trainings differ, as text; None where one has no such key.

    is_of_length: it is of the images or the length of the training.
    """

    key: str
    first: str | None
    second: str | None
    is_of_length: bool = False

    @property
    def name(self) -> str:
        """Its name in plain words, else its key."""
        return _NAMES[self.key][0] if self.key in _NAMES else self.key

    @property
    def unit(self) -> str:
        """Its unit; empty if it has none, or none that is known."""
        return _NAMES[self.key][1] if self.key in _NAMES else ""


@dataclass(frozen=True)
class ConfigDifferences:
    """All that two trainings differ in, the most important first.

    unused: keys that differ without effect, as no part of the network takes them. seeds: of both sides. is_known:
    whether both recorded their configs.
    """

    values: tuple[Difference, ...]
    unused: tuple[str, ...]
    seeds: tuple[tuple[int | None, ...], tuple[int | None, ...]]
    is_known: bool = True

    @property
    def text(self) -> str:
        """One sentence that says what differs."""
        if not self.is_known:
            return "What differs is not known: one of them ended before its config was recorded."
        first, second = self.seeds
        seed = f"the seed ({_numbers(first)} and {_numbers(second)})" if first != second else ""
        if not self.values:
            return f"Nothing but {seed}." if seed else "Nothing: the same setting, trained again with the same seeds."
        names = list(dict.fromkeys(each.name for each in self.values))
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return f"{shown[0].upper()}{shown[1:]}{f'; and {seed}' if seed else ''}."

    @property
    def warnings(self) -> tuple[str, ...]:
        """What forbids to ascribe a difference of accuracies to one setting."""
        of_length = [each.name for each in self.values if each.is_of_length]
        if of_length:
            listed = ", ".join(of_length)
            return (f"NOT THE SAME TRAINING: {listed} differ; a difference of accuracies is first of all theirs.",)
        groups = {each.key.split(".")[0] for each in self.values}
        if len(groups) > 1:
            return (f"{len(self.values)} values differ: a difference of accuracies is that of all of them together.",)
        return ()


def config_differences(first: Sequence[StudyRun], second: Sequence[StudyRun]) -> ConfigDifferences:
    """Return in what two sides were trained otherwise. The runs of a side differ in their seeds alone."""
    values, others = (_values(side[0]) for side in (first, second))
    seeds = (_seeds(first), _seeds(second))
    if not values or not others:
        return ConfigDifferences((), (), seeds, is_known=False)
    keys = [key for key in dict.fromkeys((*values, *others)) if values.get(key) != others.get(key)]
    sources = tuple(key for key in keys if key.startswith(_SOURCES_OF_MODEL))
    by_model = [key for key in keys if key.startswith("model.")]
    kept = [key for key in keys if key not in sources and not _repeats_another(key, keys, values, others)]
    kept.sort(key=lambda key: _FIRST.index(key) if key in _FIRST else len(_FIRST))  # stable: else as in the config
    kept = _without_ways_of_making(kept)
    found = tuple(Difference(key, _text(key, values), _text(key, others), key in _FIRST) for key in kept)
    return ConfigDifferences(found, () if by_model else sources, seeds)


def _values(run: StudyRun) -> dict[str, str]:
    values = {key: value for key, value in arm_values(run.params, run.short_tags).items() if key not in _UNHEEDED}
    images = run.tag("train_images")
    return {**values, TRAIN_IMAGES: images} if values and images else values


def _repeats_another(key: str, keys: Sequence[str], values: Mapping[str, str], others: Mapping[str, str]) -> bool:
    if key in _SIZES_OF_DATA[:-1]:
        return TRAIN_IMAGES in keys
    other = _IN_OTHER_WORDS.get(key)
    return other in keys and (values.get(key), others.get(key)) in (
        (values.get(other or ""), others.get(other or "")),
        (None, others.get(other or "")),
        (values.get(other or ""), None),
    )


def _without_ways_of_making(keys: Sequence[str]) -> list[str]:
    """Return the keys without those that say how an object is made or computed, and not what it is."""
    return [key for key in keys if key.rpartition(".")[2] not in ("_partial_", "fused", "_convert_")]


def _text(key: str, values: Mapping[str, str]) -> str | None:
    value = values.get(key)
    if value is None:
        return None
    if key == IMAGES:
        return value[:8]
    if key.endswith("._target_"):
        return value.rpartition(".")[2]
    if key in (TRAIN_IMAGES, "data.source.test_images") and value.isdigit():
        return f"{int(value):,}"
    if value == "None":
        return "all" if key in ("data.train_size", "data.val_size") else "none"
    return value


def _seeds(side: Sequence[StudyRun]) -> tuple[int | None, ...]:
    return tuple(sorted((run.seed for run in side), key=lambda seed: (seed is None, seed)))


def _numbers(seeds: Sequence[int | None]) -> str:
    return ", ".join("not recorded" if seed is None else str(seed) for seed in seeds)
