# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Chapter 5 walkthrough: what one addition does to a deep network
# # 第 5 章导览：一次加法对深层网络做了什么
#
# We compute the gradient of three blocks by hand, watch signals and gradients pass through fifty layers, train a residual
# network and its plain twin on pictures that the course draws itself, take blocks out of them, and ask where they look. Every
# cell runs in seconds on a laptop CPU. Before each one, **guess what you will see**.
#
# 我们手算三个块的梯度，观察信号和梯度穿过五十层，用课程自己绘制的图片训练一个残差网络和与它成对的普通网络，再拿掉其中的块，最后问它们在看哪里。每个单元格在笔记本电脑的 CPU 上只需几秒。运行之前，请先**猜一猜会看到什么**。

# %%
# %matplotlib inline
from dataclasses import replace
from math import comb
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from chapter_04_cnn_classic.image_tasks import load_task, standardize, to_pixels
from chapter_04_cnn_classic.recipe import Recipe, accuracy, train
from chapter_05_resnet_modern_cnn.src import cam_figures, cam_methods
from chapter_05_resnet_modern_cnn.src.architectures.resnet import (
    BasicBlock,
    Bottleneck,
    CifarResNet,
)
from chapter_05_resnet_modern_cnn.src.architectures.shufflenet_v2 import channel_shuffle
from chapter_05_resnet_modern_cnn.src.exp_unravelled import blocks_of, without
from chapter_05_resnet_modern_cnn.src.model import load_model
from utils import plotting
from utils.datasets import shapes
from utils.seed import seed_everything

torch.set_num_threads(1)  # these networks are too small to share out
seed_everything(0)
WEIGHTS = Path(cam_methods.__file__).parents[1] / "checkpoints"


def lines(curves, xlabel, ylabel, title, log=True):
    """Named curves in one axis."""
    figure, ax = plotting.subplots(width=6.4, height=3.4)
    for number, (name, values) in enumerate(curves.items()):
        marker = {
            "marker": plotting.MARKERS[number],
            "ms": 4,
            "markevery": max(1, len(values) // 12),
        }
        ax.plot(range(len(values)), values, label=name, **marker, **plotting.look(number))
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title, yscale="log" if log else "linear")
    ax.legend(fontsize=8)
    return figure


# %% [markdown]
# ## 1. A product and a sum / 连乘与求和
#
# Three blocks on single numbers, $F_l(x) = w_l x$ with $w = (0.5, 0.4, 0.3)$, and $x_0 = 1$. The plain network computes
# $x_{l+1} = F_l(x_l)$, the residual one $x_{l+1} = x_l + F_l(x_l)$. **Guess** the gradient of the output with respect to $x_0$
# in both, and what becomes of it when the middle weight is 0.
#
# 三个作用在单个数上的块： $F_l(x) = w_l x$，其中 $w = (0.5, 0.4, 0.3)$， $x_0 = 1$。普通网络计算 $x_{l+1} = F_l(x_l)$，残差网络计算 $x_{l+1} = x_l + F_l(x_l)$。**猜一猜**两者的输出对 $x_0$ 的梯度，以及中间的权重为 0 时它会变成什么。


# %%
def gradient_at_the_start(weights, residual):
    x = start = torch.tensor(1.0, requires_grad=True)
    for w in weights:
        x = x + w * x if residual else w * x
    return torch.autograd.grad(x, start)[0].item()


for weights in [(0.5, 0.4, 0.3), (0.5, 0.0, 0.3), (0.1, -0.1) * 27]:
    plain, residual = (gradient_at_the_start(weights, r) for r in (False, True))
    print(f"{len(weights):2} blocks: plain {plain:9.2e}   residual {residual:.3f}")

# %% [markdown]
# A plain network is one product: a single zero ends it, and fifty-four small factors leave nothing. The residual gradient is a sum
# over all $2^n$ choices of blocks, and the choice "no block" contributes 1.
#
# 普通网络是一个连乘：一个零就使它终结，五十四个小因子什么也剩不下。残差网络的梯度是对块的所有 $2^n$ 种选法求和，其中“一块也不选”贡献 1。
#
# ## 2. Signals through fifty layers / 信号穿过五十层
#
# Random weights, no training. A stack of 3 x 3 convolutions with ReLU: plain, residual, and residual with BatchNorm at the head of each
# branch (pre-activation). **Guess** the size of the signal after 25 blocks of two layers.
#
# 随机权重，不训练。3 x 3 卷积加 ReLU 的堆叠：普通的、残差的，以及每个分支开头有批归一化的残差网络（预激活）。**猜一猜** 25 个两层的块之后信号有多大。

