"""Devices and precisions by name, and what auto means on which machine."""

import pytest
import torch

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.training import precision
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
