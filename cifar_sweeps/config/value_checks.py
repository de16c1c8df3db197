"""Check a config's values: ranges, and combinations of keys."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cifar_sweeps.config.type_checks import as_value, matches_type

_LONGEST_STUDY_NAME = 200  # the name of an MLflow experiment, which databases cut at 256
_LARGEST_WHITENED_SIDE = 48  # the matrix of 6,912² takes 190 MB and minutes, and both grow fast


def value_errors(plain: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors in the values of a config whose keys and types are valid."""
    trainer, data = plain["trainer"], plain["data"]
    for key in ("epochs", "parts", "batch_size", "eval_batch_size", "validate_every"):
        if trainer[key] < 1:
            yield f"trainer.{key}={trainer[key]}: must be at least 1"
    if trainer["threads"] != "auto" and trainer["threads"] < 1:
        yield f"trainer.threads={trainer['threads']}: must be at least 1, or auto"
    patience = trainer["early_stopping"]["patience"]
    if patience is not None and patience < 1:
        yield f"trainer.early_stopping.patience={patience}: must be at least 1, or null for never"
    if not 0 <= data["val_fraction"] < 1:  # NaN fails this too
        yield f"data.val_fraction={data['val_fraction']}: must be at least 0 and below 1; use e.g. 0.1"
    for key in ("train_size", "val_size"):
        if data[key] is not None and data[key] < 1:
            yield f"data.{key}={data[key]}: must be at least 1, or null for all"
    fold, folds = data.get("fold", 0), data.get("folds", 5)
    if data["split"] == "fold" and not 0 <= fold < folds:
        yield f"data.fold={fold}: must be 0 to {folds - 1} with data.folds={folds}; use e.g. data.fold=0,1,2,3,4"
    if data["split"] != "fold" and (fold, folds) != (0, 5):
        yield f"data.fold={fold} data.folds={folds}: belong to data.split=fold; set it, or leave them out"
    if not 0 < data["train_fraction"] <= 1:
        yield f"data.train_fraction={data['train_fraction']}: must be above 0 and at most 1; use e.g. 0.5"
    min_delta = trainer["early_stopping"]["min_delta"]
    if not (math.isfinite(min_delta) and min_delta >= 0):
        yield f"trainer.early_stopping.min_delta={min_delta}: must be finite and not negative"
    sides = data["image_size"] if isinstance(data["image_size"], list) else [data["image_size"]] * 2
    if len(sides) != 2:
        yield f"data.image_size={data['image_size']}: must be a side in pixels, or [height, width]"
    elif min(sides) < 8:
        yield f"data.image_size={data['image_size']}: must be at least 8 pixels"
    if data.get("num_classes") is not None and data["num_classes"] < 1:
        yield f"data.num_classes={data['num_classes']}: must be at least 1, or null for as many as the data has"
    for key, default, option in (
        ("fit", "squash", "image_folder"),
        ("background", "white", "image_folder"),
        ("labels", "fine", "cifar100"),
    ):
        is_own = str(data["source"].get("_target_")).startswith("cifar_sweeps.")
        if is_own and key not in data["source"] and data.get(key, default) != default:
            yield f"data.{key}={data[key]}: belongs to data={option}; this data would ignore it; leave it out"
    for key in ("mean", "std"):
        channels = data[key]
        if channels is not None and (len(channels) != 3 or not all(math.isfinite(x) for x in channels)):
            yield f"data.{key}={channels}: must be three finite numbers, one a channel, or null"
    if data["std"] is not None and any(x <= 0 for x in data["std"]):
        yield f"data.std={data['std']}: must be above 0; of pixels in [0, 1], use e.g. [0.25, 0.25, 0.25]"
    for key in ("mean", "std"):
        if data[key] is not None and any(math.isfinite(x) and x > 1 for x in data[key]):
            scaled = [round(x / 255, 4) for x in data[key]]
            yield f"data.{key}={data[key]}: pixels are in [0, 1]; if these are of pixels up to 255, use {scaled}"
    if not 0 <= plain["seed"] < 2**63:
        yield f"seed={plain['seed']}: must be at least 0 and below 2**63"
    for key in ("epochs", "images"):
        if not 0 < plain["budget"][key] <= 1:
            yield f"budget.{key}={plain['budget'][key]}: must be above 0 and at most 1; use e.g. 0.1"
    sweep = plain["sweep"]  # all of its keys but one have defaults, and may be left out, as ~sweep.timeout does
    if sweep.get("retries", 0) < 0:
        yield f"sweep.retries={sweep['retries']}: must be at least 0"
    for key, least in (("eta", 2), ("grace_epochs", 1)):
        value = sweep.get(key, least)
        if value < least:
            yield f"sweep.{key}={value}: must be at least {least}"
    timeout = sweep.get("timeout")
    if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
        yield f"sweep.timeout={timeout}: must be a finite number of seconds above 0, or null"
    yield from _whitening_errors(data, sides)
    yield from _name_errors(plain)
    yield from _rate_errors(plain)
    yield from _selection_errors(trainer, data)
    yield from _publication_errors(plain)


