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
# # Chapter 2 walkthrough: what an MLP can do, and why it trains
# # 第 2 章导览：多层感知机能做什么，又为什么能训练
#
# We build a network by hand before we train one, look at what training finds, leave the range of the
# data on purpose, and then open the two boxes that make training work: the backward pass and the
# initial weights. Every cell runs in seconds on a laptop CPU. Before each one, **guess what you will see**.
#
# 我们先亲手搭出一个网络，再去训练；看看训练找到了什么；有意走到数据范围之外；最后打开使训练成为可能的两个“盒子”：反向传播和初始权重。每个单元格在笔记本电脑的 CPU 上只需几秒。运行之前，请先**猜一猜会看到什么**。

# %%
# %matplotlib inline
import math
from pathlib import Path

import numpy as np
import torch

import chapter_02_nn_basics_mlp as chapter
from chapter_02_nn_basics_mlp import initialization as init
from chapter_02_nn_basics_mlp import layers, losses
from chapter_02_nn_basics_mlp.model import MLP, parameter_count
from utils import plotting
from utils.datasets import toy
from utils.seed import seed_everything

MODELS = Path(chapter.__file__).parent / "models"
torch.set_num_threads(1)  # these networks are too small to share out
seed_everything(0)

# %% [markdown]
# ## 1. From a neuron to a layer / 从神经元到层
#
# A neuron is a weighted sum and a bias. A layer is many neurons that read the same inputs: their
# weights are the rows of a matrix, and a batch of inputs makes the whole layer *one matrix product*,
# $Y = X W^T + b$.
#
# 一个神经元就是加权求和再加偏置。一层就是许多读取相同输入的神经元：它们的权重是矩阵的各行，而一个批次的输入使整层成为*一次矩阵乘法*：$Y = X W^T + b$。

# %%
layer = layers.Linear(3, 2)
x = torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 1.0], [2.0, 0.0, 0.0], [1.0, 1.0, 1.0]])  # (4, 3)
by_neuron = torch.stack(
    [
        (x * weights).sum(dim=1) + bias
        for weights, bias in zip(layer.weight, layer.bias, strict=True)
    ],
    dim=1,
)  # (4, 2)
print("x", tuple(x.shape), " W", tuple(layer.weight.shape), " -> y", tuple(layer(x).shape))
print("neuron by neuron = one product:", torch.allclose(layer(x), by_neuron))

# %% [markdown]
# ## 2. Why there must be something between the layers / 为什么层与层之间必须有非线性
#
# Three linear layers in a row, 64 units wide, have thousands of weights. How many different functions
# of three inputs can they express that a single linear layer cannot? None: the product of matrices
# is a matrix.
#
# 把三个宽度为 64 的线性层叠在一起，有几千个权重。它们能表达多少单个线性层表达不了的三元函数？一个也没有：矩阵之积仍是矩阵。

# %%
deep = layers.Sequential(layers.Linear(3, 64), layers.Linear(64, 64), layers.Linear(64, 2))
a, b, c = deep
weight = c.weight @ b.weight @ a.weight  # (2, 64) (64, 64) (64, 3) -> (2, 3)
bias = c.weight @ (b.weight @ a.bias + b.bias) + c.bias  # (2,)
print("parameters of the three layers:", parameter_count(deep))
print("parameters of the equal one:   ", weight.numel() + bias.numel())
print("largest difference of the outputs:", f"{(deep(x) - (x @ weight.T + bias)).abs().max():.0e}")

# %% [markdown]
# ## 3. A network without training / 不用训练的网络
#
# With a ReLU in between, each hidden unit is a *hinge*: flat on one side of its bend, straight on the
# other. Put the bends where you like and choose the output weights such that the slope changes by
# the right amount at each: the network then runs through any points you want. This is the
# constructive proof of universal approximation in one dimension.
#
# 中间加上 ReLU 之后，每个隐藏单元就是一个*折页（hinge）*：折点一侧是平的，另一侧是直线。把折点放在任意位置，再选取输出权重，使每个折点处的斜率恰好改变所需的量，网络就能穿过任意给定的点。这就是一维情形下万能逼近定理的构造性证明。


