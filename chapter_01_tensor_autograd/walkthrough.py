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
# # Chapter 1 walkthrough: from one product to a trained network
# # 第 1 章导览：从一次乘法到一个训练好的网络
#
# We follow a single idea, *remember how each number was computed, then apply the chain rule
# backwards*, from a graph of six numbers to a network that reads handwriting. Every cell runs in
# seconds on a laptop CPU. Run them in order, and before each one **guess what it will print**: the
# places where you are wrong are the ones worth a second look.
#
# 本导览只讲一个想法：*记住每个数是怎样算出来的，再沿计算过程倒着使用链式法则*。我们从只有六个数的计算图出发，一直走到能识别手写数字的网络。每个单元格在笔记本电脑的 CPU 上只需几秒。请按顺序运行，并在运行之前**先猜一猜输出**：猜错的地方，正是值得回头细看的地方。

# %%
# %matplotlib inline
from pathlib import Path

import numpy as np
import torch

import chapter_01_tensor_autograd as chapter
from chapter_01_tensor_autograd.graph import topological_order
from chapter_01_tensor_autograd.tensor import Tensor, grad, no_grad
from chapter_01_tensor_autograd.value import Value
from utils import datasets, plotting

CHAPTER = Path(chapter.__file__).parent
np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## 1. A graph of numbers / 由数构成的计算图
#
# `Value` wraps one number. Each operation makes a new `Value` that knows its parents and the *local
# derivative* to each of them. In $L = (ab + c)\,a$ the number $a$ is used twice. By hand,
# $\partial L/\partial a = 2ab + c$, $\partial L/\partial b = a^2$, $\partial L/\partial c = a$.
#
# `Value` 把一个数包装起来。每次运算都会产生一个新的 `Value`，它记得自己的父节点，以及对每个父节点的*局部导数*。在 $L = (ab + c)\,a$ 中，$a$ 用了两次。手算可得 $\partial L/\partial a = 2ab + c$，$\partial L/\partial b = a^2$，$\partial L/\partial c = a$。

# %%
a, b, c = Value(2.0), Value(-3.0), Value(10.0)
product = a * b
total = product + c
loss = total * a
loss.backward()

for name, value in {"a": a, "b": b, "c": c, "ab": product, "ab + c": total, "L": loss}.items():
    print(f"{name:7} = {value.data:5.1f}    dL/d({name}) = {value.grad:5.1f}")
print("by hand: ", 2 * a.data * b.data + c.data, a.data**2, a.data)

# %% [markdown]
# How did it get there? `backward()` sorts the graph so that every node comes after its parents, and
# walks that list from its end. Each edge contributes one product, *gradient of the child times local
# derivative*, and a node's contributions add up. Below, $a$ collects $4$ from the last product and
# $-6$ from the first.
#
# 它是怎样得到结果的？`backward()` 先做拓扑排序，使每个节点都排在父节点之后，再从末尾倒着走一遍。每条边贡献一个乘积：*子节点的梯度乘以局部导数*；同一节点收到的各项贡献相加。下面可以看到，$a$ 从最后一次乘法得到 $4$，从第一次乘法得到 $-6$。

# %%
names = {a: "a", b: "b", c: "c", product: "ab", total: "ab + c", loss: "L"}
for child in (loss, total, product):  # the reversed topological order
    for parent, slope in zip(child.parents, child.slopes, strict=True):
        contribution = child.grad * slope
        print(
            f"{names[child]:7} -> {names[parent]:7} "
            f"gradient {child.grad:5.1f} x local derivative {slope:5.1f} = {contribution:5.1f}"
        )

# %% [markdown]
# The sum is a rule, not a detail: with `=` in place of `+=` every network that uses a weight twice
# (recurrent nets, convolutions, tied embeddings) would train on wrong gradients. It is also why
# gradients *accumulate* over calls, and why training loops clear them.
#
# “相加”是法则而不是细节：如果把 `+=` 写成 `=`，凡是重复使用同一权重的网络（循环网络、卷积、共享词嵌入）得到的梯度都是错的。这也正是多次调用会使梯度*累积*、训练循环必须把梯度清零的原因。

# %%
a = Value(3.0)
for call in (1, 2, 3):
    (a * a).backward()
    print(f"after call {call}: a.grad = {a.grad}")