# %%
BLOCKS, WIDTH = 25, 16


def branch(normed):
    """ReLU and convolution, twice; BatchNorm before each ReLU if wanted."""
    layers = []
    for _ in range(2):
        conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, padding_mode="circular", bias=False)
        nn.init.kaiming_normal_(conv.weight)
        layers += [nn.BatchNorm2d(WIDTH)] if normed else []
        layers += [nn.ReLU(), conv]
    return nn.Sequential(*layers)


def follow(residual, normed):
    """Standard deviation of the signal after each block, and norm of the gradient before each."""
    torch.manual_seed(1)
    x = torch.randn(16, WIDTH, 8, 8, requires_grad=True)
    stream = [x]
    for _ in range(BLOCKS):
        change = branch(normed)(stream[-1])
        stream.append(stream[-1] + change if residual else change)
    random = torch.randn_like(stream[-1])  # a gradient that arrives at the end
    gradients = torch.autograd.grad((stream[-1] * random).sum(), stream)
    return [s.std().item() for s in stream], [g.norm().item() for g in gradients]


kinds = {
    "plain": (False, False),
    "plain, BatchNorm": (False, True),
    "residual": (True, False),
    "residual, BatchNorm": (True, True),
}
found = {name: follow(*kind) for name, kind in kinds.items()}
for name, (signal, _) in found.items():
    print(f"{name:20} deviation {signal[0]:.2f} -> {signal[-1]:.3g}")
lines({name: signal for name, (signal, _) in found.items()}, "blocks", "deviation", "the signal")

# %% [markdown]
# Without normalisation the residual stream doubles its second moment with each block: $2^{25/2} \approx 5800$ in the deviation. With
# BatchNorm in the branch each block adds 1 to it, so the deviation grows like a root. And backwards? **Guess** which of the four has
# the *largest* gradient at its first block.
#
# 没有归一化时，残差流的二阶矩每过一块翻一倍：标准差变为 $2^{25/2} \approx 5800$ 倍。分支里有批归一化时，每块只给它加 1，标准差按平方根增长。反方向呢？**猜一猜**四个网络里哪一个在第一块处的梯度*最大*。

# %%
for name, (_, gradients) in found.items():
    print(f"{name:20} gradient, first block over last {gradients[0] / gradients[-1]:.3g}")
lines(
    {name: g for name, (_, g) in found.items()},
    "blocks before it",
    "norm of the gradient",
    "the gradient",
)

# %% [markdown]
# BatchNorm in a *plain* network makes the gradient explode, by about $\sqrt{\pi / (\pi - 1)} = 1.21$ a layer towards the picture:
# $1.21^{50} \approx 14000$ (section 6; with 16 channels and a batch of 16 it comes out somewhat differently). With the shortcut the
# same BatchNorm keeps the growth small.
#
# 在*普通*网络里，批归一化使梯度爆炸，每向图片方向走一层约乘以 $\sqrt{\pi / (\pi - 1)} = 1.21$： $1.21^{50} \approx 14000$ （第 6 节；16 个通道、批次大小 16 时数值略有出入）。有了捷径，同样的批归一化却使增长很小。
#
# ## 3. Two blocks, counted / 数一数两种块
#
# A basic block on 64 channels has two 3 x 3 convolutions. A bottleneck of inner width 64 has a stream of 256 channels. **Guess** which
# has more weights.
#
# 64 通道上的基本块有两个 3 x 3 卷积。内部宽度 64 的瓶颈块，残差流有 256 个通道。**猜一猜**哪一个权重更多。

# %%
for name, block in (("basic, 64", BasicBlock(64, 64)), ("bottleneck, 256", Bottleneck(256, 64))):
    kernels = [m.weight for m in block.modules() if isinstance(m, nn.Conv2d)]
    print(f"{name:16} {[tuple(k.shape) for k in kernels]}  {sum(k.numel() for k in kernels):,}")

# %% [markdown]
# ## 4. A residual network and its plain twin / 残差网络与成对的普通网络
#
# The same 20 layers, first weights, batches and recipe; one has shortcuts without weights (option A). Narrow, on 2,000 drawn pictures,
# four passes: a training of seconds. **Guess** which training loss is lower.
#
# 同样的 20 层、初始权重、批次和配方；其中一个有不带权重的捷径（方案 A）。网络很窄，2,000 张绘制的图片，四轮：几秒钟的训练。**猜一猜**哪个的训练损失更低。