# %%
def hinge_network(knots, heights):
    """Output of the ReLU network through the points, flat to the left: a function of t (N,)."""
    slopes = np.diff(heights) / np.diff(knots)
    bends = np.diff(slopes, prepend=0.0)  # the change of slope at each knot but the last
    return lambda t: heights[0] + np.maximum(t[:, None] - knots[:-1], 0) @ bends  # (N, H) @ (H,)


t = np.linspace(*toy.CURVE_RANGE, 1001)
figure, axes = plotting.subplots(1, 3, width=10, height=3.2, sharey=True)
for ax, units in zip(axes, (4, 8, 16), strict=True):
    knots = np.linspace(*toy.CURVE_RANGE, units + 1)
    output = hinge_network(knots, toy.true_curve(knots))(t)
    error = np.sqrt(np.mean((output - toy.true_curve(t)) ** 2))
    ax.plot(t, toy.true_curve(t), color="gray", label="true curve")
    ax.plot(t, output, label="network")
    ax.plot(knots[:-1], toy.true_curve(knots[:-1]), "o", markersize=3, color="black", label="bends")
    ax.set_title(f"{units} hidden units: RMS error {error:.3f}")
    ax.set_xlabel("x")
axes[0].set_ylabel("y")
axes[0].legend(fontsize=8)
figure

# %% [markdown]
# From 8 to 16 units the error falls to about a quarter: straight pieces of length $h$ miss a smooth
# curve by something like $h^2$. The theorem promises that such weights *exist*. It does not say that
# gradient descent finds them, nor how many points are needed, nor anything about the curve outside
# the interval.
#
# 从 8 个单元到 16 个单元，误差降到约四分之一：长度为 $h$ 的直线段逼近光滑曲线的误差约为 $h^2$ 量级。定理只保证这样的权重*存在*，并不保证梯度下降能找到它们，不说明需要多少数据，也完全不涉及区间之外的曲线。

# %% [markdown]
# ## 4. A network with training / 经过训练的网络
#
# Now the curve is hidden: there are only noisy points, nine tenths of them for training.
# `mlp.py --mode standard` fits them; the cell loads the weights it shipped, or trains the same network for
# some seconds if there are none.
#
# 现在曲线本身看不到了：只有一些带噪声的点，其中十分之九用于训练。`mlp.py --mode standard` 对它们做拟合；下面的单元格载入随课程提供的权重，如果没有，就当场花几秒钟训练同样的网络。

# %%
from types import SimpleNamespace

from chapter_02_nn_basics_mlp import mlp, mlp_measure


def fitted(mode, kinds):
    """{kind: network} of the shipped checkpoint's first seed, or of a training here and now."""
    path = MODELS / f"{mode}.pth"
    if path.exists():
        fits, _ = mlp.load_fits(path, mode)
        first = min(seed for _, seed in fits)
        return {kind: fits[kind, first].model for kind in kinds}, first
    options = SimpleNamespace(input_dim=1, epochs=1000, lr=1e-2)
    cpu, points = torch.device("cpu"), mlp.PROBLEMS[mode].sample(42)
    models = {}
    for kind in kinds:
        seed_everything(42)
        is_sin = kind == "sin_features"
        model = MLP(activation="tanh" if is_sin else kind, sin_features=4 if is_sin else 0)
        models[kind] = mlp.train(model, points, options, cpu).model
    return models, 42


problem = mlp.PROBLEMS["standard"]
models, seed = fitted("standard", ["silu"])
model, points = models["silu"], problem.sample(seed)
grid = problem.grid()  # (401, 1)
print(f"{len(points.x)} points, {points.cut} for training, noise of deviation {problem.noise}")