a.grad = 0.0
(a * a).backward()
print("cleared first:", a.grad)

# %% [markdown]
# ## 2. From numbers to arrays / 从数到数组
#
# One Python object per number is slow: a single 64-128-10 network on one image already needs
# tens of thousands of nodes. `Tensor` keeps the idea and lets each node be a whole array, so the same
# network for a *batch* of 128 images is a graph of seven nodes.
#
# 一个数就是一个 Python 对象，速度很慢：64-128-10 的网络只看一张图就需要几万个节点。`Tensor` 保留同样的想法，但让每个节点是一整个数组；于是同一个网络处理 128 张图的*一个批次*，计算图也只有七个节点。

# %%
from chapter_01_tensor_autograd.value import MLP as ScalarMLP


def count_values(results):
    seen, stack = set(), list(results)
    while stack:
        value = stack.pop()
        if value not in seen:
            seen.add(value)
            stack.extend(value.parents)
    return len(seen)


print("Value, one image:    ", count_values(ScalarMLP([64, 128, 10])([0.5] * 64)), "nodes")

rng = np.random.default_rng(0)
x = Tensor(rng.normal(size=(128, 64)))
w1 = Tensor(rng.normal(size=(64, 128)), requires_grad=True)
b1 = Tensor(np.zeros(128), requires_grad=True)
w2 = Tensor(rng.normal(size=(128, 10)), requires_grad=True)
logits = (x @ w1 + b1).relu() @ w2
order = topological_order([logits])
print("Tensor, 128 images:  ", len(order), "nodes that need a gradient")
for node in order:
    print(f"    {node.op or 'input':9} {node.shape}")

# %% [markdown]
# ## 3. What travels backwards: a VJP / 反向传递的是什么：VJP
#
# For arrays the local derivative is a matrix, the Jacobian $J$. It is never built: the layer above,
# $(128, 64) \to (128, 128)$, would have a Jacobian with $8192 \times 16384$ entries, a gigabyte. What
# travels is a row vector $v^T$ (the gradient so far), and each operation only has to know the
# product $v^T J$: the **vector-Jacobian product**. For softmax, $J = \mathrm{diag}(y) - y y^T$. Asking
# our engine for $v^T J$ with $v$ = each unit vector in turn must give exactly the rows of this matrix.
#
# 对数组而言，局部导数是一个矩阵，即雅可比矩阵 $J$。但它从不被真正构造出来：上面那一层 $(128, 64) \to (128, 128)$ 的雅可比矩阵有 $8192 \times 16384$ 个元素，约 1 GB。反向传递的是一个行向量 $v^T$（到目前为止的梯度），每种运算只需会算乘积 $v^T J$，即**向量-雅可比积（VJP）**。对 softmax 有 $J = \mathrm{diag}(y) - y y^T$。依次取 $v$ 为各个单位向量，引擎给出的 $v^T J$ 应当正好是这个矩阵的各行。

# %%
x = Tensor(np.array([1.0, 2.0, 0.5]), requires_grad=True)
y = x.softmax()
rows = [grad(y, x, grad_outputs=unit, retain_graph=True)[0].data for unit in np.eye(3)]
print("rows from three VJPs:\n", np.stack(rows))
print("diag(y) - y y^T:\n", np.diag(y.data) - np.outer(y.data, y.data))

# %% [markdown]
# Three VJPs for three outputs. **Forward mode** goes the other way: it carries a *tangent* along with
# each value and yields $J v$, a column of $J$ for each input. Both modes give the same matrix; they differ
# in the number of passes. A loss has *one* output, so one backward pass gives its gradient with respect to
# a million weights, and forward mode would need a million: this is why deep learning uses reverse mode.
#
# 三个输出需要三次 VJP。**前向模式**方向相反：每个值都带着一个*切向量*一起向前算，得到 $J v$，即每个输入对应 $J$ 的一列。两种模式给出同一个矩阵，差别在于要走几趟。损失*只有一个*输出，所以一次反向传播就能得到它对上百万个权重的梯度，而前向模式需要上百万趟：这就是深度学习采用反向模式的原因。

# %%
from chapter_01_tensor_autograd import jvp

matrix = rng.normal(size=(5, 2))


