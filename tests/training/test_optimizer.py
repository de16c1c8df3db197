import io
import math
from functools import partial

import pytest
import torch
from torch import nn
from training_toys import OPTIMIZERS, ToyBatches, clone_state, identical, toy_model, toy_optimizer

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.training.adamax import Adamax
from cifar_sweeps.training.optimizer import RegularizedOptimizer, make_optimizer
from cifar_sweeps.training.rmsprop import KerasRMSprop


def trained(optimizer, in_loss=None, steps=5, **decays):
    """Weights after a few steps; ``in_loss`` adds a penalty that autograd differentiates."""
    # Doubles, as Adam turns the rounding noise of a zero gradient (a bias ahead of batch norm) into whole steps.
    model = toy_model(dropout=0.0).double()
    step = toy_optimizer(model, optimizer, **decays)
    batches = ToyBatches()
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(batches.images.double()), batches.labels)
        if in_loss is not None:
            loss = loss + in_loss(model[0].weight)
        step.zero_grad()
        loss.backward()
        step.step()
    return clone_state(model)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("decays", "in_loss"),
    [
        ({"l2": 0.02}, lambda w: 0.02 * w.square().sum()),
        ({"l1": 0.003}, lambda w: 0.003 * w.abs().sum()),
        ({"l2": 0.02, "l1": 0.003}, lambda w: 0.02 * w.square().sum() + 0.003 * w.abs().sum()),
    ],
    ids=["l2", "l1", "both"],
)
def test_a_penalty_steps_as_if_it_stood_in_the_loss(optimizer, decays, in_loss):
    by_gradient, by_autograd = trained(optimizer, **decays), trained(optimizer, in_loss)
    for name, weight in by_gradient.items():
        torch.testing.assert_close(weight, by_autograd[name], rtol=1e-6, atol=1e-8)
    assert not torch.allclose(by_gradient["0.weight"], trained(optimizer)["0.weight"], atol=1e-3)


def test_l2_is_torchs_coupled_weight_decay_of_twice_its_size():
    model, other = toy_model(), toy_model()
    ours = toy_optimizer(model, l2=0.02)
    kernel = other[0].weight
    rest = [w for w in other.parameters() if w is not kernel]
    groups = [{"params": [kernel], "weight_decay": 0.04}, {"params": rest}]
    theirs = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
    for net, optimizer in ((model, ours), (other, theirs)):
        for w in net.parameters():
            w.grad = torch.ones_like(w)
        optimizer.step()
    for w, v in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(w, v)