figure, ax = plotting.subplots(width=6.8, height=3.8)
ax.plot(points.x[: points.cut], points.y[: points.cut], ".", color="gray", alpha=0.5, label="data")
ax.plot(grid, problem.truth(grid), color=plotting.COLORS[1], label="true curve")
ax.plot(grid, mlp.predict(model, grid, 1), color=plotting.COLORS[0], label="network")
ax.set_xlabel("x")
ax.set_ylabel("y")
ax.legend()
figure

# %% [markdown]
# How good is that? A number alone says nothing, so here are its neighbours: predicting the mean
# everywhere, the best straight line, the noise of a single point, and the *noise-limited optimum*:
# what a smoother reaches that was tuned with knowledge of the true curve.
#
# 这个结果好不好？单独一个数说明不了什么，所以把它放进参照系里：处处预测均值、最佳直线、单个数据点的噪声，以及*噪声决定的最优值*，即一个在已知真实曲线的条件下调到最好的平滑器所能达到的误差。

# %%
truth = problem.truth(grid)
x_train, y_train = points.x[: points.cut, 0], points.y[: points.cut, 0]
line = np.polyval(np.polyfit(x_train, y_train, 1), grid[:, 0])
references = {
    "predicting the mean": np.sqrt(np.mean((y_train.mean() - truth) ** 2)),
    "best straight line": np.sqrt(np.mean((line - truth) ** 2)),
    "noise of one point": problem.noise,
    "network": mlp.rmse(problem, model, grid, 1),
    "noise-limited optimum": mlp_measure.oracle(problem, seed)[0].rmse,
}
for name, error in references.items():
    print(f"{name:22} RMS error against the true curve {error:.4f}")

# %% [markdown]
# The error is far *below* the noise of a single point: a network with few effective degrees of
# freedom averages over many neighbouring points. Inside, training has done what we did by hand, only
# with smooth units: the first layer offers simple curves, the second bends them again, and the output is a sum.
#
# 误差远*小于*单个点的噪声：网络的有效自由度不多，它对许多相邻的点做了平均。而在网络内部，训练所做的正是我们刚才亲手做的事，只是单元变成了光滑的：第一层提供简单的曲线，第二层把它们再弯一次，输出则是它们之和。

# %%
inputs = mlp.as_input(grid, 1)  # (401, 1)
with torch.no_grad():
    first = model.net[:2](inputs)  # (401, 1) -> (401, 64)
    second = model.net[:4](inputs)  # (401, 1) -> (401, 64)
figure, axes = plotting.subplots(1, 2, width=9, height=3.4)
for ax, hidden, name in zip(axes, (first, second), ("first", "second"), strict=True):
    ax.plot(grid, hidden[:, :12], linewidth=1)
    ax.set_title(f"12 of the 64 units of the {name} hidden layer")
    ax.set_xlabel("x")
axes[0].set_ylabel("output of the unit")
figure

# %% [markdown]
# ## 5. Outside the data / 数据之外
#
# The training points end at $\pm\pi$. **Guess the shape** of three networks beyond that: ReLU, tanh, and a
# network whose inputs are $\sin kx$ and $\cos kx$, $k = 1 \dots 4$.
#
# 训练数据到 $\pm\pi$ 为止。**猜一猜**三个网络在此之外的形状：ReLU、tanh，以及以 $\sin kx$、$\cos kx$（$k = 1 \dots 4$）为输入的网络。

