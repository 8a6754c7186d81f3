"""Which processor a run uses, and in which number format.

from utils.device import pick_device, autocast
device = pick_device("auto")
with autocast(device, "bf16"):
    loss = model(x.to(device)).mean()
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
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


def pick_precision(device: torch.device, precision: str = "auto") -> str:
    """`auto` is bf16 on a CUDA device that supports it and fp32 elsewhere.

    On a CPU, bf16 pays for convolutions and large matrices only, so scripts that have them choose
    it themselves.
    """
    import torch

    if precision != "auto":
        return precision
    fast_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return "bf16" if fast_bf16 else "fp32"


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
