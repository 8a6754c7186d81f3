"""Which processor a run uses, and in which number format.

from utils.device import pick_device, autocast
device = pick_device("auto")
with autocast(device, "bf16"):
    loss = model(x.to(device)).mean()
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from utils.errors import UserError

if TYPE_CHECKING:
    import torch  # imported where it is used: scripts without PyTorch start at once


def pick_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, else Apple's MPS, else the CPU. UserError for a device that is absent."""
    import torch

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, present in available.items() if present))
    if name not in available:
        raise UserError(f"there is no device called {name!r}; use auto, cpu, cuda or mps.")
    if not available[name]:
        raise UserError(f"--device {name} was asked for, but PyTorch finds none; use --device cpu.")
    return torch.device(name)


def pick_precision(
    device: torch.device, precision: str = "auto", convolutions: bool = False
) -> str:
    """`auto` is bf16 on a CUDA device that supports it and fp32 elsewhere.

    With `convolutions`, also bf16 on a CPU that has instructions for it: there it makes
    convolutions and large matrix products two to three times as fast, and smaller ones slower.
    """
    import torch

    if precision != "auto":
        return precision
    if device.type == "cpu":
        return "bf16" if convolutions and cpu_has_bf16() else "fp32"
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"


def cpu_has_bf16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether the processor multiplies bf16 in hardware; False where the system does not tell."""
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8")
    except OSError:
        return False
    lines = [line for line in text.splitlines() if line.lower().startswith(("flags", "features"))]
    words = set(" ".join(lines[:1]).split())  # the first core's
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})  # x86, x86, ARM


def autocast(device: torch.device, precision: str = "auto") -> AbstractContextManager:
    """Mixed precision for the forward pass: matrix products in 16 bits, reductions in 32."""
    import torch

    precision = pick_precision(device, precision)
    if precision == "fp32":
        return nullcontext()
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype)


def synchronize(device: torch.device | str) -> None:
    """Wait until an accelerator has finished: without this, a clock measures only the launch."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize()
    elif kind == "mps":
        torch.mps.synchronize()


def set_threads(count: int, with_torch: bool = True) -> None:
    """Limit the CPU threads of NumPy's and PyTorch's kernels; 0 leaves their defaults.

    A small model runs faster on one thread: two threads spend longer waiting for each other than
    on its tiny matrices.
    """
    if count == 0:
        return
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=count)
    if with_torch:
        import torch

        torch.set_num_threads(count)