# %%
outside = mlp.PROBLEMS["extrapolate"]
models, seed = fitted("extrapolate", ["relu", "tanh", "sin_features"])
wide = np.linspace(-3 * np.pi, 3 * np.pi, 1201)[:, None]
figure, axes = plotting.subplots(1, 3, width=10.5, height=3.4, sharey=True)
for ax, (kind, network) in zip(axes, models.items(), strict=True):
    ax.axvspan(-np.pi, np.pi, color="gray", alpha=0.15, label="range of the data")
    ax.plot(wide, outside.truth(wide), color=plotting.COLORS[1], label="true curve")
    ax.plot(wide, mlp.predict(network, wide, 1), color=plotting.COLORS[0], label="network")
    inner = mlp.rmse(outside, network, outside.grid(), 1)
    outer = mlp.rmse(outside, network, outside.outside(), 1)
    ax.set_title(f"{kind.replace('_', ' ')}\nRMS error {inner:.3f} inside, {outer:.2f} outside")
    ax.set_xlabel("x")
    ax.set_ylim(-3, 3)
axes[0].set_ylabel("y")
axes[0].legend(fontsize=8, loc="lower left")
figure

# %% [markdown]
# Inside, all three follow the data; outside, each follows its own nature. ReLU goes straight on, tanh
# becomes flat, and the sine features repeat, because we *told* the network that the world has period
# $2\pi$. Data decide inside their range; outside, the assumptions built into the model do.
#
# 在区间之内，三者都跟着数据走；到了外面，各自按自己的本性行事：ReLU 笔直前行，tanh 趋于平坦，正弦特征则周期重复，因为是我们*告诉*网络这个世界以 $2\pi$ 为周期。范围之内由数据说了算；范围之外，说了算的是模型自带的假设。
#
# ## 6. Parameters, counted / 数一数参数
#
# A `Linear(n, m)` has $nm + m$ parameters. For the network of section 4, count in your head first:
# $1 \to 64 \to 64 \to 1$.
#
# 一个 `Linear(n, m)` 有 $nm + m$ 个参数。先心算第 4 节的网络 $1 \to 64 \to 64 \to 1$ 有多少参数。

# %%
for name, parameter in model.named_parameters():
    print(f"{name:13} {tuple(parameter.shape)!s:9} {parameter.numel():6,}")
print(f"{'together':23} {parameter_count(model):6,}")

# %% [markdown]
# ## 7. The backward pass by hand / 手推反向传播
#
# `backprop_numpy.py` derives the gradients as matrix products. The backward pass reads like the
# forward pass from right to left: with $D_l = \partial L/\partial Z_l$,
# $dW_l = D_l^T H_{l-1}$, $db_l = \sum_{\text{rows}} D_l$, $D_{l-1} = (D_l W_l) \odot \varphi'(Z_{l-1})$. Three
# ways to the same numbers: these formulas, PyTorch, and the engine of chapter 1.
#
# `backprop_numpy.py` 把梯度推导成矩阵乘积。反向传播就像把前向传播从右往左读：记 $D_l = \partial L/\partial Z_l$，则 $dW_l = D_l^T H_{l-1}$，$db_l = \sum_{\text{rows}} D_l$，$D_{l-1} = (D_l W_l) \odot \varphi'(Z_{l-1})$。三条路通向同一组数：这些公式、PyTorch，以及第 1 章的引擎。

# %%
from chapter_02_nn_basics_mlp import backprop_numpy as backprop

rng = np.random.default_rng(0)
network = backprop.init_layers([6, 16, 16, 4], rng)
inputs, classes = rng.normal(size=(32, 6)), rng.integers(0, 4, 32)
by_hand, by_torch, by_engine = (
    gradients(network, inputs, classes, "relu", "cross_entropy")[1]
    for gradients in (
        backprop.gradients_by_hand,
        backprop.gradients_by_torch,
        backprop.gradients_by_engine,
    )
)
for number, (weight_gradient, bias_gradient) in enumerate(by_hand, start=1):
    print(f"layer {number}: dW {weight_gradient.shape}, db {bias_gradient.shape}")
for name, other in (("PyTorch", by_torch), ("the engine of chapter 1", by_engine)):
    difference = backprop.relative_difference(by_hand, other)
    if difference >= 1e-12:
        raise AssertionError(f"the gradients differ from those of {name}: {difference}")
    print(f"equal to {name} (relative difference below 1e-12)")