def small_network(x):  # (5,) -> (2,); runs on tensors and on dual numbers
    return (x @ matrix).tanh()


point = rng.normal(size=5)
reverse = jvp.jacobian_reverse(small_network, point)  # 2 passes, a row each
forward = jvp.jacobian_forward(small_network, point)  # 5 passes, a column each
np.testing.assert_allclose(reverse, forward)
print(
    "Jacobian of R^5 -> R^2, the same from 2 reverse passes and from 5 forward passes:\n", reverse
)

# %% [markdown]
# ## 4. Broadcasting, backwards / 广播的反向计算
#
# In `x @ w + b` the bias $b$ of shape `(3,)` is added to every row. Used in 4 rows, it receives the
# sum of 4 gradients. The rule for every operation: *sum over the axes that broadcasting added or
# stretched*, so that the gradient has the shape of its tensor again.
#
# 在 `x @ w + b` 中，形状为 `(3,)` 的偏置 $b$ 被加到每一行。它在 4 行中各用一次，于是收到 4 个梯度之和。对所有运算都成立的规则是：*沿着广播所添加或拉伸的轴求和*，使梯度恢复为该张量自己的形状。

# %%
bias = Tensor(np.zeros(3), requires_grad=True)
column = Tensor(np.ones((4, 1)), requires_grad=True)
weights = np.arange(12.0).reshape(4, 3)  # stands for the gradient that arrives from above
((bias * 1.0 + column) * weights).sum().backward()
print("arrives from above, (4, 3):\n", weights)
print("bias.grad   (3,)  :", bias.grad.data, " sums over rows")
print("column.grad (4, 1):", column.grad.data.ravel(), " sums over columns")

# %% [markdown]
# ## 5. The same in PyTorch / 与 PyTorch 对照
#
# A from-scratch engine is worth something only if it is *equal* to the real one. Here is a small
# expression with broadcasting, a matrix product, a repeated index and a reduction, in both.
#
# 自己写的引擎只有与真正的框架*结果相等*才有意义。下面的小表达式同时包含广播、矩阵乘法、重复下标和归约，我们用两种引擎各算一次。


# %%
def expression(x, w, exp):
    h = x @ w + x.sum()  # (5, 4) @ (4, 3) + () -> (5, 3)
    h = h[[0, 0, 2]]  # row 0 twice: its two gradients add up
    return (exp(h * 0.1) / (1.0 + h * h)).mean()


x0, w0 = rng.normal(size=(5, 4)), rng.normal(size=(4, 3))
ours = [Tensor(x0, requires_grad=True), Tensor(w0, requires_grad=True)]
expression(*ours, exp=lambda t: t.exp()).backward()
theirs = [torch.tensor(x0, requires_grad=True), torch.tensor(w0, requires_grad=True)]
expression(*theirs, exp=torch.exp).backward()
for name, mine, torchs in zip("xw", ours, theirs, strict=True):
    np.testing.assert_allclose(mine.grad.data, torchs.grad.numpy(), rtol=1e-12)
    print(f"dL/d{name}: equal to 12 digits")
print("dL/dx; rows 1, 3 and 4 were never picked and count in x.sum() only:\n", ours[0].grad.data)

# %% [markdown]
# ## 6. Gradients of gradients / 梯度的梯度
#
# Our VJPs are themselves written with `Tensor` operations. So with `create_graph=True` the backward
# pass records a graph too, and can be differentiated again. Here are tanh and three derivatives.
#
# 我们的 VJP 本身就是用 `Tensor` 运算写成的。因此加上 `create_graph=True` 后，反向传播也会留下计算图，可以再次求导。下面画出 tanh 及其前三阶导数。

# %%
x = Tensor(np.linspace(-4, 4, 301), requires_grad=True)
curves = [x.tanh()]
for _ in range(3):
    (derivative,) = grad(curves[-1].sum(), x, create_graph=True)  # sum: each y_i has its own x_i
    curves.append(derivative)

figure, ax = plotting.subplots(width=6.4, height=3.6)
for n, curve in enumerate(curves):
    ax.plot(x.data, curve.data, label=["tanh", "1st derivative", "2nd", "3rd"][n])
ax.set_xlabel("x")
ax.set_ylabel("value")
ax.set_title("tanh and its derivatives, all by our engine")
ax.legend()
figure

