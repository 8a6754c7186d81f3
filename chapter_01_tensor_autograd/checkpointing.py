"""Activation checkpointing: less memory for more arithmetic.

The backward pass needs the intermediate results ("activations") of the forward pass, so memory
grows with depth. Checkpointing keeps only the inputs of segments of k layers and computes the rest
again, one segment at a time, when the backward pass arrives there. For n layers of equal size a,

    memory(k) = a * (n / k + k),        smallest at k = sqrt(n), where it is 2 a sqrt(n),

and the price is one more forward pass. For matrix products that is 1/3 more time, since their
backward costs two forwards; tanh is dearer forward than backward, so here it is more. Two things
make a checkpoint correct: the recomputation must see the same random numbers (dropout!), and the
parameters inside the segment must receive their gradients.

Paper: Chen, Xu, Zhang and Guestrin, "Training deep nets with sublinear memory cost" (2016).

    python chapter_01_tensor_autograd/checkpointing.py            # 60 s
    python chapter_01_tensor_autograd/checkpointing.py --quick    # 5 s

Expected: gradients equal to the last bit, with dropout; at depth 64 less than a third of the
memory, for about 1.4 times the time of a training step: 1 + the forward pass's share of it.
"""

from __future__ import annotations

import math
import sys
import weakref
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import checkpoint as torch_checkpoint
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from chapter_01_tensor_autograd.checkpointing_figures import depth_figure, length_figure
from utils import cli
from utils.device import synchronize
from utils.errors import confirm
from utils.results import mean_std, table
from utils.run import Run


class CheckpointFunction(torch.autograd.Function):
    """Runs `function` without recording it; records and differentiates it during backward."""

    @staticmethod
    def forward(ctx, function: Callable, restore_rng: bool, input_count: int, *tensors: Tensor):
        ctx.function, ctx.restore_rng, ctx.input_count = function, restore_rng, input_count
        ctx.cpu_rng = torch.get_rng_state()
        ctx.cuda_rng = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        ctx.save_for_backward(*tensors)  # the inputs of the segment, and its parameters
        return function(*tensors[:input_count])  # a Function's forward records no graph

    @staticmethod
    def backward(ctx, grad_output: Tensor):
        tensors = ctx.saved_tensors
        # Detached copies: the small graph built here must end at them, not go on to the left.
        inputs = [t.detach().requires_grad_(t.requires_grad) for t in tensors[: ctx.input_count]]
        devices = range(len(ctx.cuda_rng))
        with torch.random.fork_rng(devices), torch.enable_grad():  # the RNG is put back afterwards
            if ctx.restore_rng:
                torch.set_rng_state(ctx.cpu_rng)
                if ctx.cuda_rng:
                    torch.cuda.set_rng_state_all(ctx.cuda_rng)
            output = ctx.function(*inputs)
        sources = [*inputs, *tensors[ctx.input_count :]]
        wanted = [source for source in sources if source.requires_grad]
        grads = iter(torch.autograd.grad(output, wanted, grad_output, allow_unused=True))
        return None, None, None, *(next(grads) if s.requires_grad else None for s in sources)


def checkpoint(segment: nn.Module, *inputs: Tensor, restore_rng: bool = True) -> Tensor:
    """segment(*inputs), keeping only the inputs for the backward pass.

    The parameters are handed over as inputs as well: a `Function` gives gradients to its inputs
    only, and one none of whose inputs requires a gradient is not recorded at all.
    """
    parameters = [p for p in segment.parameters() if p.requires_grad]
    return CheckpointFunction.apply(segment, restore_rng, len(inputs), *inputs, *parameters)


# ------------------------------------------------------------------- a deep chain to try it on


def make_layers(depth: int, width: int, dropout: float = 0.0) -> nn.ModuleList:
    """Equal layers: Linear, tanh and, if asked for, dropout."""
    extra = [nn.Dropout(dropout)] if dropout else []
    layers = [nn.Sequential(nn.Linear(width, width), nn.Tanh(), *extra) for _ in range(depth)]
    return nn.ModuleList(layers)


def plain(layers: nn.ModuleList, x: Tensor, segment_length: int) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def segments(layers: nn.ModuleList, length: int) -> list[nn.Sequential]:
    return [nn.Sequential(*layers[i : i + length]) for i in range(0, len(layers), length)]


def ours(layers: nn.ModuleList, x: Tensor, segment_length: int) -> Tensor:
    for segment in segments(layers, segment_length):
        x = checkpoint(segment, x)
    return x


def pytorch(layers: nn.ModuleList, x: Tensor, segment_length: int) -> Tensor:
    for segment in segments(layers, segment_length):
        x = torch_checkpoint.checkpoint(segment, x, use_reentrant=False)
    return x