# %% [markdown]
# ## 8. Softmax and cross-entropy / softmax 与交叉熵
#
# For classes, the network's outputs (logits) become probabilities by a softmax, and the loss is
# $-\log p_{\text{true class}}$. Two facts carry most of the practice. The gradient with respect to the
# logits is simply $p - \text{one-hot}$: push the true class up by what it lacks, the others down by
# what they have.
#
# 对分类问题，网络的输出（logits）经 softmax 变成概率，损失为 $-\log p_{\text{真实类别}}$。有两个事实在实践中最重要。其一：损失对 logits 的梯度就是 $p - \text{one-hot}$，即把真实类别往上推它所欠缺的量，把其他类别往下压它们所占有的量。

# %%
logits = torch.tensor([[2.0, 1.0, -1.0]], requires_grad=True)
target = torch.tensor([1])
loss = losses.CrossEntropyLoss()(logits, target)
loss.backward()
probabilities = layers.Softmax(dim=1)(logits.detach())
print(f"loss          {loss.item():.4f} = -log {probabilities[0, 1]:.4f}")
print("probabilities", probabilities.numpy().round(4))
print("gradient     ", logits.grad.numpy().round(4))

# %% [markdown]
# The second: never take the logarithm of a softmax. Below the true class has a logit that is far
# behind. The right loss is the gap itself, but the probability underflows to 0, and $-\log 0$ is
# infinite; from a logit of 89 on, $e^x$ itself overflows in float32, and the *winner's* probability is nan.
# Working with
# $\log p_i = x_i - m - \log \sum_k e^{x_k - m}$, $m = \max_k x_k$, has neither problem.
#
# 其二：不要对 softmax 的结果再取对数。下面真实类别的 logit 远远落后，正确的损失就是这个差距，但概率会下溢为 0，而 $-\log 0$ 是无穷大；logit 超过 89 后，float32 的 $e^x$ 自身就会上溢，连*得分最高*类别的概率也成了 nan。用 $\log p_i = x_i - m - \log \sum_k e^{x_k - m}$（$m = \max_k x_k$）计算则两个问题都不存在。

# %%
for gap in (10.0, 80.0, 120.0, 1000.0):
    logits = torch.tensor([[gap, 0.0]])  # float32; the true class is 1
    naive = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    stable = losses.CrossEntropyLoss()(logits, torch.tensor([1]))
    print(
        f"gap {gap:6.0f}   naive probabilities {naive[0, 0]:.2f} {naive[0, 1]:.0e}, "
        f"loss {-naive[0, 1].log():6.2f}   stable loss {stable:8.2f}"
    )

# %% [markdown]
# ## 9. Where to start: initial weights / 从哪里出发：初始权重
#
# A unit sums `fan_in` products, so each layer multiplies the size of the signal by about
# $\sqrt{\text{fan-in} \cdot \mathrm{Var}(w) / 2}$ (the 2: a ReLU throws away half). Anything other than 1 is raised
# to the power of the depth. **Guess**: with weights of standard deviation 0.05 instead of
# $\sqrt{2/256} = 0.088$, how much signal is left after 30 layers?
#
# 一个单元要累加 `fan_in` 个乘积，所以每一层使信号的大小乘上约 $\sqrt{\text{fan-in} \cdot \mathrm{Var}(w) / 2}$（除以 2 是因为 ReLU 丢掉一半）。这个因子只要不等于 1，就会被深度放大成指数。**猜一猜**：若权重的标准差取 0.05 而不是 $\sqrt{2/256} = 0.088$，经过 30 层之后信号还剩多少？