def _whitening_errors(data: Mapping[str, Any], sides: Sequence[int]) -> Iterator[str]:
    epsilon, pixels = data.get("whitening_epsilon", 1e-6), math.prod(sides)
    if not (math.isfinite(epsilon) and epsilon > 0):
        yield f"data.whitening_epsilon={epsilon}: must be a finite number above 0; use e.g. 1e-6"
    if data.get("whitening") is None:
        if epsilon != 1e-6:
            yield f"data.whitening_epsilon={epsilon}: belongs to data.whitening=zca; set it, or leave this out"
        return
    for key in ("mean", "std"):
        if data[key] is not None:
            yield f"data.{key}={data[key]}: data.whitening=zca scales the pixels in another way; leave one of them out"
    if len(sides) == 2 and pixels > _LARGEST_WHITENED_SIDE**2:
        yield (
            f"data.image_size={data['image_size']}: data.whitening=zca would take a matrix of {3 * pixels:,} × "
            f"{3 * pixels:,} numbers; use images of at most {_LARGEST_WHITENED_SIDE}×{_LARGEST_WHITENED_SIDE} pixels"
        )


def _name_errors(plain: Mapping[str, Any]) -> Iterator[str]:
    name, outputs = plain["study_name"], plain["outputs"]
    if name is not None and not (name.strip() and name.isprintable() and len(name) <= _LONGEST_STUDY_NAME):
        shown = name if len(name) <= _LONGEST_STUDY_NAME else f"{name[:20]}…"
        yield (
            f"study_name={shown!r}: must be one line of 1 to {_LONGEST_STUDY_NAME} characters, all printable, or null"
        )
    if not outputs or "\0" in outputs:
        yield f"outputs={outputs!r}: must be a folder; use e.g. outputs"


def _selection_errors(trainer: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    selects = trainer["select"] == "best"
    if selects and trainer["test_at"]:
        yield (
            f"trainer.test_at={trainer['test_at']}: tests the weights of these epochs, but trainer.select=best tests "
            "others; use trainer.select=last, or leave test_at out"
        )
    stops = trainer["early_stopping"]["patience"] is not None
    if data["split"] == "test":
        why = "data.split=test validates on the test set, which must not be used for selection"
        if selects:
            yield f"trainer.select=best: {why}; use trainer.select=last, or another data.split"
        if stops:
            yield f"trainer.early_stopping.patience: {why}; use null, or another data.split"
    elif stops and trainer["parts"] > 1:
        yield "trainer.early_stopping.patience: could end before the last of trainer.parts; use null, or one part"
    elif stops and trainer["validate_every"] > 1:
        yield "trainer.early_stopping.patience: counts validated epochs; set trainer.validate_every=1, or use null"
    elif data["val_fraction"] == 0 and data["split"] not in ("batch_1", "fold", "folder"):
        if selects:
            yield "trainer.select=best: needs validation data, but data.val_fraction=0; use trainer.select=last"
        if stops:
            yield "trainer.early_stopping.patience: needs validation data, but data.val_fraction=0; use null"
    outside = [epoch for epoch in trainer["test_at"] if not 1 <= epoch <= trainer["epochs"] * trainer["parts"]]
    if outside:
        yield (
            f"trainer.test_at={trainer['test_at']}: the training has epochs 1 to "
            f"{trainer['epochs'] * trainer['parts']}; leave out {', '.join(map(str, outside))}"
        )


def _publication_errors(plain: Mapping[str, Any]) -> Iterator[str]:
    for i, entry in enumerate(plain.get("published", [])):
        if sum(entry.get(key) is not None for key in ("value", "values", "by_class", "matrix")) != 1:
            yield f"published[{i}]: must have either a value, values by epoch, by_class or a matrix; give one of them"
        elif entry.get("extreme") is not None and entry.get("value") is None:
            yield f"published[{i}].extreme: is that of a value; give one"
    for i, claim in enumerate(plain.get("claims", [])):
        if (claim.get("against") is None) == (claim.get("than") is None):
            yield f"claims[{i}]: compares with either against (another arm) or than (a number); give one of them"


def _rate_errors(plain: Mapping[str, Any]) -> Iterator[str]:
    regularization, optimizer = plain["regularization"], plain["optimizer"]
    for key in ("l2", "l1", "weight_decay"):
        if not (math.isfinite(regularization[key]) and regularization[key] >= 0):
            yield f"regularization.{key}={regularization[key]}: must be finite and not negative"
    for key, rates in regularization["dropout"].items():
        for rate in rates if isinstance(rates, list) else [rates]:
            if not 0 <= rate < 1:
                yield f"regularization.dropout.{key}={rates}: {rate} is not a rate; use at least 0 and below 1"
    lr = optimizer.get("lr")
    if not matches_type(lr, float) or not (math.isfinite(lr) and lr > 0):
        advice = as_value(lr, float, "optimizer.lr") or "; use e.g. 0.001"
        yield f"optimizer.lr={lr}: must be a finite number above 0{advice}"
    if optimizer.get("weight_decay"):
        yield (
            f"optimizer.weight_decay={optimizer['weight_decay']}: weight decay is set in one place; "
            "use regularization.weight_decay (decoupled) or regularization.l2 (Keras' penalty)"
        )
    if regularization["weight_decay"] * lr >= 1 if matches_type(lr, float) else False:
        yield f"regularization.weight_decay={regularization['weight_decay']}: times optimizer.lr={lr} is 1 or more"