Forward = Callable[[nn.ModuleList, Tensor, int], Tensor]
VARIANTS: dict[str, Forward] = {
    "no checkpoints": plain,
    "checkpoints, ours": ours,
    "checkpoints, torch.utils": pytorch,
}


class LiveBytes(TorchDispatchMode):
    """Counts the memory of all tensors made inside the block: `.peak` bytes at the worst moment.

    PyTorch shows each operation, of the forward and of the backward pass, to an active dispatch
    mode. Every new storage is counted until it dies; views share their storage and add nothing.
    """

    def __init__(self, existing: Iterable[Tensor]) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage()._cdata for tensor in existing}  # not counted
        self.live = self.peak = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.watch(leaf.untyped_storage())
        return result

    def watch(self, storage: torch.UntypedStorage) -> None:
        identity, size = storage._cdata, storage.nbytes()
        if identity not in self.known:
            self.known.add(identity)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self.forget, identity, size)

    def forget(self, identity: int, size: int) -> None:
        self.known.discard(identity)
        self.live -= size


# ----------------------------------------------------------------------------- measurements


def step(forward: Forward, layers: nn.ModuleList, x: Tensor, segment_length: int) -> None:
    """One forward and one backward pass; gradients are added to zeroed buffers."""
    for parameter in layers.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad.zero_()
    forward(layers, x, segment_length).square().mean().backward()


def peak_bytes(forward: Forward, layers: nn.ModuleList, x: Tensor, segment_length: int) -> int:
    """Memory of a step at its worst moment, beyond parameters, their gradients and the input."""
    step(forward, layers, x, segment_length)  # makes the gradients' buffers
    existing = [x, *layers.parameters(), *(p.grad for p in layers.parameters())]
    with LiveBytes(existing) as counter:
        step(forward, layers, x, segment_length)
    return counter.peak


def step_seconds(
    jobs: Sequence[tuple[Forward, int]], layers: nn.ModuleList, x: Tensor, repeats: int
) -> np.ndarray:
    """Time of a step for each (variant, segment length), interleaved: (jobs, repeats).

    Each repetition is the fastest of three steps, the one least disturbed by other programs.
    """
    seconds = np.zeros((len(jobs), repeats, 3))
    for repeat in range(-1, repeats):  # round -1 warms up and is overwritten
        for attempt in range(3):
            for row, (forward, length) in enumerate(jobs):
                start = perf_counter()
                step(forward, layers, x, length)
                synchronize(x.device)
                seconds[row, repeat, attempt] = perf_counter() - start
    return seconds.min(axis=2)


def forward_share(layers: nn.ModuleList, x: Tensor, repeats: int) -> float:
    """Share of a plain step that the forward pass takes: what recomputing it should cost."""
    shares = []
    for _ in range(repeats):
        start = perf_counter()
        loss = plain(layers, x, 0).square().mean()
        synchronize(x.device)
        middle = perf_counter()
        loss.backward()
        synchronize(x.device)
        shares.append((middle - start) / (perf_counter() - start))
    return float(np.median(shares))


def compare_gradients(seed: int, device: torch.device) -> dict[str, float]:
    """Largest difference of any gradient from the plain step's, with dropout 0.2."""
    layers = make_layers(depth=8, width=64, dropout=0.2).to(device)
    x = torch.randn(32, 64, device=device)

    def gradients(forward: Forward) -> list[Tensor]:
        torch.manual_seed(seed)
        step(forward, layers, x, 3)  # 3 does not divide 8: the last segment is shorter
        return [p.grad.clone() for p in layers.parameters()]

    def forgetful(layers: nn.ModuleList, x: Tensor, length: int) -> Tensor:
        for segment in segments(layers, length):
            x = checkpoint(segment, x, restore_rng=False)
        return x

    reference = gradients(plain)
    names = {"ours": ours, "torch": pytorch, "ours_without_rng": forgetful}
    return {
        name: max((a - b).abs().max().item() for a, b in zip(gradients(f), reference, strict=True))
        for name, f in names.items()
    }


def measure_depths(depths: list[int], args: Namespace, x: Tensor) -> dict[str, np.ndarray]:
    """Peak bytes (variants, depths) and seconds (variants, depths, repeats), k = sqrt(depth)."""
    memory = np.zeros((len(VARIANTS), len(depths)))
    seconds = np.zeros((len(VARIANTS), len(depths), args.repeats))
    for column, depth in enumerate(cli.progress(depths, "depth")):
        layers, length = make_layers(depth, args.width).to(x.device), round(math.sqrt(depth))
        jobs = [(forward, length) for forward in VARIANTS.values()]
        memory[:, column] = [peak_bytes(forward, layers, x, length) for forward, _ in jobs]
        seconds[:, column] = step_seconds(jobs, layers, x, args.repeats)
    return {"memory": memory, "seconds": seconds}


