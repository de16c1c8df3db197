"""Error messages of invalid configs: the given value, what is allowed, what to do."""

import pytest

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.parse import config_hash
from cifar_sweeps.errors import CifarSweepsError, ConfigError

INVALID = {
    "unknown option": (["model=lenet_9"], "model=lenet_9: unknown option", "lenet_3"),
    "typo": (["trainer.epoch=3"], "trainer.epoch: unknown key", "did you mean 'epochs'"),
    "typo with +": (["+trainer.epoch=3"], "trainer.epoch: unknown key", "did you mean 'epochs'"),
    "typo at the top": (["sed=3"], "sed: unknown key", "did you mean 'seed'"),
    "typo at the top with +": (["+sed=3"], "sed: unknown key", "did you mean 'seed'"),
    "typo in a target": (["model.denze=[8]"], "model.denze: unknown key", "did you mean 'dense'"),
    "typo in a target with +": (["+model.denze=[8]"], "model.denze: unknown key", "did you mean 'dense'"),
    "typo in the optimizer with +": (["+optimizer.momentun=1"], "optimizer.momentun: unknown key", "takes"),
    "typo in the data with +": (["+data.source.sed=1"], "data.source.sed: unknown key", "did you mean 'seed'"),
    "unreadable": (["trainer.epochs=[3"], "trainer.epochs=[3: cannot be read", "quote"),
    "wrong type": (["trainer.epochs=three"], "trainer.epochs=three: must be an integer", "not str"),
    "a bool for a number": (["trainer.epochs=true"], "trainer.epochs=True: must be an integer", "not bool"),
    "a string for a group": (["trainer=3"], "a group such as model or optimizer is chosen by name", "(int)"),
    "not a choice": (["data.split=first"], "data.split=first: must be 'stratified' or 'tail'", "or 'test'"),
    "even kernel": (["kernel_size.conv=4"], "kernel_size.conv=4: 4 is even", "odd"),
    "even kernel in a list": (["kernel_size.conv=[3,4,7]"], "kernel_size.conv=[3, 4, 7]", "odd"),
    "negative rate": (["regularization.dropout.conv=-0.1"], "regularization.dropout.conv=-0.1", "below 1"),
    "rate of one": (["regularization.dropout.dense=1.0"], "regularization.dropout.dense=1.0", "below 1"),
    "NaN learning rate": (["optimizer.lr=nan"], "optimizer.lr=nan", "above 0"),
    "negative learning rate": (["optimizer.lr=-1"], "optimizer.lr=-1", "above 0"),
    "a string as learning rate": (["optimizer.lr=fast"], "optimizer.lr=fast", "number"),
    "batch size 0": (["trainer.batch_size=0"], "trainer.batch_size=0", "at least 1"),
    "no epochs": (["trainer.epochs=0"], "trainer.epochs=0", "at least 1"),
    "split fraction 1": (["data.val_fraction=1.0"], "data.val_fraction=1.0", "below 1"),
    "a key of other data": (["data=synthetic", "+data.fit=crop"], "data.fit=crop", "belongs to data=image_folder"),
    "another such": (["data=cifar10", "+data.background=red"], "data.background=red", "would ignore it; leave it out"),
    "three sides": (["data.image_size=[32,32,3]"], "data.image_size=[32, 32, 3]", "or [height, width]"),
    "a side too short": (["data.image_size=[32,4]"], "data.image_size=[32, 4]", "at least 8 pixels"),
    "no classes": (
        ["data=image_folder", "data.root=x", "data.num_classes=0"],
        "data.num_classes=0",
        "null for as many",
    ),
    "a fold that is none": (["data.split=fold", "data.fold=5"], "data.fold=5: must be 0 to 4", "data.folds=5"),
    "a fold without folds": (["data.fold=1"], "data.fold=1 data.folds=5: belong to data.split=fold", "leave them out"),
    "whitening of scaled pixels": (
        ["data.whitening=zca", "data.mean=[0.5,0.5,0.5]", "data.std=[0.2,0.2,0.2]"],
        "data.mean=[0.5, 0.5, 0.5]: data.whitening=zca scales the pixels in another way",
        "data.std=[0.2, 0.2, 0.2]: data.whitening=zca",
    ),
    "whitening of large images": (
        ["data.whitening=zca", "data.image_size=64"],
        "data.image_size=64: data.whitening=zca would take a matrix of 12,288 × 12,288 numbers",
        "at most 48×48 pixels",
    ),
    "another whitening": (["data.whitening=pca"], "data.whitening=pca: must be", "zca"),
    "an epsilon of nothing": (["data.whitening_epsilon=0.1"], "belongs to data.whitening=zca", "leave this out"),
    "a negative epsilon": (["data.whitening=zca", "data.whitening_epsilon=-1"], "whitening_epsilon=-1", "above 0"),
    "NaN split fraction": (["data.val_fraction=nan"], "data.val_fraction=nan", "below 1"),
    "train size 0": (["data.train_size=0"], "data.train_size=0", "at least 1"),
    "more pooling than pixels": (
        [
            f"model.blocks=[{', '.join(['{filters: [4]}'] * 6)}]",
        ],
        "model.blocks[5].pool=2",
        "use fewer blocks",
    ),
    "a target that is not allowed": (
        ["model._target_=os.system"],
        "model._target_=os.system: not on the list",
        "ALLOW",
    ),
    "a data source that is not allowed": (["data.source._target_=torch.load"], "not on the list", "ALLOW"),
    "negative penalty": (["regularization.l2=-1"], "regularization.l2=-1", "not negative"),
    "infinite decay": (["regularization.weight_decay=inf"], "regularization.weight_decay=inf", "finite"),
    "decay in a second place": (
        ["+optimizer.weight_decay=0.1"],
        "optimizer.weight_decay=0.1",
        "regularization.weight_decay",
    ),
    "negative seed": (["seed=-1"], "seed=-1", "at least 0"),
    "no validation to select by": (
        ["data.val_fraction=0", "trainer.select=best"],
        "trainer.select=best",
        "val_fraction",
    ),
    "bad augmentation": (
        ["augmentation=shift_flip", "augmentation.shift=1.5"],
        "augmentation.shift=1.5",
        "[0, 1)",
    ),
    "bad schedule": (["lr_schedule=cosine", "lr_schedule.warmup_epochs=99"], "lr_schedule.warmup_epochs", "epochs"),
}