# %%
width, depth = 256, 30
generator = torch.Generator().manual_seed(0)
start = torch.randn(512, width, generator=generator)  # (B, D)
figure, ax = plotting.subplots(width=6.4, height=3.8)
kaiming = math.sqrt(2 / width)
for std, label in [(0.05, "0.05"), (kaiming, "sqrt(2 / 256) = 0.088"), (0.12, "0.12")]:
    h, sizes = start, [1.0]
    for _ in range(depth):
        weight = init.normal_(torch.empty(width, width), std=std, generator=generator)
        h = torch.relu(h @ weight.T)  # (B, D) -> (B, D)
        sizes.append(h.square().mean().sqrt().item())
    ax.semilogy(range(depth + 1), sizes, label=f"std of the weights {label}")
    predicted = (std / kaiming) ** depth
    print(f"std {std:.3f}: after {depth} layers {sizes[-1]:.1e}, predicted {predicted:.1e}")
ax.set_xlabel("layer")
ax.set_ylabel("root mean square of the activations")
ax.set_title(f"ReLU layers of width {width}, nothing trained")
ax.legend(fontsize=8)
figure

# %% [markdown]
# A factor of 0.566 per layer leaves $0.566^{30} \approx 4 \cdot 10^{-8}$. Over eleven orders of magnitude the formula
# predicts the end of each line to within a factor of two; the rest is luck, because 256 weights a unit are not infinitely
# many. Gradients shrink and grow by the same factors on the way back: one of the reasons why deep
# networks were so hard to train before this was worked out.
#
# 每层 0.566 倍，30 层之后只剩 $0.566^{30} \approx 4 \cdot 10^{-8}$。在跨越十一个数量级的范围内，公式对每条曲线终点的预测都在两倍以内；剩下的差别来自偶然，因为每个单元只有 256 个权重，而不是无穷多个。梯度在返回途中也按同样的倍数缩小或放大：在这番推算出现之前，深层网络很难训练，这正是原因之一。
#
# ## 10. Dead units / 死亡的单元
#
# A ReLU that is 0 for *every* training point passes no gradient: its weights stay as they are. In the first
# layer that is for good; in a later one only a change in the layers below can wake it. One step that is too
# large can do that. Here is one network, untrained (learning rate 0: a few units are dead from the start) and
# after 20 steps with two learning rates.
#
# 如果一个 ReLU 对*每一个*训练样本的输出都是 0，它就得不到任何梯度，自身的权重不再变化。在第一层，这是永久的；在后面的层，只有前面各层的变化才可能唤醒它。一步走得太大就足以造成这种结果。下面是同一个网络未经训练时（学习率为 0：有几个单元一开始就是死的），以及用两种学习率各走 20 步之后的情形。


# %%
def dead_units(model, x):
    """Hidden units of each ReLU layer that are 0 for all of x."""
    counts = []
    for part in model.net:
        x = part(x)
        if isinstance(part, layers.ReLU):
            counts.append(int((x == 0).all(dim=0).sum()))
    return counts


points, labels = toy.spiral(n_per_class=100, classes=3, seed=0)
points, labels = torch.tensor(points, dtype=torch.float32), torch.tensor(labels)  # (300, 2), (300,)
for rate in (0.0, 0.1, 30.0):
    seed_everything(0)
    model = MLP(2, 64, 3, depth=2, activation="relu")
    for _ in range(20):
        loss = losses.CrossEntropyLoss()(model(points), labels)
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= rate * parameter.grad
    loss = losses.CrossEntropyLoss()(model(points), labels).item()
    print(f"learning rate {rate:4}: dead {dead_units(model, points)} of [64, 64], loss {loss:.2f}")
print(f"guessing one class in three: loss {math.log(3):.2f}")

# %% [markdown]
# ## 11. Putting it together: the spiral / 合在一起：螺旋
#
# Three classes wound around each other. A linear classifier can only cut the plane with straight
# lines; two hidden layers bend it. The loop is all there is to training: forward, loss, backward, step.
# (`torch.optim.Adam` does the step here; chapter 3 builds it.)
#
# 三个类别相互缠绕。线性分类器只能用直线切分平面；两个隐藏层则可以把边界弯过来。训练的全部内容就是这个循环：前向、损失、反向、更新。（这里由 `torch.optim.Adam` 完成更新，第 3 章会亲手实现它。）