# %% [markdown]
# ## 7. Who checks the checker? / 谁来检验梯度
#
# A gradient can be checked without any calculus: $f'(x) \approx (f(x+h) - f(x-h)) / 2h$. But which
# $h$? **Guess before you run**: is smaller always better?
#
# 检验梯度可以完全不用微积分：$f'(x) \approx (f(x+h) - f(x-h)) / 2h$。但 $h$ 取多大？**运行之前先猜**：是不是越小越好？

# %%
steps = np.logspace(-15, 0, 61)
point, slope = 1.0, np.cos(1.0)
one_sided = (np.sin(point + steps) - np.sin(point)) / steps
central = (np.sin(point + steps) - np.sin(point - steps)) / (2 * steps)

figure, ax = plotting.subplots(width=6.4, height=3.8)
ax.loglog(steps, np.abs(one_sided - slope) + 1e-17, label="one-sided")
ax.loglog(steps, np.abs(central - slope) + 1e-17, label="central")
ax.axvline(
    np.finfo(float).eps ** (1 / 3), color="gray", linestyle=":", label=r"$\varepsilon^{1/3}$"
)
ax.set_xlabel("step h")
ax.set_ylabel("error of the derivative of sin at 1")
ax.set_title("Truncation on the right, rounding on the left")
ax.legend()
figure

# %% [markdown]
# On the right the Taylor series is cut off too early: the error falls with $h$ (one-sided) or $h^2$
# (central), as the slopes of the lines show. On the left the two values of $f$ agree in almost all
# their digits, and what is left of their difference is rounding: the error *grows* like
# $\varepsilon / h$. The best central step is near $\varepsilon^{1/3} \approx 6 \cdot 10^{-6}$.
#
# 右半边是泰勒级数截断得太早：误差随 $h$（单侧差分）或 $h^2$（中心差分）下降，这正是两条直线的斜率。左半边则是两个函数值的绝大多数数位都相同，相减之后只剩舍入误差：误差按 $\varepsilon / h$ *增大*。中心差分的最佳步长约为 $\varepsilon^{1/3} \approx 6 \cdot 10^{-6}$。
#
# ## 8. Mistakes that an engine must not swallow / 引擎不应放过的错误
#
# Three classics: backward from something that is not a scalar; using a graph a second time after it
# was freed; and changing a value in place that the backward pass still needs. The last one would give
# a *wrong gradient without any error*, so each tensor carries a version counter.
#
# 三个典型错误：对非标量直接反向传播；计算图释放后再次使用；原地修改反向传播还要用到的值。最后一种若不检查，会*悄无声息地给出错误的梯度*，所以每个张量都带有一个版本计数器。


# %%
def not_a_scalar():
    (Tensor(np.ones(3), requires_grad=True) * 2).backward()


def backward_twice():
    y = (Tensor(np.ones(3), requires_grad=True) ** 2.0).sum()
    y.backward()
    y.backward()


def change_a_saved_value():
    factor = Tensor(np.ones(3))
    y = (Tensor(np.ones(3), requires_grad=True) * factor).sum()
    factor += 1.0  # the gradient of the product is the factor as it *was*
    y.backward()


for mistake in (not_a_scalar, backward_twice, change_a_saved_value):
    try:
        mistake()
    except RuntimeError as error:
        print(f"{mistake.__name__}: {error}\n")

# %% [markdown]
# ## 9. A real task: reading digits / 真实任务：识别手写数字
#
# 1,797 real handwritten digits of 8x8 pixels come with scikit-learn: 1,197 to train on, 250 to make
# choices with, 350 to report on. Everything below runs on our engine; PyTorch takes no part.
#
# scikit-learn 自带 1,797 张 8x8 像素的真实手写数字：1,197 张用于训练，250 张用于做选择，350 张用于最终报告。以下全部在我们自己的引擎上运行，PyTorch 不参与。

# %%
from chapter_01_tensor_autograd import train_digits as digits

data = datasets.load("digits")
x_train, x_val, x_test = (digits.pixels(data, part) for part in (data.train, data.val, data.test))
print("train", x_train.shape, " val", x_val.shape, " test", x_test.shape)

