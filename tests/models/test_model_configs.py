"""conf/model, conf/kernel_size and conf/regularization together: every combination builds what the studies describe."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models import ConvNet, summarise

CONF = Path(__file__).parents[2] / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
REGULARIZATIONS = sorted(path.stem for path in (CONF / "regularization").glob("*.yaml"))
COUNTS = {
    ("conv_pairs", "k3"): 276_138,
    ("wide_pairs", "k3"): 7_411_658,
    ("leaky_2", "k3"): 2_105_066,
    ("leaky_4", "k3"): 1_084_234,
    ("lenet_1", "k3_5"): 2_233_898,
    ("lenet_3", "k3_5"): 1_668_906,
    ("plain_3", "k3"): 257_978,
    ("base_cnn", "k3"): 1_250_858,
    ("small_resnet", "k3"): 696_618,
    ("resnet18", "k3"): 11_181_642,
    ("mobilenet_v2", "k3"): 2_236_682,
}


def compose(model: str, kernel_size: str = "k3", regularization: str = "none", **changes: object) -> DictConfig:
    config = OmegaConf.create({"data": {"image_size": 32}})
    for group, option in {"model": model, "kernel_size": kernel_size, "regularization": regularization}.items():
        config[group] = OmegaConf.load(CONF / group / f"{option}.yaml")
    for key, value in changes.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    return config


def build(*names: str, **changes: object) -> torch.nn.Module:
    config = OmegaConf.to_container(compose(*names, **changes), resolve=True)
    assert isinstance(config, dict)
    return instantiate(config["model"])


def kernels(model: torch.nn.Module) -> list[int]:
    return [module.kernel_size[0] for module in model.modules() if isinstance(module, torch.nn.Conv2d)]


def test_every_model_file_has_its_count_checked():
    assert {model for model, _ in COUNTS} == set(MODELS)


@pytest.mark.parametrize(("names", "count"), COUNTS.items(), ids=str)
def test_parameter_counts_are_the_documents(names, count):
    assert summarise(build(*names)).parameters == count


@pytest.mark.parametrize("model", MODELS)
def test_every_comment_names_the_count(model):
    (count,) = (count for (name, _), count in COUNTS.items() if name == model)
    comment = [line for line in (CONF / "model" / f"{model}.yaml").read_text().splitlines() if line.startswith("#")]
    assert f"{count:,}" in " ".join(comment)


@pytest.mark.parametrize("regularization", ["none", "dropout"])
@pytest.mark.parametrize("model", MODELS)
def test_every_parameter_gets_a_gradient(model, regularization):
    torch.manual_seed(0)
    network = build(model, "k3", regularization)
    loss = torch.nn.functional.cross_entropy(network(torch.rand(4, 3, 32, 32)), torch.arange(4))
    loss.backward()
    idle = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert idle == []


@pytest.mark.parametrize(
    ("model", "kernel_size", "expected"),
    [
        ("lenet_1", "k3_5", [3, 3, 3, 5]),
        ("lenet_3", "k3_5", [3, 3, 3, 5, 3, 5]),
        ("lenet_3", "k357", [3, 3, 5, 5, 7, 7]),
        ("plain_3", "k357", [3, 5, 7]),
        ("leaky_2", "k7", [7, 7]),
        ("small_resnet", "k5", [5, *[5] * 4, *[5, 5, 1], *[5] * 2, *[5, 5, 1], *[5] * 2]),
    ],
    ids=str,
)
def test_kernel_size_crosses_the_models(model, kernel_size, expected):
    assert kernels(build(model, kernel_size)) == expected


@pytest.mark.parametrize(
    ("model", "kernel_size", "message"),
    [
        ("lenet_1", "k357", "the model has 2 block(s)"),
        ("plain_3", "k3_5", "block 2 has 1 convolution(s)"),
        ("small_resnet", "k357", "small_resnet takes one odd integer"),
    ],
    ids=str,
)
def test_a_kernel_size_that_the_model_cannot_use_up_is_refused(model, kernel_size, message):
    with pytest.raises(Exception, match=r"kernel_size\.conv=") as caught:
        build(model, kernel_size)
    cause = caught.value.__cause__  # instantiate wraps what the constructor raised
    assert isinstance(cause, ConfigError)
    assert message in str(cause)


@pytest.mark.parametrize("name", REGULARIZATIONS)
def test_regularizations_have_the_same_keys(name):
    values = OmegaConf.load(CONF / "regularization" / f"{name}.yaml")
    assert set(values) == {"l2", "l1", "weight_decay", "dropout"}
    assert set(values.dropout) == {"conv", "dense"}
    switched_on = {key for key in ("l2", "l1", "weight_decay") if values[key]} | (
        {"dropout"} if values.dropout.conv else set()
    )
    assert switched_on == (set() if name == "none" else {"l2", "dropout"} if name == "l2_dropout" else {name})


def test_dropout_rates_reach_their_places():
    rates = {"regularization__dropout__conv": [0.3, 0.3, 0.4], "regularization__dropout__dense": 0.2}
    network = build("plain_3", **rates)
    assert [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)] == [0.3, 0.3, 0.4, 0.2]


def test_wide_pairs_takes_other_blocks():
    filters = (64, 64, 128)
    network = build("wide_pairs", "k357", model__blocks=[{"filters": [width, width]} for width in filters])
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert [convolution.out_channels for convolution in convolutions] == [64, 64, 64, 64, 128, 128]
    assert kernels(network) == [3, 3, 5, 5, 7, 7]


def test_hydras_own_lists_are_taken_as_lists():
    config = compose("lenet_3", "k3_5")
    OmegaConf.resolve(config)
    arguments = {key: value for key, value in config.model.items() if key != "_target_"}
    assert kernels(ConvNet(**arguments)) == [3, 3, 3, 5, 3, 5]
