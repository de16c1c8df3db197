"""An upgrade keeps what was trained: identities and names that version 1 gave, as literals that never change.

A test here that fails says that users would train again what they have trained: `config/upgrades.py` says how to add
a key so that they need not. What fails is mended there; the literals stay, unless a config shall mean another training.
"""

import copy
import functools
from types import SimpleNamespace

import pytest
import torch
from hydra.utils import get_object

from cifar_sweeps.config import build, upgrades
from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.parse import config_hash
from cifar_sweeps.config.upgrades import ADDED_KEYS, RENAMED_TARGETS, AddedKey, with_added_keys
from cifar_sweeps.data import Unchanged
from cifar_sweeps.runs.identity import training_hash
from cifar_sweeps.training.schedules import Schedule

HERE = ("trainer.precision=fp32", "trainer.device=cpu", "trainer.threads=2")  # what else the machine would choose

VERSION_1 = {
    "59a1ed68d90230d2": (),
    "b962946a5336f137": ("experiment=keras_lesson/kernel_size/f64_64_128_k357",),
    "9f98480936d3a13a": ("experiment=keras_lesson/resnet18", "trainer.test_at=[12]"),  # the arm has more since
    "1dfe19c6c2b5ae76": ("experiment=case_study/model_3",),
    "4bed3600828e8e63": ("experiment=lenet_report/l2_dropout",),
    "e596bcfdadf063e1": ("experiment=lab_episode/improvements/lr_step",),
    "74390411e9817476": ("experiment=lab_episode/improvements/rmsprop",),
    "69b3137a0350e348": ("experiment=base_cnn/augmented",),
    "c4dbddc526d6cabf": ("experiment=base_cnn/vgg16_frozen",),
    "84609e0f5f9ce38a": ("experiment=transfer/lite0_x2_stage4", "data.train_fraction=0.05", "seed=2"),
    "8ec949dfceaf70e7": ("study=quickstart", "kernel_size=k5", "regularization=l2"),
    "73b3223e88de9544": (
        "experiment=case_study/model_1",
        "budget=short",
        "trainer.init_from=case_study/model_1",
    ),
    "904de1fba17bc897": (
        "data=image_folder",
        "data.root=anywhere",
        "augmentation=rotate_shift_flip",
        "optimizer=sgd",
        "lr_schedule=cosine",
    ),
    "a43b62b8688be688": (
        "augmentation=flip_crop",
        "optimizer=adamw",
        "lr_schedule=plateau",
        "regularization.l1=0.001",
        "regularization.dropout.conv=[0.1,0.2,0.3]",
        "kernel_size.conv=[3,[5],7]",
        "trainer.early_stopping.patience=3",
        "trainer.select=best",
        "data.mean=[0.5,0.5,0.5]",
        "+model.blocks=[{filters: [8], pool: 2}]",
        "seed=7",
    ),
}
"""Hashes by which version 1 knew these configs, and all that has been trained with them."""

TEN_CLASSES = SimpleNamespace(classes=range(10))
"""What an image folder has that these configs were made for; since version 2 they leave the number to the data."""

HEAD = {"dense": [4], "weights": "none"}
TARGETS = {
    "cifar_sweeps.models.ConvNet": {"blocks": [{"filters": [2]}], "kernel_sizes": 3, "image_size": 8},
    "cifar_sweeps.models.SmallResNet": {"widths": [4, 8]},
    "cifar_sweeps.models.resnet18": {},
    "cifar_sweeps.models.mobilenet_v2": {},
    "cifar_sweeps.models.transfer_vgg16": {"cut": "block1_pool", "image_size": 8, **HEAD},
    "cifar_sweeps.models.transfer_efficientnet_lite0": {"cut": "stem", "image_size": 8, **HEAD},
    "cifar_sweeps.training.schedules.Constant": {},
    "cifar_sweeps.training.schedules.Step": {"milestones": [3], "gamma": 0.1},
    "cifar_sweeps.training.schedules.Plateau": {"factor": 0.1, "patience": 10, "min_delta": 0.0001, "min_factor": 0.0},
    "cifar_sweeps.training.schedules.Cosine": {"epochs": 10, "warmup_epochs": 1, "final_fraction": 0.01},
    "torch.optim.SGD": {"lr": 0.01, "momentum": 0.9, "nesterov": False, "fused": True},
    "torch.optim.Adam": {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-7, "fused": True},
    "torch.optim.AdamW": {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-7, "weight_decay": 0.0, "fused": True},
    "cifar_sweeps.training.rmsprop.KerasRMSprop": {"lr": 0.001, "alpha": 0.9, "eps": 1e-7},
    "cifar_sweeps.training.adamax.Adamax": {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-7},
    "cifar_sweeps.data.Unchanged": {},
    "cifar_sweeps.data.FlipCrop": {"padding": 4, "flip": True},
    "cifar_sweeps.data.ShiftFlip": {"shift": 0.1, "flip": True},
    "cifar_sweeps.data.RotateShiftFlip": {"degrees": 20.0, "shift": 0.1, "flip": True},
    "cifar_sweeps.data.load_cifar10": {"root": "a", "cache": "b", "download": True},
    "cifar_sweeps.data.load_image_folder": {"root": "a", "cache": "b", "image_size": 32},
    "cifar_sweeps.data.load_synthetic": {
        "cache": "a",
        "seed": 0,
        "train_images": 4000,
        "test_images": 2000,
        "image_size": 32,
        "label_noise": 0.2,
    },
}
"""What configs of version 1 name, with arguments that they give."""


