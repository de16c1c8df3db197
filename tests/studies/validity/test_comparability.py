"""What a run was trained otherwise than its arm, over configs of which one value was changed."""

import pytest
from made_runs import make_run

from cifar_sweeps.config.compose import compose, compose_all
from cifar_sweeps.studies.overview.catalogue import experiments
from cifar_sweeps.studies.validity.comparability import departures, departures_by_arm

ARM = "experiment=lenet_report/model_3"


@pytest.fixture(scope="module")
def arm():
    return compose([ARM]).as_dict


def texts(arm, *overrides):
    return [each.text for each in departures(arm, compose([ARM, *overrides]).as_dict)]


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["seed=7"],
        ["budget=short"],
        ["budget=smoke"],
        ["trainer.epochs=3"],
        ["trainer.epochs=70"],
        ["data.train_size=2000"],
        ["data.train_fraction=0.1"],
        ["data=image_folder", "data.root=/x", "data.split=batch_1", "data.num_classes=10"],
        ["trainer.precision=fp32", "trainer.device=cpu", "trainer.threads=2", "trainer.eval_batch_size=7"],
        ["trainer.test_at=[3]", "trainer.channels_last=false", "trainer.validate_every=2"],
        ["outputs=/x", "study_name=y", "tracking=none", "analysis.pictures=false", "sweep.retries=1"],
        ["kernel_size.conv=[3,[3,5]]"],
    ],
    ids=lambda overrides: " ".join(overrides) or "as it is",
)
def test_what_is_no_other_training(arm, overrides):
    assert texts(arm, *overrides) == []


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("trainer.batch_size=10", "batch size 10 instead of 64"),
        ("optimizer.lr=0.01", "learning rate 0.01 instead of 0.001"),
        ("optimizer=sgd", "optimizer SGD instead of Adam"),
        ("trainer.parts=1", "parts of the data 1 instead of 4"),
        ("data.val_size=500", "validation images 500 instead of all"),
        ("data.split=tail", "split tail instead of batch_1"),
        ("regularization.l2=0", "L2 0 instead of 0.0001"),
        ("regularization.weight_decay=0.1", "regularization.weight_decay 0.1 instead of 0"),
        ("regularization.dropout.dense=0", "model.dense_dropout 0 instead of 0.4"),
        ("kernel_size.conv=5", "kernel size 5 instead of [3, [3, 5]]"),
        ("model=resnet18", "model resnet18 instead of ConvNet"),
        ("model.activation=gelu", "model.activation gelu instead of relu"),
        ("augmentation=flip_crop", "augmentation"),
        ("lr_schedule=cosine", "lr_schedule Cosine instead of Constant"),
        ("data.mean=[0.5,0.5,0.5]", "data.mean [0.5, 0.5, 0.5] instead of none"),
        ("data.image_size=64", "image size 64 instead of 32"),
        ("trainer.select=best", "trainer.select best instead of last"),
        ("trainer.init_from=/w.pt", "initial weights /w.pt instead of none"),
    ],
)
def test_each_departure_is_named(arm, override, text):
    assert [each for each in texts(arm, override) if text in each], texts(arm, override)


def test_what_is_counted_in_epochs_is_relative_to_the_length():
    wanted = compose(["experiment=lab_episode/improvements/lr_step"]).as_dict
    short = compose(["experiment=lab_episode/improvements/lr_step", "budget=short"]).as_dict
    assert departures(wanted, short) == []
    kept = compose(["experiment=lab_episode/improvements/lr_step", "trainer.epochs=40"]).as_dict
    (only,) = departures(wanted, kept)  # its milestones stayed where they were
    assert only.key == "lr_schedule.milestones"


@pytest.mark.slow
def test_no_arm_departs_from_itself_under_any_budget():
    names = experiments()
    whole = compose_all([[f"experiment={name}"] for name in names])
    cut = compose_all([[f"experiment={name}", "budget=short"] for name in names])
    assert [
        name for name, one, other in zip(names, whole, cut, strict=True) if departures(one.as_dict, other.as_dict)
    ] == []


def test_arms_are_compared_with_the_files_that_their_runs_chose():
    runs = [
        make_run("one", swept={"experiment": "base_cnn/base"}),
        make_run("two", tags={"overrides": "experiment=base_cnn/base trainer.batch_size=64"}),
        make_run("gone", swept={"experiment": "base_cnn/no_such_arm"}),
        make_run("own"),
        make_run("damaged", swept={"experiment": "base_cnn/base"}),
    ]
    config = compose(["experiment=base_cnn/base", "trainer.batch_size=64"]).as_dict
    configs = {**dict.fromkeys(["one", "two", "gone", "own"], config), "damaged": {"seed": 1}}
    found = departures_by_arm(configs, runs)
    other = ["batch size 64 instead of 128"]
    assert {arm: [each.text for each in some] for arm, some in found.items()} == {"one": other, "two": other}