def measure_lengths(lengths: list[int], args: Namespace, x: Tensor) -> dict:
    """The same for our checkpoints at one depth over the segment length; the last job is plain."""
    layers = make_layers(args.depth, args.width).to(x.device)
    jobs = [(ours, length) for length in lengths] + [(plain, 0)]
    memory = np.array([peak_bytes(forward, layers, x, length) for forward, length in jobs])
    share = forward_share(layers, x, 3 * args.repeats)
    seconds = step_seconds(jobs, layers, x, args.repeats)
    return {"memory": memory, "seconds": seconds, "forward_share": share}


# ----------------------------------------------------------------------------- the script


def depth_table(depths: list[int], result: dict[str, np.ndarray]) -> dict:
    columns = [
        ("Layers", "层数", "d"),
        ("Memory without (MiB)", "不用检查点的内存（MiB）", ".1f"),
        ("With (MiB)", "使用后（MiB）", ".1f"),
        ("Memory ratio", "内存比", ".2f"),
        ("Time ratio, ours", "时间比（本课实现）", ".2f"),
        ("Time ratio, torch", "时间比（torch）", ".2f"),
    ]
    rows = []
    for i, depth in enumerate(depths):
        without, mine, _ = result["memory"][:, i] / 2**20
        base, our_time, torch_time = result["seconds"][:, i]
        pairs = [mean_std(t / base) for t in (our_time, torch_time)]
        rows.append([depth, without, mine, mine / without, *pairs])
    return table(columns, rows)


def collect_metrics(depths, lengths, by_depth, by_length, differences) -> dict:
    memory, seconds = by_depth["memory"][:, -1], by_depth["seconds"][:, -1]
    ours_ratio, torch_ratio = (mean_std(seconds[i] / seconds[0]) for i in (1, 2))
    return {
        "gradient_difference": differences,
        "deepest": depths[-1],
        "memory_ratio_ours": memory[1] / memory[0],
        "memory_ratio_torch": memory[2] / memory[0],
        "time_ratio_ours": ours_ratio[0],
        "time_ratio_ours_std": ours_ratio[1],
        "time_ratio_torch": torch_ratio[0],
        "time_ratio_torch_std": torch_ratio[1],
        "predicted_time_ratio": 1 + by_length["forward_share"],
        "best_segment_length": lengths[int(np.argmin(by_length["memory"][:-1]))],
        "segment_mebibytes": dict(
            zip(lengths, (by_length["memory"][:-1] / 2**20).tolist(), strict=True)
        ),
    }


def build_parser():
    parser = cli.make_parser(
        __doc__,
        examples=[
            "python chapter_01_tensor_autograd/checkpointing.py",
            "python chapter_01_tensor_autograd/checkpointing.py --depth 100 --width 512",
        ],
        device=True,
    )
    add = parser.add_argument_group("the chain of layers").add_argument
    add("--depth", type=cli.positive_int, default=64, help="largest number of layers")
    add("--width", type=cli.positive_int, default=256, help="neurons a layer")
    add("--batch", type=cli.positive_int, default=256, help="samples")
    add("--repeats", type=cli.positive_int, default=5, help="repetitions of each timing")
    parser.set_defaults(threads=1)  # small matrices are fastest, and timings steadiest, on one
    return parser


def experiment(args: Namespace, run: Run) -> None:
    if run.quick:
        args.depth, args.width, args.batch, args.repeats = 16, 64, 256, 3
    differences = compare_gradients(args.seed, run.device)
    print("largest difference of a gradient from that of the plain step (dropout 0.2):")
    for name, difference in differences.items():
        print(f"  {name:18} {difference:.1e}")
    confirm(differences["ours"] == 0, "recomputing changes the gradients")
    confirm(differences["ours_without_rng"] > 0, "dropout drew the same mask without its RNG state")

    x = torch.randn(args.batch, args.width, device=run.device)
    unit = args.batch * args.width * 4 / 2**20  # one layer's activation, MiB
    depths = sorted({d for d in (4, 9, 16, 25, 36, 49) if d < args.depth} | {args.depth})
    by_depth = measure_depths(depths, args, x)
    lengths = [2**i for i in range(int(math.log2(args.depth)) + 1)]
    by_length = measure_lengths(lengths, args, x)
    metrics = collect_metrics(depths, lengths, by_depth, by_length, differences)
    run.save_result("checkpointing", metrics, {"main": depth_table(depths, by_depth)})
    run.save_figure(depth_figure(depths, [*VARIANTS], by_depth, unit), "checkpointing_depth")
    run.save_figure(length_figure(lengths, args.depth, by_length, unit), "checkpointing_segments")
    run.finish(metrics, next_command="python chapter_01_tensor_autograd/custom_function.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
