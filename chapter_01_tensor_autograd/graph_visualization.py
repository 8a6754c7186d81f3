"""The graph behind a four-layer network, drawn: ours, and PyTorch's chain of `grad_fn`.

Both engines leave a directed acyclic graph behind while they compute. Ours links tensors to the
tensors they came from; PyTorch links backward functions (`grad_fn.next_functions`) and ends at
`AccumulateGrad` nodes, which add into `parameter.grad`. The arrows show the direction of the
computation; the backward pass walks against them.

    python chapter_01_tensor_autograd/graph_visualization.py            # 4 s
    python chapter_01_tensor_autograd/graph_visualization.py --quick    # the same, drawn smaller
    python chapter_01_tensor_autograd/graph_visualization.py --renderer matplotlib

Expected: two pictures with the same eight parameters and the same loss. `nn.Linear` is a transpose
and one fused `addmm`, where ours has `matmul` and `add`; `mean` is one operation there, and a sum
and a division here. Drawn by Graphviz (`dot`) where it is installed, else by matplotlib.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from argparse import Namespace
from dataclasses import dataclass, field

import numpy as np

from chapter_01_tensor_autograd.graph import topological_order
from chapter_01_tensor_autograd.tensor import Tensor
from utils import cli, plotting
from utils.errors import confirm
from utils.results import table
from utils.run import Run

# Fill colours by kind of node.
FILL = {"parameter": "#CFE4F2", "operation": "#F4F4F4", "result": "#FBD9BF"}


@dataclass
class Graph:
    """Labelled nodes and (from, to) edges in the direction of the computation."""

    title: str
    labels: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)

    def add(self, label: str, kind: str) -> int:
        self.labels.append(label)
        self.kinds.append(kind)
        return len(self.labels) - 1


# --------------------------------------------------------------------------- two networks


def make_arrays(widths: list[int], batch: int, seed: int) -> dict[str, np.ndarray]:
    """x (B, widths[0]) and, for each layer, W (in, out) and b (out,)."""
    rng = np.random.default_rng(seed)
    arrays = {"x": rng.normal(size=(batch, widths[0]))}
    for i in range(1, len(widths)):
        arrays[f"W{i}"] = rng.normal(size=(widths[i - 1], widths[i])) / np.sqrt(widths[i - 1])
        arrays[f"b{i}"] = rng.normal(size=widths[i])
    return arrays


def our_loss(arrays: dict[str, np.ndarray]) -> tuple[Tensor, dict[Tensor, str]]:
    """Loss of a ReLU network on our engine, and the names of its parameters."""
    parameters = {n: Tensor(a, requires_grad=True) for n, a in arrays.items() if n != "x"}
    depth = len(parameters) // 2
    h = Tensor(arrays["x"])
    for i in range(1, depth + 1):
        h = h @ parameters[f"W{i}"] + parameters[f"b{i}"]  # (B, widths[i])
        if i < depth:
            h = h.relu()
    return (h**2).mean(), {tensor: name for name, tensor in parameters.items()}


def torch_loss(arrays: dict[str, np.ndarray]):
    """The same network from nn.Linear and nn.ReLU, and the names of its parameters."""
    import torch
    from torch import nn

    depth = (len(arrays) - 1) // 2
    h, names = torch.tensor(arrays["x"]), {}
    for i in range(1, depth + 1):
        weight, bias = arrays[f"W{i}"], arrays[f"b{i}"]
        layer = nn.Linear(*weight.shape, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weight.T))  # torch keeps (out, in)
            layer.bias.copy_(torch.tensor(bias))
        names |= {layer.weight: f"W{i}", layer.bias: f"b{i}"}
        h = layer(h) if i == depth else torch.relu(layer(h))
    return (h**2).mean(), names


# ------------------------------------------------------------------- from engine to Graph


def our_graph(loss: Tensor, names: dict[Tensor, str]) -> Graph:
    """The tensors behind `loss` that require a gradient."""
    graph, numbers = Graph("our engine"), {}
    for tensor in topological_order([loss]):
        shape = str(tensor.shape)
        if tensor in names:
            numbers[tensor] = graph.add(f"{names[tensor]}\n{shape}", "parameter")
        else:
            kind = "result" if tensor is loss else "operation"
            numbers[tensor] = graph.add(f"{tensor.op}\n{shape}", kind)
        graph.edges += [(numbers[parent], numbers[tensor]) for parent in tensor.parents]
    return graph


def torch_graph(loss, names: dict) -> Graph:
    """The backward functions behind `loss`, as reached through `next_functions`."""
    graph, numbers = Graph("PyTorch"), {}
    stack = [loss.grad_fn]
    while stack:
        function = stack.pop()
        if function in numbers:
            continue
        if hasattr(function, "variable"):  # AccumulateGrad: the end of the line
            shape = tuple(function.variable.shape)
            label = f"AccumulateGrad\n{names[function.variable]} {shape}"
            numbers[function] = graph.add(label, "parameter")
        else:
            kind = "result" if function is loss.grad_fn else "operation"
            numbers[function] = graph.add(f"{function.name()}{output_shape(function)}", kind)
        stack += [following for following, _ in function.next_functions if following is not None]
    for function, number in numbers.items():
        sources = [f for f, _ in function.next_functions if f is not None]
        graph.edges += [(numbers[source], number) for source in sources]
    return graph


def output_shape(function) -> str:
    """Shape of the tensor that a backward function belongs to, where PyTorch tells it."""
    metadata = getattr(function, "_input_metadata", ())  # what comes in backward came out forward
    return f"\n{tuple(metadata[0].shape)}" if metadata else ""


# ------------------------------------------------------------------------- drawing: Graphviz


class DotPicture:
    """A picture that `dot` has drawn, with the one method of a figure that saving needs."""

    def __init__(self, png: bytes) -> None:
        self.png = png

    def savefig(self, buffer, **_) -> None:
        buffer.write(self.png)


def draw_with_dot(graph: Graph, dpi: int) -> DotPicture | None:
    """The graph laid out by Graphviz; None where `dot` is absent or does not work."""
    import graphviz

    dot = graphviz.Digraph(graph_attr={"dpi": str(dpi), "ranksep": "0.22", "nodesep": "0.15"})
    dot.attr(label=graph.title, labelloc="t", fontname="Helvetica", fontsize="16")
    dot.attr("node", style="filled,rounded", shape="box", fontname="Helvetica", fontsize="12")
    dot.attr("node", height="0.3", margin="0.10,0.04", color="#666666")
    dot.attr("edge", color="#666666", arrowsize="0.7")
    for number, (label, kind) in enumerate(zip(graph.labels, graph.kinds, strict=True)):
        dot.node(str(number), label.replace("\n", "\\n"), fillcolor=FILL[kind])
    trunk = trunk_of(graph, ranks(graph))
    for source, target in graph.edges:
        straight = source in trunk and target in trunk
        dot.edge(str(source), str(target), weight="20" if straight else "1")
    try:
        return DotPicture(dot.pipe(format="png"))
    except (graphviz.ExecutableNotFound, subprocess.CalledProcessError, OSError):
        return None


# ----------------------------------------------------------------------- drawing: matplotlib


def ranks(graph: Graph) -> list[int]:
    """Row of each node: the result is in row 0, a node is above everything it leads to.

    Rows are counted from the result, so that a parameter stands just above its use.
    """
    targets: list[list[int]] = [[] for _ in graph.labels]
    for source, target in graph.edges:
        targets[source].append(target)
    row = [0] * len(graph.labels)
    for _ in graph.labels:  # at most that many passes; nearly always a few
        after = [max((row[t] + 1 for t in targets[n]), default=0) for n in range(len(row))]
        if after == row:
            break
        row = after
    return row


def trunk_of(graph: Graph, row: list[int]) -> set[int]:
    """The nodes of one longest path from the top to the result: drawn as a straight line."""
    node = row.index(max(row))
    trunk = {node}
    while row[node]:
        node = next(t for s, t in graph.edges if s == node and row[t] == row[node] - 1)
        trunk.add(node)
    return trunk


def columns(graph: Graph, row: list[int], trunk: set[int]) -> np.ndarray:
    """Horizontal place of each node: the trunk in column 0, others as near to it as is free."""
    place = np.zeros(len(row), dtype=int)
    for level in range(max(row) + 1):
        taken = {0}
        for node in (n for n, r in enumerate(row) if r == level and n not in trunk):
            target = next(t for s, t in graph.edges if s == node)
            place[node] = nearest_free(int(place[target]), taken)
            taken.add(int(place[node]))
    return place


def nearest_free(wish: int, taken: set[int]) -> int:
    """wish, wish - 1, wish + 1, wish - 2 ...: the first that is not taken."""
    candidates = (wish + side * away for away in itertools.count() for side in (-1, 1))
    return next(column for column in candidates if column not in taken)


def draw_with_matplotlib(graph: Graph, dpi: int):
    row = ranks(graph)
    x, y = columns(graph, row, trunk_of(graph, row)), row
    longest = max(len(line) for label in graph.labels for line in label.split("\n"))
    step = 0.085 * longest + 0.3  # inches from one column to the next
    width, height = (x.max() - x.min() + 1) * step + 0.2, 0.56 * (max(row) + 1) + 0.4
    figure, ax = plotting.subplots(width=max(width, 3.0), height=height)
    figure.set_dpi(dpi)
    ax.set_axis_off()
    ax.set(xlim=(x.min() - 0.6, x.max() + 0.6), ylim=(-0.6, max(row) + 0.6))
    ax.set_title(graph.title)
    boxes = []
    for number, (label, kind) in enumerate(zip(graph.labels, graph.kinds, strict=True)):
        box = {"boxstyle": "round,pad=0.25", "facecolor": FILL[kind], "edgecolor": "#666666"}
        text = ax.text(x[number], y[number], label, ha="center", va="center", fontsize=8, bbox=box)
        boxes.append(text.get_bbox_patch())
    for source, target in graph.edges:
        arrow = {"arrowstyle": "-|>", "color": "#666666", "shrinkA": 0, "shrinkB": 0}
        arrow |= {"patchA": boxes[source], "patchB": boxes[target]}
        ax.annotate("", (x[target], y[target]), (x[source], y[source]), arrowprops=arrow)
    return figure


def draw(graph: Graph, renderer: str, dpi: int):
    """The picture, and the name of what drew it. `auto` takes dot if it works."""
    picture = draw_with_dot(graph, dpi) if renderer == "auto" else None
    if picture is None:
        return draw_with_matplotlib(graph, dpi), "matplotlib"
    return picture, "dot"


# ----------------------------------------------------------------------------- the script


def build_parser():
    parser = cli.make_parser(
        __doc__,
        examples=[
            "python chapter_01_tensor_autograd/graph_visualization.py",
            "python chapter_01_tensor_autograd/graph_visualization.py --widths 8 16 16 4",
        ],
    )
    add = parser.add_argument_group("the network").add_argument
    add(
        "--widths",
        type=cli.positive_int,
        nargs="+",
        default=[8, 16, 16, 16, 4],
        help="inputs, neurons of each layer, outputs",
    )
    add("--batch_size", type=cli.positive_int, default=32, help="examples")
    add(
        "--renderer",
        choices=["auto", "matplotlib"],
        default="auto",
        help="auto: Graphviz's dot if it is installed, else matplotlib",
    )
    return parser


def result_table(graphs: list[Graph]) -> dict:
    titles = [
        ("Graph", "计算图", "s"),
        ("Parameters", "参数节点", "d"),
        ("Operations", "运算节点", "d"),
        ("Edges", "边", "d"),
    ]
    names = {"our engine": "本课引擎", "PyTorch": "PyTorch"}
    rows = []
    for graph in graphs:
        parameters = graph.kinds.count("parameter")
        name = {"en": graph.title, "zh": names[graph.title]}
        rows.append([name, parameters, len(graph.kinds) - parameters, len(graph.edges)])
    return table(titles, rows)


def experiment(args: Namespace, run: Run) -> None:
    if len(args.widths) < 2:
        raise cli.UserError("--widths needs at least two numbers: inputs and outputs.")
    arrays = make_arrays(args.widths, args.batch_size, args.seed)
    loss, names = our_loss(arrays)
    reference, reference_names = torch_loss(arrays)
    same = np.isclose(loss.item(), reference.item(), rtol=1e-10)
    confirm(bool(same), "the two losses differ")
    print(f"loss: ours {loss.item():.12f}, PyTorch {reference.item():.12f}")
    graphs = {
        "graph_ours": our_graph(loss, names),
        "graph_torch": torch_graph(reference, reference_names),
    }
    metrics: dict = {"loss": loss.item()}
    for name, graph in graphs.items():
        metrics[name] = {"nodes": len(graph.labels), "edges": len(graph.edges)}
    run.save_result("graph_visualization", metrics, {"main": result_table([*graphs.values()])})
    for name, graph in graphs.items():
        picture, drawn_by = draw(graph, args.renderer, dpi=70 if run.quick else 100)
        run.save_figure(picture, name)
        print(f"{graph.title}: {len(graph.labels)} nodes, drawn by {drawn_by}")
    if drawn_by == "matplotlib" and args.renderer == "auto":
        print("Graphviz's `dot` was not found or did not work; matplotlib drew the same graphs.")
    run.finish(metrics, next_command="python chapter_01_tensor_autograd/jvp.py")


def main(argv: list[str] | None = None) -> int:
    return cli.run(build_parser(), experiment, script=__file__, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