@pytest.fixture(scope="module")
def plain():
    return compose([*HERE]).as_dict


@pytest.mark.parametrize(("digits", "overrides"), VERSION_1.items(), ids=[" ".join(o) for o in VERSION_1.values()])
def test_configs_have_the_identities_that_version_1_gave_them(digits, overrides):
    config = build.with_classes_of(compose([*overrides, *HERE]), TEN_CLASSES)
    assert training_hash(config, "images") == f"{digits}-images"
    assert config_hash(config.as_dict) == digits


@pytest.mark.parametrize("target", TARGETS)
def test_what_configs_of_version_1_name_is_still_built(target):
    is_optimizer, reads_files = "lr" in TARGETS[target], "cache" in TARGETS[target]
    made = build.build({"_target_": target, "_partial_": is_optimizer or reads_files, **TARGETS[target]}, "node")
    if is_optimizer:
        made = made([torch.nn.Parameter(torch.zeros(1))])
    kinds = (torch.nn.Module, torch.optim.Optimizer, Schedule)
    assert isinstance(made, kinds) or callable(made)


def test_hydra_finds_what_a_config_of_version_1_names_for_it():
    for name in ("cifar_sweeps.sweeps.callback.SweepCallback", "hydra_plugins.cifar_sweeps_launcher.LocalLauncher"):
        assert isinstance(get_object(name), type)


CONV_NET = "cifar_sweeps.models.ConvNet"
LATER = {
    1002: (AddedKey("trainer.ema", None), AddedKey("mixup", {"alpha": 0.0}), AddedKey("model.depth", 1, CONV_NET)),
    1003: (AddedKey("mixup.side", "both"), AddedKey("data.pad.top", 0), AddedKey("data.pad.left", 0)),
}
DEFAULTS = {
    "trainer.ema": None,
    "mixup": {"alpha": 0.0, "side": "both"},
    "model.depth": 1,
    "data.pad": {"top": 0, "left": 0},
}


def with_later_keys(plain, **values):
    """A config with the keys that later versions add."""
    found = copy.deepcopy(plain)
    for key, value in {**DEFAULTS, **values}.items():
        *groups, last = key.split(".")
        functools.reduce(lambda node, group: node[group], groups, found)[last] = value
    return found


def test_keys_that_a_later_version_adds_leave_the_hash_while_they_have_their_defaults(plain, monkeypatch):
    assert config_hash(with_later_keys(plain)) != config_hash(plain)  # a key that nobody has entered is seen
    monkeypatch.setattr(upgrades, "ADDED_KEYS", {**ADDED_KEYS, **LATER})
    assert config_hash(plain) == "59a1ed68d90230d2"
    assert config_hash(with_later_keys(plain)) == config_hash(plain)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer.ema", 0.99),
        ("mixup", {"alpha": 0.2, "side": "both"}),
        ("mixup", {"alpha": 0.0, "side": "left"}),
        ("model.depth", 2),
        ("data.pad", {"top": 0, "left": 1}),
    ],
)
def test_another_value_of_an_added_key_is_another_training(plain, monkeypatch, key, value):
    monkeypatch.setattr(upgrades, "ADDED_KEYS", {**ADDED_KEYS, **LATER})
    assert config_hash(with_later_keys(plain, **{key: value})) != config_hash(plain)


def test_what_a_version_could_say_keeps_the_hash_that_this_version_gave_it(plain, monkeypatch):
    monkeypatch.setattr(upgrades, "ADDED_KEYS", {**ADDED_KEYS, 1002: LATER[1002]})
    second = with_later_keys(plain, mixup={"alpha": 0.2})
    del second["data"]["pad"]
    digits = config_hash(second)
    monkeypatch.setattr(upgrades, "ADDED_KEYS", {**ADDED_KEYS, **LATER})
    assert config_hash(with_later_keys(plain, mixup={"alpha": 0.2, "side": "both"})) == digits


def test_an_argument_is_added_to_its_own_target_alone(monkeypatch):
    monkeypatch.setattr(upgrades, "ADDED_KEYS", {**ADDED_KEYS, **LATER})
    other = compose(["model=small_resnet", *HERE]).as_dict
    assert config_hash({**other, "model": {**other["model"], "depth": 1}}) != config_hash(other)
    assert "depth" not in with_added_keys(other)["model"]


def test_a_recorded_config_gets_the_keys_that_were_added_since(plain, monkeypatch):
    monkeypatch.setattr(upgrades, "ADDED_KEYS", {**ADDED_KEYS, **LATER})
    assert with_added_keys(plain) == with_later_keys(plain)
    held = with_later_keys(plain, **{"trainer.ema": 0.5, "mixup": {"alpha": 0.1, "side": "left"}})
    assert with_added_keys(held) == held


def test_a_target_that_was_renamed_is_built_and_hashed_by_any_of_its_names(plain, monkeypatch):
    first, second, now = "cifar_sweeps.data.AsTheyAre", "cifar_sweeps.data.Same", "cifar_sweeps.data.Unchanged"
    digits = config_hash({**plain, "augmentation": {"_target_": first}})  # as the version with the first name gave it
    monkeypatch.setattr(upgrades, "RENAMED_TARGETS", {first: now, second: now, **RENAMED_TARGETS})
    for name in (first, second, now):
        assert config_hash({**plain, "augmentation": {"_target_": name}}) == digits
        assert isinstance(build.build({"_target_": name}, "augmentation"), Unchanged)
