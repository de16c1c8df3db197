"""The bare training step, one thread: images/s, FLOP/s, against the core's peak and the documents' eager step."""

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from cifar_sweeps.training.determinism import set_threads
from cifar_sweeps.training.precision import resolve_precision
from tests.benchmarks.measuring import Outcome, ratios, rounds
from tests.benchmarks.steps import BATCH, CPU, EXPERIMENTS, eager_steps, product_steps, steps_of_seconds

THREADS = "1"


def measure(quick: bool) -> Outcome:
    """Measure all nets."""
    set_threads(1)
    outcome = Outcome("Bare training step: batch of 64 resident, no data, no logging, one thread")
    precision = resolve_precision("auto", CPU)
    peak = _best_peak(precision.dtype or torch.float32, quick)
    images, labels = torch.rand(1, BATCH, 3, 32, 32), torch.randint(10, (1, BATCH))
    peaks: list[float] = []
    for name in EXPERIMENTS:
        product, eager = product_steps(name, images, labels), eager_steps(name, images, labels)
        if product.parameters != eager.parameters:
            raise AssertionError(f"{name}: {product.parameters} parameters here, {eager.parameters} in the plain net")
        seconds = 0.05 if quick else 1.5
        ours, theirs = (steps_of_seconds(steps, seconds) for steps in (product, eager))
        taken = rounds(
            {
                "product": lambda steps=product, count=ours: BATCH * count / steps.run(count),
                "eager": lambda steps=eager, count=theirs: BATCH * count / steps.run(count),
                "peak": peak,
            },
            3 if quick else 5,
        )
        flops = product.multiply_adds * 2 * 3
        achieved = [rate * flops for rate in taken["product"]]
        peaks += taken["peak"]
        outcome.add(f"step/{name}/images", f"{name}: images/s", taken["product"])
        outcome.add(f"step/{name}/flops", f"{name}: achieved GFLOP/s", [rate / 1e9 for rate in achieved])
        shares = [100 * share for share in ratios(achieved, taken["peak"])]
        outcome.add(f"step/{name}/of_peak", f"{name}: of the core's peak", shares, "%")
        against = ratios(taken["product"], taken["eager"])
        outcome.add(f"step/{name}/against_eager", f"{name}: times as fast as eager fp32", against, "×")
    outcome.add("step/peak", f"the core's peak in {precision.name}, GFLOP/s", [rate / 1e9 for rate in peaks])
    outcome.notes = [
        "FLOPs of training: multiply-adds of the summary × 2 × 3 (forward, gradients of input and weights)",
        "peak: the best of several large convolutions and matrix products in the same precision, forward only",
        "eager fp32: contiguous layout, the same layers and optimizer with torch's default arguments, no autocast",
    ]
    return outcome


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