figure, axes = plotting.subplots(2, 10, width=8, height=2.2)
for ax, image, label in zip(axes.flat, data.train.images, data.train.labels, strict=False):
    ax.imshow(image, cmap="gray_r")
    ax.set_title(str(label))
    ax.set_axis_off()
figure

# %% [markdown]
# The whole of training: take a batch, run forward, run backward, make a small step against the
# gradient. Clearing the gradients is the line that the accumulation of section 1 makes necessary.
# **Guess** the first loss: the network knows nothing yet, and there are ten classes.
#
# 训练的全部内容：取一个批次，前向，反向，沿梯度的反方向走一小步。第 1 节中的梯度累积，使“清零”这一行必不可少。**猜一猜**第一个损失值：网络还一无所知，而类别有十个。

# %%
rng = np.random.default_rng(0)
parameters = digits.make_parameters([64, 32, 10], rng)
losses = []
for _ in range(15):
    order = rng.permutation(len(x_train))
    for start in range(0, len(order), 64):
        batch = order[start : start + 64]
        logits = digits.forward(parameters, Tensor(x_train[batch]))  # (64, 64) -> (64, 10)
        loss = digits.cross_entropy(logits, data.train.labels[batch])
        for parameter in parameters:
            parameter.zero_grad()
        loss.backward()
        with no_grad():
            for parameter in parameters:
                parameter -= 0.2 * parameter.grad
        losses.append(loss.item())

score = digits.accuracy(digits.predict(parameters, x_val), data.val.labels)
print(f"first loss {losses[0]:.2f}; if all classes were equally likely: log 10 = {np.log(10):.2f}")
print(f"validation accuracy after 15 epochs: {score:.1%}")

figure, ax = plotting.subplots(width=6.4, height=3.4)
ax.semilogy(losses)
ax.axhline(np.log(10), color="gray", linestyle=":", label="log 10: no knowledge")
ax.set_xlabel("step (64 images each)")
ax.set_ylabel("cross-entropy")
ax.set_title("64-32-10 network on digits, our engine")
ax.legend()
figure

# %% [markdown]
# `train_digits.py` does the same with more care: two hidden layers, Adam, a falling learning rate, and
# the weights of the epoch that was best on the validation split. The cell loads the weights it shipped
# (if there are none, it goes on with the network above) and asks the test split, once.
#
# `train_digits.py` 做的是同样的事，只是更细致：两个隐藏层、Adam、逐渐下降的学习率，并保留在验证集上最好的那一轮的权重。下面载入随课程提供的权重（若没有，就继续用上面的网络），并在测试集上评估一次。

# %%
shipped = CHAPTER / "checkpoints" / "digits_mlp.npz"
if shipped.exists():
    parameters, _ = digits.load_weights(shipped)
log_p = digits.predict(parameters, x_test)
predicted = log_p.argmax(axis=1)
print("layers:", " -> ".join(str(w.shape) for w in parameters[::2]))
print(f"always the most frequent class: {digits.majority_accuracy(data):.1%}")
print(f"nearest class mean:             {digits.nearest_mean_accuracy(data):.1%}")
print(f"our network:                    {digits.accuracy(log_p, data.test.labels):.1%}")

# %% [markdown]
# Accuracy is one number; the mistakes tell more. Here are the test images whose true class got the
# smallest probability. Would you have read them all correctly?
#
# 准确率只是一个数，错误能告诉我们更多。下面是真实类别得到的概率最小的测试图像。换作是你，都能认对吗？

# %%
p_true = np.exp(log_p[np.arange(len(x_test)), data.test.labels])  # (350,)
hardest = np.argsort(p_true)[:8]
figure, axes = plotting.subplots(1, 8, width=9, height=1.9)
for ax, i in zip(axes, hardest, strict=True):
    ax.imshow(data.test.images[i], cmap="gray_r")
    ax.set_title(
        f"{data.test.labels[i]} read as {predicted[i]}\np(true) {p_true[i]:.2f}", fontsize=8
    )
    ax.set_axis_off()
figure

# %% [markdown]
# ## 10. The gradient with respect to the *input* / 对*输入*的梯度
#
# Nothing in the engine knows that weights are special. Ask for the gradient of a logit with respect to
# the 64 pixels, and it says which pixels would raise that class's score if they became darker (blue)
# or lighter (red).
#
# 引擎并不知道权重有什么特别。求某个 logit 对 64 个像素的梯度，就能看出：哪些像素变深会提高该类别的得分（蓝色），哪些像素变浅会提高得分（红色）。

