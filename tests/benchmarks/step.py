"""The bare training step, one thread: images/s, FLOP/s, against the core's peak and the documents' eager step."""

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from cifar_sweeps.training.determinism import set_threads
from cifar_sweeps.training.precision import resolve_precision
from tests.benchmarks.measuring import Outcome, ratios, rounds
from tests.benchmarks.steps import BATCH, CPU, EXPERIMENTS, Side

THREADS = "1"


def measure(quick: bool) -> Outcome:
    """Measure all nets."""
    set_threads(1)
    outcome = Outcome("Bare training step: batch of 64 resident, no data, no logging, one thread")
    precision = resolve_precision("auto", CPU)
    peak = _best_peak(precision.dtype or torch.float32, quick)
    peaks: list[float] = []
    with Side("product") as product, Side("eager") as eager:
        for name in EXPERIMENTS:
            peaks += _one_net(outcome, name, product, eager, peak, quick)
    outcome.add("step/peak", f"the core's peak in {precision.name}, GFLOP/s", [rate / 1e9 for rate in peaks])
    outcome.notes = [
        "FLOPs of training: multiply-adds of the summary × 2 × 3 (forward, gradients of input and weights)",
        "peak: the best of several large convolutions and matrix products in the same precision, forward only",
        "eager fp32: contiguous layout, the same layers and optimizer with torch's default arguments, no autocast;",
        "in a process of its own, as the product's setting of the memory holds for a whole process",
    ]
    return outcome


def _one_net(
    outcome: Outcome, name: str, product: Side, eager: Side, peak: Callable[[], float], quick: bool
) -> list[float]:
    """Measure one net, and return the peaks that were seen beside it."""
    parameters, multiply_adds = product.make(name)
    plain, _ = eager.make(name)
    if parameters != plain:
        raise AssertionError(f"{name}: {parameters} parameters here, {plain} in the plain net")
    seconds = 0.05 if quick else 1.5
    taken = rounds(
        {"product": lambda: product.pace(seconds), "eager": lambda: eager.pace(seconds), "peak": peak},
        3 if quick else 5,
    )
    achieved = [rate * multiply_adds * 2 * 3 for rate in taken["product"]]
    outcome.add(f"step/{name}/images", f"{name}: images/s", taken["product"])
    outcome.add(f"step/{name}/flops", f"{name}: achieved GFLOP/s", [rate / 1e9 for rate in achieved])
    shares = [100 * share for share in ratios(achieved, taken["peak"])]
    outcome.add(f"step/{name}/of_peak", f"{name}: of the core's peak", shares, "%")
    against = ratios(taken["product"], taken["eager"])
    outcome.add(f"step/{name}/against_eager", f"{name}: times as fast as eager fp32", against, "×")
    return taken["peak"]


def _best_peak(dtype: torch.dtype, quick: bool) -> Callable[[], float]:
    """Return a measure of FLOP/s: the candidate that is the fastest on this machine."""
    candidates = [
        *(_product(size, dtype) for size in ((256,) if quick else (1024, 2048))),
        *(_convolution(channels, side, dtype) for channels, side in ((64, 8),) if quick),
        *(_convolution(channels, side, dtype) for channels, side in ((64, 32), (128, 16), (256, 16)) if not quick),
    ]
    return max(candidates, key=lambda candidate: statistics.median(candidate() for _ in range(4)))


def _product(size: int, dtype: torch.dtype) -> Callable[[], float]:
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    return _rate(lambda: a @ b, 2 * size**3)


def _convolution(channels: int, side: int, dtype: torch.dtype) -> Callable[[], float]:
    maps = torch.randn(BATCH, channels, side, side).to(dtype).contiguous(memory_format=torch.channels_last)
    kernels = torch.randn(channels, channels, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
    return _rate(lambda: F.conv2d(maps, kernels, padding=1), 2 * BATCH * channels**2 * 9 * side**2)


def _rate(call: Callable[[], torch.Tensor], flops: int) -> Callable[[], float]:
    def measure() -> float:
        best = float("inf")  # the peak is what the core can do, so the fastest call and not the usual one
        with torch.inference_mode():
            for _ in range(6):
                started = time.perf_counter()
                call()
                best = min(best, time.perf_counter() - started)
        return flops / best

    return measure
