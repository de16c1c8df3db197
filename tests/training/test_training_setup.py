"""Precision, device, determinism and early stopping."""

import random

import numpy as np
import pytest
import torch

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.training import precision
from cifar_sweeps.training.determinism import make_deterministic, seed_everything, set_threads
from cifar_sweeps.training.early_stopping import EarlyStopper
from cifar_sweeps.training.metrics import EpochMetrics
from cifar_sweeps.training.precision import BF16, FP32, resolve_device, resolve_precision

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.fixture
def hardware(monkeypatch, tmp_path):
    """Pretend to have some devices and processor flags."""

    def pretend(cuda=False, mps=False, cuda_bf16=False, flags=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: cuda_bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        cpuinfo = tmp_path / "cpuinfo"
        if flags is not None:
            cpuinfo.write_text(f"processor\t: 0\nvendor_id\t: X\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n\n")
        monkeypatch.setattr(precision, "CPU_FLAGS", cpuinfo)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(True, True, CUDA), (False, True, MPS), (False, False, CPU)], ids=["cuda", "mps", "cpu"]
)
def test_auto_takes_the_best_device(hardware, cuda, mps, chosen):
    hardware(cuda=cuda, mps=mps)
    assert resolve_device("auto") == chosen


@pytest.mark.parametrize("device", ["cuda", "mps", "tpu"])
def test_a_device_that_is_not_there_is_refused(hardware, device):
    hardware()
    assert resolve_device("cpu") == CPU
    with pytest.raises(ConfigError, match=f"trainer.device={device}: "):
        resolve_device(device)


@pytest.mark.parametrize(
    ("device", "capabilities", "chosen"),
    [
        (CPU, {"flags": "sse2 avx512f avx512_bf16"}, BF16),
        (CPU, {"flags": "sse2 amx_bf16 amx_tile"}, BF16),
        (CPU, {"flags": "sse2 avx2 avx512f"}, FP32),
        (CPU, {}, FP32),
        (CUDA, {"cuda": True, "cuda_bf16": True}, BF16),
        (CUDA, {"cuda": True, "flags": "avx512_bf16"}, FP32),
        (MPS, {"mps": True}, FP32),
    ],
    ids=["avx512_bf16", "amx", "neither", "no_cpuinfo", "new_gpu", "old_gpu", "mps"],
)
def test_auto_precision_is_bf16_where_it_is_native(hardware, device, capabilities, chosen):
    hardware(**capabilities)
    assert resolve_precision("auto", device) == chosen


@pytest.mark.parametrize(("name", "chosen"), [("fp32", FP32), ("bf16", BF16)])
def test_a_named_precision_is_granted_anywhere(hardware, name, chosen):
    hardware()
    assert resolve_precision(name, CPU) == chosen


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match=r"trainer\.precision=fp8: unknown; use auto, fp32 or bf16"):
        resolve_precision("fp8", CPU)


@pytest.mark.parametrize(("chosen", "dtype"), [(FP32, torch.float32), (BF16, torch.bfloat16)], ids=["fp32", "bf16"])
def test_one_context_serves_many_steps(chosen, dtype):
    layer, autocast = torch.nn.Linear(4, 4), chosen.autocast(CPU)
    for _ in range(3):
        with autocast:
            assert layer(torch.rand(2, 4)).dtype == dtype
        assert layer(torch.rand(2, 4)).dtype == torch.float32


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_a_seed_fixes_all_generators(seed):
    def draw():
        seed_everything(seed)
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert draw() == draw()


def test_deterministic_kernels_are_asked_for_and_new_tensors_stay_unfilled():
    try:
        make_deterministic()
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
        assert not torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(False)


def test_threads_are_set():
    before = torch.get_num_threads()
    try:
        set_threads(2)
        assert torch.get_num_threads() == 2
    finally:
        set_threads(before)


def test_metrics_have_their_own_names_and_missing_ones_are_left_out():
    whole = EpochMetrics(
        epoch=7,
        train_loss=1.0,
        train_accuracy=0.2,
        val_loss=3.0,
        val_accuracy=0.4,
        train_objective=5.0,
        val_objective=6.0,
        lr=0.7,
        epoch_seconds=8.0,
        images_per_second=9.0,
    )
    named = {name.replace("/", "_"): value for name, value in whole.by_name().items()}
    assert named == {key: value for key, value in vars(whole).items() if key != "epoch"}
    assert not {"val/loss", "val/accuracy", "train/objective", "val/objective"} & metrics().by_name().keys()


def metrics(loss=None, accuracy=None):
    return EpochMetrics(1, 1.0, 0.5, loss, accuracy, None, None, 0.1, 2.0, 10.0)


@pytest.mark.parametrize(
    ("stopper", "accuracies", "stops_at"),
    [
        (EarlyStopper(None), [0.5, 0.1, 0.1, 0.1], None),
        (EarlyStopper(2), [0.1, 0.2, 0.3, 0.4], None),
        (EarlyStopper(2), [0.3, 0.2, 0.3, 0.9], 3),
        (EarlyStopper(2), [0.3, 0.2, 0.4, 0.4, 0.4], 5),
        (EarlyStopper(1), [0.0, 0.0], 2),
        (EarlyStopper(2, min_delta=0.05), [0.30, 0.34, 0.35, 0.9], 3),
        (EarlyStopper(2, min_delta=0.05), [0.30, 0.34, 0.36, 0.36, 0.36], 5),
    ],
    ids=["never", "rising", "not_better", "starts_anew", "from_zero", "min_delta", "a_slow_rise_from_the_best"],
)
def test_early_stopping_by_accuracy(stopper, accuracies, stops_at):
    stops = [epoch for epoch, value in enumerate(accuracies, 1) if stopper.should_stop(metrics(accuracy=value))]
    assert (stops[0] if stops else None) == stops_at


def test_early_stopping_by_loss():
    stopper = EarlyStopper(2, monitor="val/loss")
    assert [stopper.should_stop(metrics(loss=loss)) for loss in (1.0, 0.9, 1.0, 0.95)] == [False, False, False, True]


def test_early_stopping_needs_validation_data_only_if_enabled():
    assert not EarlyStopper(None).should_stop(metrics())
    with pytest.raises(ConfigError, match="there is no validation data"):
        EarlyStopper(3).should_stop(metrics())


def test_an_unknown_monitor_is_refused():
    with pytest.raises(ConfigError, match=r"trainer\.early_stopping\.monitor=train/loss"):
        EarlyStopper(3, monitor="train/loss")