@pytest.mark.parametrize(("overrides", "given", "advice"), INVALID.values(), ids=INVALID.keys())
def test_an_error_names_the_value_and_what_to_do(overrides, given, advice):
    with pytest.raises(CifarSweepsError) as caught:
        build.check_config(compose(overrides))
    message = str(caught.value)
    assert given in message
    assert advice in message
    assert "+trainer" not in message  # Hydra's own advice, which would only hide the typo


def test_all_errors_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        compose(["trainer.batch_size=0", "optimizer.lr=nan", "data.val_fraction=1.0", "regularization.l2=-1"])
    assert len(caught.value.errors) == 4


def test_errors_of_all_parts_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        build.check_config(
            compose(["kernel_size.conv=4", "lr_schedule=step", "lr_schedule.gamma=-1", "+optimizer.momentun=0.9"])
        )
    keys = {error.split("=")[0].split(":")[0] for error in caught.value.errors}
    assert {"kernel_size.conv", "lr_schedule.gamma", "optimizer.momentun"} <= keys


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.select=best", "trainer.test_at=[2]"], "but trainer.select=best tests others"),
        (["trainer.early_stopping.patience=2", "trainer.parts=2"], "could end before the last of trainer.parts"),
        (["trainer.early_stopping.patience=2", "trainer.validate_every=2"], "counts validated epochs"),
        (["trainer.test_at=[0,11]"], "leave out 0, 11"),
        (["published=[{metric: x, where: y}]"], "published[0]: must have either a value, values"),
        (["claims=[{says: a, where: b, metric: c, arm: d, expects: higher}]"], "claims[0]: compares with either"),
        (["claims=[{says: a}]"], "claims[0].where: missing"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_conflicting_keys_are_an_error(overrides, message):
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    assert message in str(caught.value)


def test_a_test_on_augmented_images_needs_an_augmentation():
    with pytest.raises(ConfigError, match="there is no augmentation to test on"):
        build.check_config(compose(["trainer.test_augmented=true"]))


@pytest.mark.parametrize(
    "overrides",
    [["outputs=elsewhere"], ["study_name=x"], ["tracking=none"], ["analysis.pictures=false"], ["data.source.cache=/x"]],
    ids=lambda overrides: overrides[0],
)
def test_the_hash_ignores_keys_without_effect_on_the_result(overrides):
    assert config_hash(compose(overrides).as_dict) == config_hash(compose([]).as_dict)


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "optimizer.lr=0.002",
        "trainer.threads=2",
        "trainer.precision=fp32",
        "kernel_size=k5",
        "data.split=tail",
    ],
)
def test_the_hash_covers_keys_with_an_effect_on_the_result(override):
    assert config_hash(compose([override]).as_dict) != config_hash(compose([]).as_dict)


def test_a_studys_experiment_and_the_command_line_win_in_that_order():
    config = compose(["experiment=case_study/model_3", "optimizer.lr=0.002"])
    assert config.optimizer == {**config.optimizer, "_target_": "cifar_sweeps.training.adamax.Adamax", "lr": 0.002}
    assert (config.trainer.batch_size, config.data.split, config.model["activation"]) == (32, "tail", "leaky_relu")
