"""In what two recorded trainings differ: the values that decide a result, with names and units, in their order."""

from dataclasses import replace

import pytest
from studies.made_runs import make_run

from cifar_sweeps.inspection.comparison.config_differences import config_differences

BASE = {
    "model._target_": "cifar_sweeps.models.ConvNet",
    "model.conv_dropout": "0.0",
    "model.image_size": "32",
    "data.image_size": "32",
    "data.source.image_size": "32",
    "data.source.root": "/here",
    "regularization.dropout.conv": "0.0",
    "optimizer._target_": "torch.optim.Adam",
    "optimizer.lr": "0.001",
    "optimizer.fused": "True",
    "trainer.epochs": "10",
    "trainer.threads": "1",
    "trainer.eval_batch_size": "250",
    "trainer.init_from": "None",
    "outputs": "a",
}
TAGS = {"data_fingerprint": "a" * 16, "train_images": "4000", "numbers": "1"}


def run(params=(), tags=(), seed=0):
    made = make_run("arm", seed, tags={**TAGS, **dict(tags)})
    return replace(made, params={**BASE, **dict(params), "seed": str(seed)})


def difference(params=(), tags=(), seed=0):
    return config_differences([run()], [run(params, tags, seed)])


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({"optimizer.lr": "0.01"}, [("learning rate", "0.001", "0.01", "")]),
        ({"trainer.threads": "4", "outputs": "b", "data.source.root": "/there"}, []),
        ({"trainer.eval_batch_size": "100"}, []),
        ({"trainer.init_from": "a.pt"}, [("initial weights", "none", "a.pt", "")]),
        (
            {"model.conv_dropout": "0.25", "regularization.dropout.conv": "0.25"},
            [("dropout after blocks", "0.0", "0.25", "of the activations")],
        ),
        (
            {"data.image_size": "64", "data.source.image_size": "64", "model.image_size": "64"},
            [("image size", "32", "64", "pixels")],
        ),
        (
            {"optimizer._target_": "torch.optim.SGD", "optimizer.momentum": "0.9"},
            [("optimizer", "Adam", "SGD", ""), ("momentum", None, "0.9", "")],
        ),
    ],
    ids=["rate", "places", "evaluation", "weights", "dropout", "size", "optimizer"],
)
def test_what_decides_a_result_is_named(params, shown):
    found = difference(params)
    assert [(each.name, each.first, each.second, each.unit) for each in found.values] == shown
    assert bool(found.values) == (found.text != "Nothing: the same setting, trained again with the same seeds.")


def test_images_and_length_come_first_with_a_warning():
    found = difference(
        {"optimizer.lr": "0.01", "trainer.epochs": "20", "data.train_size": "2000"}, {"train_images": "2000"}, seed=4
    )
    assert [each.name for each in found.values] == ["training images", "epochs", "learning rate"]
    assert found.text == "Training images, epochs, learning rate; and the seed (0 and 4)."
    assert found.warnings == (
        "NOT THE SAME TRAINING: training images, epochs differ; a difference of accuracies is first of all theirs.",
    )


def test_several_groups_are_not_one_cause():
    found = difference({"optimizer.lr": "0.01", "model.conv_dropout": "0.5"})
    assert found.warnings == ("2 values differ: a difference of accuracies is that of all of them together.",)


def test_a_rate_that_the_model_does_not_take_is_without_effect():
    found = difference({"regularization.dropout.conv": "0.25"})
    assert (found.values, found.unused) == ((), ("regularization.dropout.conv",))


def test_other_images_and_other_code_are_named():
    found = difference(tags={"data_fingerprint": "b" * 16, "numbers": "2"})
    assert [(each.name, each.first, each.second) for each in found.values] == [
        ("images (fingerprint)", "aaaaaaaa", "bbbbbbbb"),
        ("version of the code's numbers", "1", "2"),
    ]


def test_a_run_without_a_recorded_config_is_said():
    bare = replace(run(), params={}, tags={})
    assert config_differences([run()], [bare]).text.startswith("What differs is not known")