# %%
few = load_task("shapes", limit=250)  # for what is only looked at
task = replace(load_task("shapes", limit=2000), val=few.val)
recipe = Recipe(epochs=4, batch_size=32, lr=0.1, optimizer="sgd", weight_decay=1e-4)
losses = {}
for name, shortcut in (("residual", "A"), ("plain", "none")):
    torch.manual_seed(0)
    network = CifarResNet(3, widths=(8, 16, 32), shortcut=shortcut)
    history = train(network, task, recipe, seed=0)
    losses[name] = history.step_losses
    print(
        f"{name:9} loss {np.mean(losses[name][-50:]):.3f}, test {100 * accuracy(network, few):.1f} %"
    )
smooth = {n: np.convolve(v, np.ones(15) / 15, "valid") for n, v in losses.items()}
lines(smooth, "step", "training loss (nats)", "20 layers, mean of 15 steps", log=False)

# %% [markdown]
# In these few seconds the residual network has begun to learn, and the plain one has not. `exp_degradation.py` shows how the difference
# depends on depth.
#
# 在这几秒钟里，残差网络开始学了，普通网络还没有。`exp_degradation.py` 展示差别怎样随深度变化。
#
# ## 5. Taking a block out / 拿掉一块
#
# Now the shipped networks of 20 layers, trained on 9,000 pictures. Replace one block by its shortcut (in the plain network: by nothing),
# without any training. **Guess** the test accuracy of both networks.
#
# 现在换成随附的 20 层网络，它们用 9,000 张图片训练过。把一个块换成它的捷径（普通网络中：直接去掉），不再训练。**猜一猜**两个网络的测试准确率。

# %%
for name in ("resnet20", "plainnet20"):
    network, _ = load_model(WEIGHTS / f"{name}_shapes.pth")
    print(f"{name}: whole {100 * accuracy(network, few):.1f} %")
    for block in blocks_of(network):
        with without(network, [block]):
            print(f"   without {block}: {100 * accuracy(network, few):.1f} %")

paths = [comb(9, k) for k in range(10)]
print("paths through 9 blocks, by their length:", paths, "sum", sum(paths))

# %% [markdown]
# Without one block the residual network gets worse, by little or by much, and still works: half of its $2^9$ paths never passed through
# that block. The plain network has one path, and guesses. (Nine blocks are few. Veit et al. took single blocks out of 54 and saw next to
# nothing.)
#
# 少了一块，残差网络会变差，或多或少，但仍在工作： $2^9$ 条路径中有一半本来就不经过这一块。普通网络只有一条路径，只能瞎猜。（九块很少；Veit 等人从 54 块里去掉单块，几乎看不出影响。）
#
# ## 6. Where does it look? / 它在看哪里？
#
# The logit is the mean of a map: $M_c = \sum_k w_{ck} A_k$. We draw it for test pictures whose objects we know to the pixel. **Guess**
# which share of the map's heat lies on the object, if the object covers a fifth of the picture.
#
# logit 是一张图的平均值： $M_c = \sum_k w_{ck} A_k$。我们为测试图片画出它，这些图片里物体的像素是已知的。如果物体占图片的五分之一，**猜一猜**图上的热度有多大比例落在物体上。

# %%
network, _ = load_model(WEIGHTS / "resnet20_shapes.pth")
scenes = shapes.make_splits(32, 250)[2]  # with the places of the objects in the pictures of `few`
masks = torch.from_numpy(scenes.masks.any(axis=1))  # (N, H, W)
x = standardize(to_pixels(few.test[0]), task)  # (N, 3, 32, 32)
with torch.no_grad():
    right = (network(x).argmax(dim=1) == few.test[1]).nonzero().flatten()[:6].tolist()
figure, axes = plotting.subplots(2, 6, width=10, height=3.8)
for column, row in enumerate(right):
    heat = cam_methods.cam(network, x[row : row + 1], int(few.test[1][row]), network.layer3)
    inside, area = cam_methods.mass_inside(heat, masks[row]), masks[row].float().mean()
    axes[0, column].imshow(few.test[0][row].permute(1, 2, 0))
    axes[1, column].imshow(cam_figures.overlay(few.test[0][row], heat))
    axes[0, column].set_title(task.classes[int(few.test[1][row])], fontsize=9)
    axes[1, column].set_title(f"{100 * inside:.0f} % on {100 * area:.0f} %", fontsize=9)
for ax in axes.flat:
    ax.axis("off")
figure

# %% [markdown]
# The last map has 8 x 8 places, so the heat cannot be sharper than four pixels. Does it depend on what the network has learnt? Shuffle
# the weights of the last layers and correlate the maps. **Guess** the numbers.
#
# 最后的特征图只有 8 x 8 个位置，所以热度不可能比四个像素更精细。它取决于网络学到的东西吗？打乱最后几层的权重，再计算两张图的相关系数。**猜一猜**这些数。

