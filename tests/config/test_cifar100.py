"""data=cifar100: the number of classes follows the labels, before any image is there."""

import pytest

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.parse import config_hash
from cifar_sweeps.errors import ConfigError


@pytest.mark.parametrize(("labels", "count"), [("fine", 100), ("coarse", 20)])
def test_the_net_has_as_many_logits_as_there_are_classes(labels, count):
    config, note = build.with_classes_at_hand(compose(["data=cifar100", f"data.labels={labels}"]))
    assert (config.data.num_classes, config.model["num_classes"], note) == (count, count, "")
    unloaded = build.check_config(compose(["data=cifar100", f"data.labels={labels}"]))
    assert unloaded.layers[-1].output_shape == (count,)


def test_fine_and_coarse_are_different_trainings():
    fine, coarse = (compose(["data=cifar100", f"data.labels={labels}"]).as_dict for labels in ("fine", "coarse"))
    assert config_hash(fine) != config_hash(coarse)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data=cifar10", "+data.labels=coarse"],
            "data.labels=coarse: belongs to data=cifar100; this data would ignore",
        ),
        (["data=cifar100", "data.labels=both"], "data.labels=both"),
    ],
    ids=["of other data", "unknown"],
)
def test_labels_that_mean_nothing_are_refused(overrides, message):
    with pytest.raises(ConfigError) as error:
        compose(overrides)
    assert message in str(error.value)