# %%
chosen = [np.flatnonzero(data.test.labels == k)[0] for k in (0, 3, 4, 7)]
figure, axes = plotting.subplots(2, 4, width=7, height=3.8)
for column, i in enumerate(chosen):
    image = Tensor(x_test[i : i + 1], requires_grad=True)  # (1, 64)
    label = data.test.labels[i]
    (slopes,) = grad(digits.forward(parameters, image)[0, label], image)
    slopes = slopes.data.reshape(8, 8)  # (1, 64) -> (8, 8)
    limit = np.abs(slopes).max()
    axes[0, column].imshow(data.test.images[i], cmap="gray_r")
    axes[0, column].set_title(f"a {label}")
    axes[1, column].imshow(slopes, cmap="RdBu", vmin=-limit, vmax=limit)
    axes[1, column].set_title(f"d logit {label} / d pixel", fontsize=8)
for ax in axes.flat:
    ax.set_axis_off()
figure

# %% [markdown]
# The same gradient can be followed: take the image and walk a little way *against* the score of its true
# class. How far must the pixels move before the network reads another digit?
#
# 还可以沿着这个梯度走：从一张图出发，朝着真实类别得分*下降*的方向一点点移动。像素要改变多少，网络才会认成另一个数字？

# %%
i = chosen[1]
label, image = data.test.labels[i], x_test[i : i + 1].copy()
read_as, step = label, 0
while read_as == label and step < 100:
    leaf = Tensor(image, requires_grad=True)
    (slopes,) = grad(digits.forward(parameters, leaf).log_softmax(axis=1)[0, label], leaf)
    image -= 0.05 * np.sign(slopes.data)  # every pixel by the same small amount
    read_as, step = digits.predict(parameters, image).argmax(), step + 1
grey = np.abs(image - x_test[i]).max() * data.std * 16
print(
    f"after {step} steps the {label} is read as a {read_as}; "
    f"no pixel has moved by more than {grey:.1f} of the 16 grey levels"
)

# %% [markdown]
# ## 11. Your turn / 轮到你了
#
# Predict first, then change a cell and run it.
#
# 1. Section 1: what is $\partial L/\partial a$ of $L = a^a$? (Write it as $e^{a \log a}$ with `Value`.)
# 2. Section 3: how many passes does each mode need for $f: \mathbb{R}^{100} \to \mathbb{R}^{2}$?
# 3. Section 4: what is the shape of `column.grad` if `column` has the shape `(1, 1)`, and what is in it?
# 4. Section 7: where does the left branch move in float32? Change the dtype of `point` and `steps`.
# 5. Section 9: remove the `zero_grad` line. Does the loss still fall? For how long?
# 6. Section 9: with all weights 0 at the start, the first loss is exactly log 10. Why does it hardly improve?
#
# Then do the exercises (`chapter_01_tensor_autograd/exercises/exercises.py`, checked by
# `python -m course check 1`): you will write the pieces used here, and a Hessian-vector product.
#
# 先预测，再修改单元格运行。
#
# 1. 第 1 节：$L = a^a$ 的 $\partial L/\partial a$ 是多少？（用 `Value` 写成 $e^{a \log a}$。）
# 2. 第 3 节：对 $f: \mathbb{R}^{100} \to \mathbb{R}^{2}$，两种模式各需要几趟？
# 3. 第 4 节：如果 `column` 的形状是 `(1, 1)`，`column.grad` 的形状和内容是什么？
# 4. 第 7 节：换成 float32，左边那一支会移到哪里？修改 `point` 和 `steps` 的 dtype 试试。
# 5. 第 9 节：删掉 `zero_grad` 那一行，损失还会下降吗？能降多久？
# 6. 第 9 节：如果所有权重都从 0 开始，第一个损失恰好是 log 10。为什么之后几乎没有改善？
#
# 然后做练习（`chapter_01_tensor_autograd/exercises/exercises.py`，用 `python -m course check 1` 检查）：你将亲手写出这里用到的各个部件，以及 Hessian-向量积。
