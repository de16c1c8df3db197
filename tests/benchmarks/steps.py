"""Training steps on one resident batch: the product's, and the same net as the documents write it in PyTorch."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar_sweeps import build
from cifar_sweeps.compose import compose
from cifar_sweeps.training.determinism import make_deterministic, seed_everything
from cifar_sweeps.training.precision import resolve_precision
from tests.benchmarks.peers import plain_nets

BATCH = 64

EXPERIMENTS = {
    "plain_3": "lab_episode/epochs_200",
    "case_study/model_3": "case_study/model_3",
    "lenet_3": "lenet_report/model_3",
    "small_resnet": "keras_lesson/small_resnet",
    "resnet18": "keras_lesson/resnet18",
}
"""The benchmarked nets, each with the arm that trains it."""

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Steps:
    """Steps of one net: ``run(count)`` takes so many and returns the seconds."""

    run: Callable[[int], float]
    parameters: int
    multiply_adds: int


def product_steps(name: str, images: Tensor, labels: Tensor) -> Steps:
    """Return the product's bare step: its model, layout, precision and optimizer with its penalties.

    images: (S, B, 3, H, W) float32 in channels_last, labels: (S, B): S batches, taken in turn.
    """
    config = compose([f"experiment={EXPERIMENTS[name]}", "data=synthetic"])
    seed_everything(0)
    net = build.model(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.train()
    stepper = build.stepper(config, net)
    autocast = resolve_precision("auto", CPU).autocast(CPU)
    batches = [(part.contiguous(memory_format=torch.channels_last), labels[i]) for i, part in enumerate(images)]

    def run(count: int) -> float:
        make_deterministic()
        started = time.perf_counter()
        for step in range(count):
            batch, answers = batches[step % len(batches)]
            with autocast:
                logits = net(batch)
            loss = F.cross_entropy(logits.float(), answers)
            stepper.zero_grad()
            loss.backward()
            stepper.step()
        return time.perf_counter() - started

    summary = build.describe(config)
    return Steps(run, summary.trainable, summary.multiply_adds)


def eager_steps(name: str, images: Tensor, labels: Tensor) -> Steps:
    """Return the documents' step: contiguous, float32, default optimizer, nondeterministic kernels allowed."""
    torch.manual_seed(0)
    net, optimizer = plain_nets.make(name.rpartition("/")[2])
    net.train()
    criterion = nn.CrossEntropyLoss()
    batches = [(part.contiguous(), labels[i]) for i, part in enumerate(images)]

    def run(count: int) -> float:
        torch.set_deterministic_debug_mode("default")
        started = time.perf_counter()
        for step in range(count):
            batch, answers = batches[step % len(batches)]
            optimizer.zero_grad()
            loss = criterion(net(batch), answers)
            loss.backward()
            optimizer.step()
        return time.perf_counter() - started

    return Steps(run, sum(weight.numel() for weight in net.parameters()), 0)


def steps_of_seconds(steps: Steps, seconds: float, least: int = 2) -> int:
    """Return how many steps take about so many seconds; the first ones, which warm up, do not count."""
    steps.run(2)
    return max(least, round(seconds / (steps.run(2) / 2)))
