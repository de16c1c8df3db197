"""Training steps on one resident batch: the product's, and the same net as the documents write it in PyTorch."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.system.malloc import retain_freed_memory
from cifar_sweeps.training.determinism import make_deterministic, seed_everything, set_threads
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
    make_deterministic()
    net = build.model(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.train()
    stepper = build.optimizer(config, net)
    autocast = resolve_precision("auto", CPU).autocast(CPU)
    batches = [(part.contiguous(memory_format=torch.channels_last), labels[i]) for i, part in enumerate(images)]

    def run(count: int) -> float:
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

    summary = build.summarize_model(config)
    return Steps(run, summary.trainable, summary.multiply_adds)


def eager_steps(name: str, images: Tensor, labels: Tensor) -> Steps:
    """Return the documents' step: contiguous, float32, default optimizer, nondeterministic kernels allowed."""
    torch.manual_seed(0)
    net, optimizer = plain_nets.make(name.rpartition("/")[2])
    net.train()
    criterion = nn.CrossEntropyLoss()
    batches = [(part.contiguous(), labels[i]) for i, part in enumerate(images)]

    def run(count: int) -> float:
        started = time.perf_counter()
        for step in range(count):
            batch, answers = batches[step % len(batches)]
            optimizer.zero_grad()
            loss = criterion(net(batch), answers)
            loss.backward()
            optimizer.step()
        return time.perf_counter() - started

    return Steps(run, sum(weight.numel() for weight in net.parameters()), 0)


class Side:
    """One side of a comparison, in a process of its own, with one thread."""

    def __init__(self, kind: Literal["product", "eager"]) -> None:
        self._process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (kind,))

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.shutdown()

    def make(self, name: str) -> tuple[int, int]:
        """Make the steps of a net; return its parameters and multiply-adds (0 on the eager side)."""
        return self._process.submit(_make, name).result()

    def pace(self, seconds: float) -> float:
        """Return images/s over steps of about so many seconds."""
        return self._process.submit(_pace, seconds).result()


_kinds: list[str] = []
_steps: list[Steps] = []
"""What this process measures, if it is one of a `Side`: the last of them."""


def _begin(kind: str) -> None:
    set_threads(1)
    if kind == "product":
        retain_freed_memory()
    _kinds.append(kind)


def _make(name: str) -> tuple[int, int]:
    maker = product_steps if _kinds[-1] == "product" else eager_steps
    _steps[:] = [maker(name, torch.rand(1, BATCH, 3, 32, 32), torch.randint(10, (1, BATCH)))]
    _steps[-1].run(2)
    return _steps[-1].parameters, _steps[-1].multiply_adds


def _pace(seconds: float) -> float:
    count = max(2, round(seconds / (_steps[-1].run(2) / 2)))
    return BATCH * count / _steps[-1].run(count)