# %%
def train_classifier(depth, steps=400):
    seed_everything(0)
    model = MLP(2, 64, 3, depth=depth, activation="relu")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    criterion = losses.CrossEntropyLoss()
    for _ in range(steps):
        loss = criterion(model(points), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


axis = torch.linspace(-1.2, 1.2, 161)
grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)  # (161, 161, 2)
fresh, fresh_labels = toy.spiral(
    n_per_class=500, classes=3, seed=1
)  # points never seen in training
fresh = torch.tensor(fresh, dtype=torch.float32)

figure, axes = plotting.subplots(1, 2, width=8.6, height=4.2, sharey=True)
for ax, depth in zip(axes, (0, 2), strict=True):
    model = train_classifier(depth)
    with torch.no_grad():
        regions = model(grid).argmax(dim=-1)  # (161, 161, 3) -> (161, 161)
        accuracy = (model(fresh).argmax(dim=1).numpy() == fresh_labels).mean()
    levels, colors = [-0.5, 0.5, 1.5, 2.5], plotting.COLORS[:3]
    ax.contourf(axis, axis, regions, levels=levels, colors=colors, alpha=0.25)
    for k, color in enumerate(colors):
        ax.plot(*points[labels == k].T, ".", color=color, markersize=4)
    name = "linear (no hidden layer)" if depth == 0 else f"{depth} hidden layers of 64"
    ax.set_title(f"{name}\naccuracy on new points {accuracy:.1%} (chance 33.3%)")
    ax.set_xlabel("x1")
axes[0].set_ylabel("x2")
figure

# %% [markdown]
# ## 12. Your turn / 轮到你了
#
# Predict first, then change a cell and run it.
#
# 1. Section 3: how many hinges bring the error below 0.001? (Use the quarter rule, then check.)
# 2. Section 4: train `MLP(activation="identity")` with `mlp.train`. Which curve comes out? You have seen its error.
# 3. Section 9: replace `torch.relu` by `torch.tanh`. Which line still falls, and why can none of them explode now?
# 4. Section 9: at which standard deviation would a network with *leaky* ReLU of slope 0.2 keep its signal?
# 5. Section 10: find the learning rate at which the first units die. Which layer goes first?
# 6. Section 11: set the width to 3 with depth 2, then to 2. What can the boundary no longer do?
#
# Then do the exercises (`chapter_02_nn_basics_mlp/exercises/exercises.py`, checked by
# `python -m course check 2`), which build the hinge network for *any* piecewise linear function, and the deep
# saw-tooth that no shallow network of its size can match.
#
# 先预测，再修改单元格运行。
#
# 1. 第 3 节：要使误差低于 0.001，需要多少个折点？（先用“四分之一”规律估计，再验证。）
# 2. 第 4 节：用 `mlp.train` 训练 `MLP(activation="identity")`，会得到什么曲线？它的误差你其实已经见过。
# 3. 第 9 节：把 `torch.relu` 换成 `torch.tanh`。哪条线仍然下降？为什么现在没有一条会爆炸？
# 4. 第 9 节：若使用斜率为 0.2 的 *leaky* ReLU，权重标准差应取多少才能保持信号？
# 5. 第 10 节：找出单元开始死亡的学习率。先出事的是哪一层？
# 6. 第 11 节：深度保持 2，把宽度改为 3，再改为 2。决策边界做不到什么了？
#
# 然后做练习（`chapter_02_nn_basics_mlp/exercises/exercises.py`，用 `python -m course check 2` 检查）：为*任意*分段线性函数搭出折页网络，以及同等规模的浅层网络都无法做到的深层锯齿。
