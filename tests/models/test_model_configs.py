"""conf/model, conf/kernel_size and conf/regularization together: every combination builds what the studies describe."""

from pathlib import Path

import pytest
import torch

from cifar_sweeps.config.build import model as build_model
from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models import summarize

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
    ("quick_3", "k3"): 156_074,
    ("base_cnn", "k3"): 1_250_858,
    ("small_inception", "k3"): 78_426,
    ("small_resnet", "k3"): 696_618,
    ("resnet18", "k3"): 11_181_642,
    ("mobilenet_v2", "k3"): 2_236_682,
    ("vgg16_block3", "k3"): 2_826_250,
    ("vgg16_top", "k3"): 14_982_474,
    ("efficientnet_lite0", "k3"): 1_623_914,
}
TRAINED = {"vgg16_block3": 1_090_762, "vgg16_top": 267_786, "efficientnet_lite0": 923_146}


def build(model: str, kernel_size: str = "k3", regularization: str = "none", *more: str) -> torch.nn.Module:
    groups = [f"model={model}", f"kernel_size={kernel_size}", f"regularization={regularization}"]
    if model in TRAINED:
        groups.append("model.weights=none")
    if model == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite_pytorch", reason="the extra `pretrained` is not installed")
    return build_model(compose([*groups, *more]))


def kernels(model: torch.nn.Module) -> list[int]:
    return [module.kernel_size[0] for module in model.modules() if isinstance(module, torch.nn.Conv2d)]


def test_every_model_file_has_its_count_checked():
    assert {model for model, _ in COUNTS} == set(MODELS)


@pytest.mark.parametrize(("names", "count"), COUNTS.items(), ids=str)
def test_parameter_counts_are_the_documents(names, count):
    summary = summarize(build(*names))
    assert (summary.parameters, summary.trainable) == (count, TRAINED.get(names[0], count))


@pytest.mark.parametrize("model", MODELS)
def test_every_comment_names_the_count(model):
    (count,) = (count for (name, _), count in COUNTS.items() if name == model)
    comment = [line for line in (CONF / "model" / f"{model}.yaml").read_text().splitlines() if line.startswith("#")]
    assert f"{count:,}" in " ".join(comment)
    assert f"{TRAINED.get(model, count):,}" in " ".join(comment)


@pytest.mark.parametrize("regularization", ["none", "dropout"])
@pytest.mark.parametrize("model", MODELS)
def test_every_parameter_gets_a_gradient(model, regularization):
    torch.manual_seed(0)
    network = build(model, "k3", regularization)
    loss = torch.nn.functional.cross_entropy(network(torch.rand(4, 3, 32, 32)), torch.arange(4))
    loss.backward()
    gradients = {name: weight.grad for name, weight in network.named_parameters() if weight.requires_grad}
    assert [name for name, gradient in gradients.items() if gradient is None or not gradient.any()] == []
    assert all(weight.grad is None for weight in network.parameters() if not weight.requires_grad)


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
    with pytest.raises(ConfigError, match=r"kernel_size\.conv=") as caught:
        build(model, kernel_size)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", REGULARIZATIONS)
def test_a_regularization_switches_on_what_its_name_says(name):
    values = compose([f"regularization={name}"]).regularization
    on = {key for key in ("l2", "l1", "weight_decay") if getattr(values, key)}
    if values.dropout.conv:
        on.add("dropout")
    assert on == (set() if name == "none" else {"l2", "dropout"} if name == "l2_dropout" else {name})


def test_dropout_rates_reach_their_places():
    rates = ("regularization.dropout.conv=[0.3,0.3,0.4]", "regularization.dropout.dense=0.2")
    network = build("plain_3", "k3", "none", *rates)
    assert [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)] == [0.3, 0.3, 0.4, 0.2]


def test_wide_pairs_takes_other_blocks():
    blocks = "model.blocks=[{filters: [64, 64]}, {filters: [64, 64]}, {filters: [128, 128]}]"
    network = build("wide_pairs", "k357", "none", blocks)
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert [convolution.out_channels for convolution in convolutions] == [64, 64, 64, 64, 128, 128]
    assert kernels(network) == [3, 3, 5, 5, 7, 7]
