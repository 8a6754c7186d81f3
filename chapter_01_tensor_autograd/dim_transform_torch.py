"""Shapes, strides and memory: which tensor operations copy, and what a copy costs.

A tensor is a flat block of memory (its storage) and three facts about how to read it: shape,
strides, offset. Element x[i, j, k] lies at

    address = offset + i * stride[0] + j * stride[1] + k * stride[2]        (in elements)

An operation that can be expressed by new strides makes a *view*: no data moves, and writing
through one name is seen through the other. An operation that cannot must copy. This script tells
the two apart by the address of the storage, draws the strides, and measures the price of copies.

    python chapter_01_tensor_autograd/dim_transform_torch.py            # 15 s
    python chapter_01_tensor_autograd/dim_transform_torch.py --quick    # 4 s

Expected: transpose takes a few microseconds at any size, the others a time proportional to the
size. A strided copy is several times slower than a straight one, and a large copy into new memory
slower than one into memory that is in use already: the system hands out pages at first touch.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from utils import cli, plotting
from utils.errors import confirm
from utils.results import table
from utils.run import Run

# name, what is done to x of shape (2, 3, 4) with strides (12, 4, 1)
OPERATIONS: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("x.view(6, 4)", lambda x: x.view(6, 4)),
    ("x.reshape(4, 6)", lambda x: x.reshape(4, 6)),
    ("x.transpose(1, 2)", lambda x: x.transpose(1, 2)),
    ("x.permute(2, 0, 1)", lambda x: x.permute(2, 0, 1)),
    ("x.unsqueeze(0)", lambda x: x.unsqueeze(0)),
    ("x[:1].squeeze(0)", lambda x: x[:1].squeeze(0)),
    ("x[:, :1].expand(2, 3, 4)", lambda x: x[:, :1].expand(2, 3, 4)),
    ("x[:, 1:, ::2]", lambda x: x[:, 1:, ::2]),
    ('einsum("bij->bji", x)', lambda x: torch.einsum("bij->bji", x)),
    ('einsum("bii->bi", x[..., :3])', lambda x: torch.einsum("bii->bi", x[..., :3])),
    ("x.transpose(1, 2).reshape(2, 12)", lambda x: x.transpose(1, 2).reshape(2, 12)),
    ("x.transpose(1, 2).contiguous()", lambda x: x.transpose(1, 2).contiguous()),
    ("x[:, [0, 2]]", lambda x: x[:, [0, 2]]),
    ("x[:, :1].repeat(1, 3, 1)", lambda x: x[:, :1].repeat(1, 3, 1)),
    ("torch.stack([x, x])", lambda x: torch.stack([x, x])),
    ("torch.cat([x, x], dim=1)", lambda x: torch.cat([x, x], dim=1)),
    ('einsum("bij,bkj->bik", x, x)', lambda x: torch.einsum("bij,bkj->bik", x, x)),
]


def shares_memory(a: Tensor, b: Tensor) -> bool:
    """Do both read the same storage? (`a.data_ptr()` alone would also differ by the offset.)"""
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


def address(x: Tensor, index: tuple[int, ...]) -> int:
    """Place of x[index] in the storage, counted in elements, from the formula above."""
    return x.storage_offset() + sum(i * s for i, s in zip(index, x.stride(), strict=True))


def addresses(x: Tensor) -> np.ndarray:
    """The address of every element, in the shape of x."""
    places = np.zeros(tuple(x.shape), dtype=int)
    for index in np.ndindex(*x.shape):
        places[index] = address(x, index)
    return places


def operation_rows(x: Tensor) -> list[list]:
    """One row an operation; checks that the address formula finds the right element."""
    rows = []
    for name, operation in OPERATIONS:
        y = operation(x)
        flat = torch.empty(0).set_(y.untyped_storage())  # the whole storage as one line
        found = flat[torch.from_numpy(addresses(y))]
        confirm(torch.equal(found, y), f"{name}: the address formula finds other elements")
        view = shares_memory(x, y)
        word = {"en": "view", "zh": "视图"} if view else {"en": "copy", "zh": "复制"}
        contiguous = {"en": "yes", "zh": "是"} if y.is_contiguous() else {"en": "no", "zh": "否"}
        rows.append([f"`{name}`", str(tuple(y.shape)), str(y.stride()), contiguous, word])
    return rows


def print_operations(x: Tensor, rows: list[list]) -> None:
    print(f"x: shape {tuple(x.shape)}, strides {x.stride()}, {x.numel()} elements\n")
    print(f"{'operation':34} {'shape':14} {'strides':14} contiguous  memory")
    for name, shape, stride, contiguous, word in rows:
        print(f"{name.strip('`'):34} {shape:14} {stride:14} {contiguous['en']:11} {word['en']}")


def demonstrate_traps(x: Tensor) -> None:
    """Three surprises, each provoked; every statement is checked."""
    print("\nThree surprises")
    y = x.clone()
    y.view(6, 4)[0, 0] = 100.0
    confirm(bool(y[0, 0, 0] == 100.0), "a view is other memory")
    print("1. y.view(6, 4)[0, 0] = 100 changes y[0, 0, 0] as well: a view is the same memory.")
    try:
        x.transpose(1, 2).view(2, 12)
        raise AssertionError("view of incompatible strides must fail")
    except RuntimeError:
        print("2. x.transpose(1, 2).view(2, 12) is refused: no strides can express it.")
        print("   reshape copies instead, and does not say so.")
    wide = x[:, :1].expand(2, 3, 4)
    try:
        wide += 1
        raise AssertionError("in-place addition on an expanded tensor must fail")
    except RuntimeError:
        print(f"3. expand gives stride 0, here {wide.stride()}: one element stands for three,")
        print("   so wide += 1 is refused.")


# ------------------------------------------------------------------------------- figures


def draw_cells(ax, places: np.ndarray, size: int, title: str) -> None:
    """A matrix whose cells show (and are coloured by) their address in memory."""
    rows, cols = places.shape
    ax.imshow(places, cmap="viridis", vmin=0, vmax=size - 1, aspect="equal")
    for (row, col), place in np.ndenumerate(places):
        color = "white" if place < 0.6 * size else "black"
        ax.text(col, row, str(place), ha="center", va="center", color=color, fontsize=9)
    ax.set_xticks(np.arange(-0.5, cols), minor=True)
    ax.set_yticks(np.arange(-0.5, rows), minor=True)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    ax.set_title(title, fontsize=9)
    for spine in ax.spines.values():
        spine.set_visible(False)


def strides_figure():
    """Six ways to read the same twelve numbers."""
    x = torch.arange(12.0).view(3, 4)
    views = [
        ("x = arange(12).view(3, 4)", x),
        ("x.transpose(0, 1)", x.transpose(0, 1)),
        ("x.view(2, 6)", x.view(2, 6)),
        ("x[:, ::2]", x[:, ::2]),
        ("x[1:, 1:3]", x[1:, 1:3]),
        ("x[:1].expand(3, 4)", x[:1].expand(3, 4)),
    ]
    ratios = {"height_ratios": [0.35, 1, 1]}
    figure, axes = plotting.subplots(3, 3, width=8.4, height=5.6, gridspec_kw=ratios)
    for ax in axes[0]:
        ax.remove()
    strip = figure.add_subplot(axes[0, 0].get_gridspec()[0, :])
    draw_cells(strip, np.arange(12)[None], 12, "the memory: 12 numbers in a row, cell = address")
    for ax, (name, view) in zip(axes[1:].flat, views, strict=True):
        facts = f"strides {view.stride()}, offset {view.storage_offset()}"
        draw_cells(ax, addresses(view), 12, f"{name}\n{facts}")
        middle = (view.shape[1] - 1) / 2
        ax.set_xlim(middle - 3, middle + 3)  # all panels 6 cells wide and 4 high,
        ax.set_ylim(3.5, -0.5)  # so that all cells have one size
    return figure


def time_once(operation: Callable[[], object], min_seconds: float) -> float:
    """Seconds a call, from as many calls as fill `min_seconds`."""
    calls, start = 0, perf_counter()
    while (elapsed := perf_counter() - start) < min_seconds or calls == 0:
        operation()
        calls += 1
    return elapsed / calls


def measure_costs(sides: list[int], repeats: int, min_seconds: float) -> dict[str, np.ndarray]:
    """Seconds of each operation on a side x side float32 matrix: name -> (repeats, sizes)."""
    operations: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "x.T  (view)": lambda x, y: x.T,
        "y.copy_(x)  (straight)": lambda x, y: y.copy_(x),
        "y.copy_(x.T)  (strided)": lambda x, y: y.copy_(x.T),
        "x.clone()  (straight, new memory)": lambda x, y: x.clone(),
        "x.T.contiguous()  (strided, new memory)": lambda x, y: x.T.contiguous(),
    }
    seconds = {name: np.zeros((repeats, len(sides))) for name in operations}
    for column, side in enumerate(cli.progress(sides, "copy costs")):
        x, y = torch.rand(side, side), torch.zeros(side, side)
        for operation in operations.values():
            operation(x, y)  # warm-up: first touch of the memory
        for repeat in range(repeats):  # interleaved, so that drift hits all alike
            for name, operation in operations.items():
                seconds[name][repeat, column] = time_once(partial(operation, x, y), min_seconds)
    return seconds


def cost_figure(sides: list[int], seconds: dict[str, np.ndarray]):
    mebibytes = [side * side * 4 / 2**20 for side in sides]
    figure, ax = plotting.subplots(width=7.2, height=4.4)
    for name, runs in seconds.items():
        plotting.band(ax, mebibytes, runs * 1e6, name)
    ax.set(xscale="log", yscale="log")
    ax.set_xlabel("size of x (MiB, float32)")
    ax.set_ylabel("time a call (µs)")
    ax.set_title("A view costs the same at any size; a copy does not")
    ax.legend(fontsize=8)
    return figure


def cost_metrics(sides: list[int], seconds: dict[str, np.ndarray]) -> dict:
    view, copy, strided, clone, contiguous = (runs[:, -1] for runs in seconds.values())
    return {
        "largest_side": sides[-1],
        "largest_mebibytes": sides[-1] ** 2 * 4 / 2**20,
        "view_microseconds": view.mean() * 1e6,
        "copy_milliseconds": copy.mean() * 1e3,
        "strided_copy_milliseconds": strided.mean() * 1e3,
        "clone_milliseconds": clone.mean() * 1e3,
        "contiguous_milliseconds": contiguous.mean() * 1e3,
        "strided_over_straight": (strided / copy).mean(),
        "strided_over_straight_std": (strided / copy).std(),
        "clone_over_copy": (clone / copy).mean(),
        "copy_gigabytes_per_second": 2 * sides[-1] ** 2 * 4 / copy.mean() / 1e9,
    }


def build_parser():
    parser = cli.make_parser(
        __doc__,
        examples=[
            "python chapter_01_tensor_autograd/dim_transform_torch.py",
            "python chapter_01_tensor_autograd/dim_transform_torch.py --repeats 9",
        ],
    )
    group = parser.add_argument_group("measurement")
    add = group.add_argument
    add("--repeats", type=cli.positive_int, default=5, help="repetitions of each timing")
    parser.set_defaults(threads=1)  # small matrices are fastest, and timings steadiest, on one
    return parser


def experiment(args: Namespace, run: Run) -> None:
    x = torch.arange(24.0).view(2, 3, 4)
    rows = operation_rows(x)
    print_operations(x, rows)
    demonstrate_traps(x)

    sides = [32, 128, 512] if run.quick else [32, 64, 128, 256, 512, 1024, 2048, 4096]
    seconds = measure_costs(sides, args.repeats, min_seconds=0.01 if run.quick else 0.05)
    metrics = cost_metrics(sides, seconds)
    columns = [
        ("Operation", "操作", "s"),
        ("Shape", "形状", "s"),
        ("Strides", "步幅", "s"),
        ("Contiguous", "连续", "s"),
        ("Memory", "内存", "s"),
    ]
    copies = sum(row[-1]["en"] == "copy" for row in rows)
    metrics |= {"views": len(rows) - copies, "copies": copies}
    run.save_result("dim_transform", metrics, {"main": table(columns, rows)})
    run.save_figure(strides_figure(), "strides")
    run.save_figure(cost_figure(sides, seconds), "copy_cost")
    print()
    run.finish(metrics, next_command="python chapter_01_tensor_autograd/autograd.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
