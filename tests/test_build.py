import pytest
import torch

from cifar_sweeps.build import build
from cifar_sweeps.errors import ConfigError


def test_builds_nested_targets_with_their_arguments():
    schedule = build({"_target_": "cifar_sweeps.training.schedules.Step", "milestones": [2], "gamma": 0.5}, "x")
    assert [schedule.factor(epoch) for epoch in (0, 2)] == [1.0, 0.5]


def test_partial_binds_arguments_without_calling():
    factory = build({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5}, "optimizer")
    optimizer = factory([torch.nn.Parameter(torch.zeros(1))])
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    "node",
    [
        pytest.param({"_target_": "os.system", "_args_": ["true"]}, id="os"),
        pytest.param({"_target_": "torch.load", "f": "x"}, id="torch.load"),
        pytest.param({"_target_": "torch.hub.load"}, id="torch.hub"),
        pytest.param({"_target_": "torch.optimised.X"}, id="prefix without a dot"),
        pytest.param({"_target_": "cifar_sweeps.build.os.system", "_args_": ["true"]}, id="not a listed module"),
        pytest.param({"_target_": "cifar_sweeps.data.image_folder.os.system"}, id="alias through a module"),
        pytest.param({"_target_": "cifar_sweeps.training.checkpoint.torch.load"}, id="alias of torch.load"),
        pytest.param({"_target_": "torch.optim.sgd.torch.hub.load"}, id="alias through torch.optim"),
        pytest.param({"_target_": 7}, id="not a name"),
        pytest.param(
            {"_target_": "torch.optim.SGD", "params": {"_target_": "builtins.eval", "_args_": ["1"]}}, id="nested"
        ),
        pytest.param({"_target_": "torch.optim.SGD", "_args_": [{"_target_": "builtins.eval"}]}, id="nested in _args_"),
    ],
)
def test_nothing_is_built_that_is_not_allowed(node):
    with pytest.raises(ConfigError, match="not on the list of what a config may build"):
        build(node, "model")


def test_the_environment_can_allow_more(monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_ALLOW_TARGETS", "fractions, somewhere.else")
    assert build({"_target_": "fractions.Fraction", "_args_": [1, 2]}, "model") * 2 == 1


@pytest.mark.parametrize(
    ("node", "message"),
    [
        pytest.param({"_target_": "torch.optim.Adan"}, "did you mean 'Adam'", id="misspelt class"),
        pytest.param({"_target_": "torch.optim.SGD", "momentun": 0.9}, "did you mean 'momentum'", id="misspelt key"),
        pytest.param({"_target_": "torch.optim"}, "is a module", id="a module"),
        pytest.param({"_target_": "cifar_sweeps.models.nothing.X"}, "has no 'nothing'", id="no such module"),
        pytest.param(
            {"_target_": "torch.optim.SGD", "_args_": [[]], "lr": -1}, "refuses its arguments", id="refused value"
        ),
    ],
)
def test_a_fault_names_the_key_and_what_to_do(node, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(node, "optimizer")
    assert str(caught.value).startswith("optimizer")
