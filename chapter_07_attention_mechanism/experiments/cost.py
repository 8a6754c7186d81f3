"""What attention costs, counted: operations, bytes kept for the backward pass, time.

Counted are the operations of every matrix product (PyTorch's flop counter; a multiplication and an
addition are two), and every tensor that autograd keeps, by its storage, inputs and weights left
out. Both are exact and the same on every machine; the time, of the
processor and not of the clock, so that other programs disturb it little, is not.

T places, D width, h heads, one sequence, self-attention without a mask, float32.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from chapter_07_attention_mechanism.multi_head import MultiheadAttention
from utils.results import table
from utils.seed import generator

WIDTH, HEADS = 128, 4  # D, h
LENGTHS = (32, 64, 128, 256, 512, 1024)  # T
ROUNDS = 9
FLOAT = 4  # bytes


def operations(length: int, width: int = WIDTH) -> dict[str, int]:
    """The formulas: four projections, and the two products with T x T numbers."""
    return {"projections": 8 * length * width**2, "attention": 4 * length**2 * width}


def kept(length: int, width: int = WIDTH, heads: int = HEADS) -> dict[str, int]:
    """The formulas, in bytes: the weights (h, T, T), and five tensors (T, D).

    These are queries, keys, values, the scaled queries, and what the heads found.
    """
    return {"weights": FLOAT * heads * length**2, "rest": FLOAT * 5 * length * width}


def counted_operations(forward: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        forward()
    return counter.get_total_flops()


def kept_bytes(forward: Callable[[], Any], known: list[Tensor]) -> int:
    """Bytes of the storages that autograd keeps of `forward`, each once, without the known ones."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()  # alive until they are counted, or a storage could be used twice
    for tensor in known:
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    del result
    return sum(storages.values())


@cache
def measure(seed: int = 0) -> list[dict[str, float]]:
    """A dict a length: operations and bytes counted, and milliseconds forward and backward:
    the fastest of nine rounds, of all threads together.
    """
    torch.manual_seed(seed)
    model = MultiheadAttention(WIDTH, HEADS, batch_first=True)
    inputs = [torch.randn(1, n, WIDTH, generator=generator(seed)) for n in LENGTHS]  # (1, T, D)
    found = []
    for x in inputs:

        def forward(x: Tensor = x) -> Tensor:
            return model(x, x, x, need_weights=False)[0]

        found.append({
            "length": x.shape[1],
            "operations": counted_operations(forward),
            "kept_bytes": kept_bytes(forward, [x, *model.parameters()]),
        })  # fmt: skip
    seconds: list[list[float]] = [[] for _ in inputs]
    for _ in range(ROUNDS):  # in turns: a slow moment of the machine meets all lengths
        for x, times in zip(inputs, seconds, strict=True):
            start = time.process_time()
            model(x, x, x, need_weights=False)[0].sum().backward()
            times.append(time.process_time() - start)
    for row, times in zip(found, seconds, strict=True):
        row["milliseconds"] = 1000 * min(times)
    return found


def collect(found: list[dict[str, float]]) -> dict[str, Any]:
    """{"t_32": what was counted, what the formulas say, the share of the T x T part}."""
    rows = {}
    for row in found:
        length = int(row["length"])
        work, bytes_ = operations(length), kept(length)
        rows[f"t_{length}"] = {
            **row,
            "operations_formula": sum(work.values()),
            "kept_formula": sum(bytes_.values()),
            "attention_percent": 100 * work["attention"] / sum(work.values()),
            "weights_percent": 100 * bytes_["weights"] / sum(bytes_.values()),
        }
    return {"width": WIDTH, "heads": HEADS, "rows": rows}


def tables(metrics: dict[str, Any]) -> dict[str, Any]:
    columns = [
        ("T", "T", "d"),
        ("MFLOP, formula", "MFLOP，公式", ".1f"),
        ("MFLOP, counted", "MFLOP，实测", ".1f"),
        ("of it T² products (%)", "其中 T² 乘积（%）", ".0f"),
        ("MB kept, formula", "保存的 MB，公式", ".2f"),
        ("MB kept, counted", "保存的 MB，实测", ".2f"),
        ("of it weights (%)", "其中权重（%）", ".0f"),
        ("Processor time (ms)", "处理器时间（毫秒）", ".1f"),
    ]
    names = ("operations_formula", "operations", "kept_formula", "kept_bytes")
    lines = []
    for row in metrics["rows"].values():
        flops, counted, formula, bytes_ = (row[name] / 1e6 for name in names)
        lines.append([
            row["length"], flops, counted, row["attention_percent"], formula, bytes_,
            row["weights_percent"], row["milliseconds"],
        ])  # fmt: skip
    return {"main": table(columns, lines)}
