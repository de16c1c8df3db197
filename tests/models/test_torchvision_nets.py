"""torchvision's networks: outputs, dropout that keeps the names, initialisation, and an import that costs nothing."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.models import mobilenet_v2, resnet18

NETS = pytest.mark.parametrize("make", [resnet18, mobilenet_v2], ids=lambda make: make.__name__)


@NETS
def test_dropout_comes_before_the_last_layer_and_keeps_the_names(make):
    torch.manual_seed(0)
    plain, dropped = make(num_classes=7), make(num_classes=7, dropout=0.5)
    nn.init.zeros_(list(dropped.parameters())[-1])  # an untrained net's features are far smaller than the biases
    plain.load_state_dict(dropped.state_dict(), strict=True)
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(plain.eval()(images), dropped.eval()(images))
    assert plain(images).shape == (2, 7)
    for module in dropped.modules():
        module.train(isinstance(module, nn.Dropout))
    assert not torch.equal(dropped(images), dropped(images))


@NETS
def test_init_torch_is_torchvisions_own(make):
    from torchvision import models

    torch.manual_seed(0)
    ours = make(init="torch")
    torch.manual_seed(0)
    theirs = getattr(models, make.__name__)(weights=None, num_classes=10)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_head_of_a_documents_own_is_drawn_as_a_linear_layer():
    torch.manual_seed(0)
    weight, bias = list(mobilenet_v2(num_classes=100, head="linear").parameters())[-2:]
    limit = weight.shape[1] ** -0.5
    assert 0.99 * limit < weight.abs().max() <= limit
    assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
    assert 0.5 * limit < bias.abs().max() <= limit
    assert list(mobilenet_v2().parameters())[-1].abs().max() == 0
    with pytest.raises(ConfigError, match=r"model\.head=keras: must be torchvision or linear"):
        mobilenet_v2(head="keras")


@NETS
def test_errors_come_together(make):
    with pytest.raises(ConfigError) as caught:
        make(num_classes=0, dropout=1.0, init="keras")
    assert len(caught.value.errors) == 3


def test_importing_the_models_imports_no_torchvision():
    program = "import sys, cifar_sweeps.models; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