# %%
row = right[0]
one, label = x[row : row + 1], int(few.test[1][row])
for name in ("grad_cam", "integrated_gradients"):
    method = cam_methods.METHODS[name]
    before = method(network, one, label, network.layer3)
    numbers = []
    for layers in (1, 2, 4, 8):
        with cam_methods.randomised(network, layers):
            after = method(network, one, label, network.layer3)
        numbers.append(cam_methods.rank_correlation(before, after))
    said = ["empty map" if np.isnan(n) else f"{n:+.2f}" for n in numbers]
    print(f"{name:21} last 1, 2, 4, 8 layers shuffled: {', '.join(said)}")

# %% [markdown]
# ## 7. Cheap convolutions / 便宜的卷积
#
# Depthwise, then 1 x 1: $1/C_{out} + 1/9$ of the multiplications of a full 3 x 3 convolution. **Guess** whether a processor takes
# as much less time. And what does a channel shuffle with two groups do to six channels?
#
# 先逐通道，再 1 x 1：乘法次数是普通 3 x 3 卷积的 $1/C_{out} + 1/9$。**猜一猜**处理器的用时是否也少这么多。再者，两组的通道混洗对六个通道做了什么？

# %%
maps = torch.randn(16, 128, 16, 16).contiguous(memory_format=torch.channels_last)
full = nn.Conv2d(128, 128, 3, padding=1)
depthwise, pointwise = nn.Conv2d(128, 128, 3, padding=1, groups=128), nn.Conv2d(128, 128, 1)


def milliseconds(module):
    module = module.to(memory_format=torch.channels_last)
    times = []
    with torch.no_grad():
        for _ in range(15):
            started = perf_counter()
            module(maps)
            times.append(perf_counter() - started)
    return 1e3 * sorted(times)[len(times) // 2]


shared = nn.Sequential(depthwise, pointwise)
print(f"multiplications: {100 * (1 / 128 + 1 / 9):.0f} % of the full convolution's")
print(f"time: {100 * milliseconds(shared) / milliseconds(full):.0f} %")
six = torch.arange(6.0).view(1, 6, 1, 1)
print("shuffled:", channel_shuffle(six, 2).flatten().int().tolist())
kernel = F.conv2d(six.expand(1, 6, 3, 3), torch.ones(6, 1, 3, 3), groups=6).flatten()
print("depthwise: each channel alone:", kernel.int().tolist())

# %% [markdown]
# The multiplications become fewer, but the numbers that are moved do not: a depthwise layer waits for memory.
#
# 乘法变少了，搬运的数却没有变少：逐通道的层在等内存。
#
# ## 8. Your turn / 轮到你了
#
# Predict first, then change a cell and run it.
#
# 1. Section 1: put a gate of 0.9 on the shortcut, `x = 0.9 * x + w * x`. What is left of the gradient after 54 blocks?
# 2. Section 2: multiply the branch by 0 (zero-init). What are signal and gradient then? And by $1/\sqrt{25}$?
# 3. Section 2: move the ReLU behind the sum (v1). What changes in the signal?
# 4. Section 4: use `CifarResNet(6, ...)`, 38 layers. Which loss moves more?
# 5. Section 5: take out two blocks at once, neighbours or not. Is the damage the sum of the two?
# 6. Section 6: use `network.layer2` with Grad-CAM. Is the map sharper? Is it better?
# 7. Section 7: try 16 and 512 channels. When does the depthwise layer pay in time?
#
# Then do the exercises (`chapter_05_resnet_modern_cnn/exercises/exercises.py`, checked by `python -m course check 5`).
#
# 先预测，再修改单元格运行。
#
# 1. 第 1 节：在捷径上放一个 0.9 的门，`x = 0.9 * x + w * x`。54 个块之后梯度还剩多少？
# 2. 第 2 节：把分支乘以 0（残差分支零初始化）。信号和梯度各是多少？乘以 $1/\sqrt{25}$ 呢？
# 3. 第 2 节：把 ReLU 移到相加之后（v1）。信号有什么变化？
# 4. 第 4 节：改用 `CifarResNet(6, ...)`，即 38 层。哪个损失变化更大？
# 5. 第 5 节：一次拿掉两个块，相邻或不相邻。损害是两者之和吗？
# 6. 第 6 节：对 `network.layer2` 用 Grad-CAM。图更清晰吗？更好吗？
# 7. 第 7 节：试试 16 和 512 个通道。逐通道的层什么时候才省时间？
#
# 然后做练习（`chapter_05_resnet_modern_cnn/exercises/exercises.py`，用 `python -m course check 5` 检查）。