def test_decoupled_decay_is_adamws_own():
    model, other = toy_model(), toy_model()
    ours = toy_optimizer(model, "adam", weight_decay=0.1)
    weights = [layer.weight for layer in other if isinstance(layer, nn.Conv2d | nn.Linear)]
    rest = [w for w in other.parameters() if not any(w is v for v in weights)]
    groups = [{"params": weights, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, lr=0.01, eps=1e-7)
    for step in range(5):
        for net, optimizer in ((model, ours), (other, theirs)):
            torch.manual_seed(step)
            for w in net.parameters():
                w.grad = torch.randn_like(w)
            optimizer.step()
    for w, v in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(w, v)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_decoupled_decay_shrinks_by_lr_times_decay_under_any_optimizer(optimizer):
    model = toy_model()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    step = toy_optimizer(model, optimizer, weight_decay=0.5)
    step.lr = 0.1
    for w in model.parameters():
        w.grad = torch.zeros_like(w)
    step.step()
    for name, weight in model.named_parameters():
        shrinks = name in ("0.weight", "6.weight")
        torch.testing.assert_close(weight.detach(), before[name] * (0.95 if shrinks else 1.0))


@pytest.mark.parametrize(
    ("l2", "l1", "expected"), [(0.1, 0.0, 2.5), (0.0, 0.1, 0.7), (0.1, 0.1, 3.2)], ids=["l2", "l1", "both"]
)
def test_the_penalty_is_the_sum_over_kernels(l2, l1, expected):
    kernels = [nn.Parameter(torch.tensor([3.0])), nn.Parameter(torch.tensor([[-4.0]]))]
    step = RegularizedOptimizer(torch.optim.SGD(kernels, lr=0.1), kernels=kernels, l2=l2, l1=l1)
    penalty = step.penalty()
    assert penalty.item() == pytest.approx(expected)
    assert not penalty.requires_grad


def test_without_decays_the_step_is_the_optimizers_own():
    model = toy_model()
    step = toy_optimizer(model)
    assert step.penalty() is None
    other = toy_model()
    theirs = torch.optim.SGD(other.parameters(), lr=0.05, momentum=0.9, fused=True)
    for net, optimizer in ((model, step), (other, theirs)):
        for w in net.parameters():
            w.grad = torch.ones_like(w)
        optimizer.step()
    assert identical(clone_state(model), clone_state(other))


def test_frozen_weights_are_neither_penalised_nor_decayed():
    model = toy_model()
    model[0].weight.requires_grad_(False)
    step = toy_optimizer(model, l2=0.1, weight_decay=0.1)
    before = clone_state(model)
    for w in model.parameters():
        w.grad = None if not w.requires_grad else torch.zeros_like(w)
    step.step()
    assert torch.equal(before["0.weight"], model[0].weight)
    assert step.penalty() is None


def test_the_rate_is_set_in_every_group_and_the_base_rate_stays():
    model = toy_model()
    step = toy_optimizer(model)
    step.lr = 0.01
    assert [group["lr"] for group in step.optimizer.param_groups] == [0.01]
    assert (step.lr, step.base_lr) == (0.01, 0.05)


def test_a_new_rate_moves_the_weights_of_every_group():
    first, second = (nn.Parameter(torch.ones(3)) for _ in range(2))
    step = RegularizedOptimizer(torch.optim.SGD([{"params": [first]}, {"params": [second]}], lr=0.5))
    step.lr = 0.1
    first.grad, second.grad = torch.ones(3), torch.ones(3)
    step.step()
    for weight in (first, second):
        torch.testing.assert_close(weight.detach(), torch.full((3,), 0.9))


def test_an_optimizers_own_weight_decay_is_refused():
    model = toy_model()
    with pytest.raises(ConfigError, match=r"optimizer\.weight_decay=0\.01: must be 0.*regularization\.weight_decay"):
        RegularizedOptimizer(torch.optim.AdamW(model.parameters()))  # the class's default


@pytest.mark.parametrize(
    "factory",
    [
        partial(torch.optim.SGD, lr=-1.0),
        partial(torch.optim.Adam, lr=math.nan),
        partial(torch.optim.Adam, betas=(1.5, 0.9)),
        partial(Adamax, momentum=0.9),
        partial(Adamax, betas=(0.9, 1.0)),
        partial(Adamax, lr=math.nan),
        partial(Adamax, eps=-1e-7),
        partial(KerasRMSprop, alpha=1.0),
    ],
    ids=["negative_lr", "nan_lr", "betas", "unknown_argument", "adamax_betas", "adamax_lr", "adamax_eps", "alpha"],
)
def test_what_the_optimizer_refuses_is_a_config_error(factory):
    with pytest.raises(ConfigError, match="optimizer: "):
        make_optimizer(factory, toy_model().parameters())


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(ConfigError, match="every parameter is frozen"):
        make_optimizer(OPTIMIZERS["sgd"], toy_model().requires_grad_(False).parameters())


def test_keras_rmsprop_has_eps_inside_the_root():
    weight = nn.Parameter(torch.tensor([1.0, 1.0, 1.0]))
    optimizer = KerasRMSprop([weight], lr=0.1, alpha=0.9, eps=1e-7)
    gradients = torch.tensor([[0.5, 1e-4, 0.0], [-2.0, 1e-5, 0.0]], dtype=torch.float64)
    expected, average = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for gradient in gradients:
        weight.grad = gradient.float()
        optimizer.step()
        average = 0.9 * average + 0.1 * gradient**2
        expected -= 0.1 * gradient / torch.sqrt(average + 1e-7)
    torch.testing.assert_close(weight.detach().double(), expected, rtol=1e-5, atol=1e-6)


def descend(optimizer, model, steps, first=0):
    """Step along gradients that the step's number decides, some of them zero, under a rate that changes."""
    for step in range(first, first + steps):
        torch.manual_seed(step)
        for w in model.parameters():
            w.grad = torch.randn_like(w) * torch.rand(1).lt(0.7)
        optimizer.param_groups[0]["lr"] = 0.01 / (1 + step)
        optimizer.step()


@pytest.mark.parametrize("eps", [1e-7, 0.1], ids=["default", "large"])
def test_adamax_is_torchs(eps):
    ours, theirs = toy_model(), toy_model()
    descend(Adamax(ours.parameters(), betas=(0.8, 0.99), eps=eps), ours, 30)
    descend(torch.optim.Adamax(theirs.parameters(), betas=(0.8, 0.99), eps=eps), theirs, 30)
    assert not identical(clone_state(ours), clone_state(toy_model()))
    for w, v in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(w, v, rtol=0, atol=1e-6)


def test_adamax_resumes_from_its_state_bit_for_bit():
    whole, parted = toy_model(), toy_model()
    descend(Adamax(whole.parameters()), whole, 6)
    first = Adamax(parted.parameters())
    descend(first, parted, 3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = Adamax(parted.parameters())
    second.load_state_dict(torch.load(file, weights_only=True))
    descend(second, parted, 3, first=3)
    assert identical(clone_state(parted), clone_state(whole))


def test_adamax_leaves_a_weight_without_a_gradient_alone():
    moved, still = (nn.Parameter(torch.ones(3)) for _ in range(2))
    moved.grad = torch.ones(3)
    Adamax([moved, still], lr=0.1).step()
    torch.testing.assert_close(moved.detach(), torch.full((3,), 0.9))
    assert still.eq(1).all()
