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
# # Chapter 3 walkthrough: from one step downhill to a training run you can trust
# # 第 3 章导览：从下山的一步，到一次靠得住的训练
#
# We start with two numbers in a valley and end with a training run that is killed and resumed to the same
# bits. On the way: momentum, Adam by hand, finding and scheduling a learning rate, batch normalisation by hand,
# and a network that memorises wrong labels. Every cell runs in seconds on a laptop CPU.
# Before each one, **guess what you will see**.
#
# 我们从山谷里的两个数出发，最后完成一次中途被杀掉、恢复后逐位相同的训练。途中依次经过：动量、手算 Adam、寻找并调度学习率、手写批归一化，以及一个把错误标签背下来的网络。每个单元格在笔记本电脑的 CPU 上只需几秒。运行之前，请先**猜一猜会看到什么**。

# %%
# %matplotlib inline
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from chapter_03_optimization_regularization import normalization, optimizers, schedulers
from chapter_03_optimization_regularization.experiments.tasks import (
    accuracy,
    load_task,
    small_cnn,
    small_mlp,
)
from chapter_03_optimization_regularization.regularization import EMA
from chapter_03_optimization_regularization.training import (
    Batches,
    classification_loss,
    evaluate,
    fit,
)
from utils import plotting
from utils.model_summary import parameter_count
from utils.seed import seed_everything

torch.set_num_threads(1)  # these networks are too small to share out
seed_everything(0)

# %% [markdown]
# ## 1. A valley / 山谷
#
# $f(x, y) = (x^2 + 50 y^2) / 2$: gentle along $x$, steep along $y$. The second derivatives are 1 and 50, so the
# *condition number* is $\kappa = 50$. One learning rate has to serve both directions. The steep one forbids more than
# $2/50$; with that the gentle one crawls. **Guess**: how many steps until $f < 10^{-6}$, without and with momentum?
#
# $f(x, y) = (x^2 + 50 y^2) / 2$：沿 $x$ 方向平缓，沿 $y$ 方向陡峭。二阶导数是 1 和 50，所以*条件数* $\kappa = 50$。同一个学习率要兼顾两个方向：陡的方向不允许超过 $2/50$，而这样平缓的方向就只能爬行。**猜一猜**：要使 $f < 10^{-6}$，不用动量和用动量各需多少步？


# %%
CURVATURE = torch.tensor([1.0, 50.0], dtype=torch.float64)


def valley(w):
    return (CURVATURE * w**2).sum(dim=-1) / 2  # (*, 2) -> (*)


def descend(make_optimizer, steps=300, scale=1.0):
    """The points visited from (-4, 1) on, (steps + 1, 2); the loss is multiplied by `scale`."""
    w = torch.tensor([-4.0, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = make_optimizer([w])
    points = [w.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        (scale * valley(w)).backward()
        optimizer.step()
        points.append(w.detach().clone())
    return torch.stack(points)


def steps_needed(points, goal=1e-6):
    return int((valley(points) > goal).nonzero().max()) + 1


kappa = CURVATURE[1].item()
root = math.sqrt(kappa)
best_rate, best_momentum = 4 / (1 + root) ** 2, ((root - 1) / (root + 1)) ** 2
runs = {
    f"gradient descent, lr {2 / (1 + kappa):.3f}": lambda p: optimizers.SGD(p, lr=2 / (1 + kappa)),
    f"heavy ball, momentum {best_momentum:.2f}": lambda p: optimizers.SGD(
        p, lr=best_rate, momentum=best_momentum
    ),
}
figure, axes = plotting.subplots(1, 2, width=10, height=3.2, sharey=True)
xs, ys = np.linspace(-4.6, 2.6, 141), np.linspace(-2.8, 2.8, 121)
grid = torch.tensor(np.stack(np.meshgrid(xs, ys), axis=-1))  # (121, 141, 2)
for ax, (name, make) in zip(axes, runs.items(), strict=True):
    points = descend(make)
    ax.contour(
        xs, ys, valley(grid), levels=np.geomspace(0.1, 200, 10), colors="gray", linewidths=0.5
    )
    ax.plot(*points[:41].T, ".-", linewidth=1, markersize=4)
    ax.plot(0, 0, "*", color=plotting.COLORS[1], markersize=10)
    ax.set_title(f"{name}\n{steps_needed(points)} steps to f < 1e-6 (40 drawn)")
    ax.set_xlabel("x")
axes[0].set_ylabel("y")
figure

# %% [markdown]
# Each step multiplies $x$ by $1 - \eta$ and $y$ by $1 - 50\eta$. At the best rate both factors have the size
# $(\kappa - 1)/(\kappa + 1) = 0.961$: the ball crosses the valley at each step and creeps along it. Momentum adds up the
# pushes along the valley, which always point the same way; those across it alternate and partly cancel. At its best values
# the heavy ball swings wider at first, but in the long run both directions shrink by
# $(\sqrt{\kappa} - 1)/(\sqrt{\kappa} + 1) = 0.752$ a step. The condition number has become its square root.
#
# 每一步把 $x$ 乘以 $1 - \eta$，把 $y$ 乘以 $1 - 50\eta$。在最佳学习率下两个因子的大小都是 $(\kappa - 1)/(\kappa + 1) = 0.961$：小球每步都横穿山谷，沿谷底却只能慢慢爬。动量把沿谷底方向的推力累加起来，因为它们始终同向；横穿山谷的推力正负交替，部分相互抵消。取最佳参数时，重球起初摆得更宽，但长远来看两个方向每步都缩小为 $(\sqrt{\kappa} - 1)/(\sqrt{\kappa} + 1) = 0.752$ 倍。条件数变成了它的平方根。
#
# ## 2. One per cent too fast / 快了百分之一
#
# The limit $2/50 = 0.04$ is sharp. With momentum $\beta$ it moves to $2(1 + \beta)/50$ (exercise `stable_learning_rate`).
#
# 界限 $2/50 = 0.04$ 毫不含糊。有动量 $\beta$ 时它变为 $2(1 + \beta)/50$（练习 `stable_learning_rate`）。

# %%
for momentum in (0.0, 0.9):
    limit = 2 * (1 + momentum) / 50
    for share in (0.99, 1.01):
        options = {"lr": share * limit, "momentum": momentum}
        path = descend(lambda p, options=options: optimizers.SGD(p, **options), steps=2000)
        print(
            f"momentum {momentum}, {share:.0%} of the limit {limit:.3f}: "
            f"f after 2000 steps {valley(path[-1]):.0e}"
        )

# %% [markdown]
# ## 3. Adam by hand / 手算 Adam
#
# Adam keeps a running mean $m$ of the gradient and $v$ of its square. Both start at 0 and are too small at first, by
# known factors, so they are corrected. Two steps on a single weight, with gradients 4 and then $-1$, learning rate 0.1:
#
# $m \leftarrow 0.9 m + 0.1 g, \quad v \leftarrow 0.999 v + 0.001 g^2, \quad \hat m = m/(1 - 0.9^t), \quad \hat v = v/(1 - 0.999^t), \quad w \leftarrow w - 0.1\, \hat m/(\sqrt{\hat v} + 10^{-8})$
#
# Adam 维护梯度的滑动平均 $m$ 和梯度平方的滑动平均 $v$。两者都从 0 开始，起初偏小，但偏小的倍数是已知的，于是加以校正。下面对单个权重走两步，梯度先是 4，再是 $-1$，学习率 0.1，公式同上。

# %%
parameter = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
optimizer = optimizers.Adam([parameter], lr=0.1)
w, m, v = 1.0, 0.0, 0.0
for t, g in [(1, 4.0), (2, -1.0)]:
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
    w -= 0.1 * m_hat / (math.sqrt(v_hat) + 1e-8)
    parameter.grad = torch.tensor([g], dtype=torch.float64)
    optimizer.step()
    print(f"step {t}: m {m:.3f}, v {v:.6f}, corrected {m_hat:.4f} and {v_hat:.4f}")
    print(f"        w by hand {w:.6f}, by optimizers.Adam {parameter.item():.6f}")

# %% [markdown]
# The first step has the length of the learning rate, 0.1, although the gradient was 4: $\hat m/\sqrt{\hat v} = \pm 1$. So
# Adam does not care about the scale of the loss. **Guess** what happens to both methods in the valley if the loss is
# multiplied by 1000.
#
# 第一步的长度正好等于学习率 0.1，尽管梯度是 4：$\hat m/\sqrt{\hat v} = \pm 1$。因此 Adam 不在乎损失的尺度。**猜一猜**：把损失乘以 1000，两种方法在山谷中各会怎样？

# %%
for name, make in {
    "SGD": lambda p: optimizers.SGD(p, lr=0.03),
    "Adam": lambda p: optimizers.Adam(p, lr=0.1),
}.items():
    plain, scaled = descend(make, steps=100), descend(make, steps=100, scale=1000.0)
    ends = [f"{valley(path[-1]):.0e}" for path in (plain, scaled)]
    gap = (plain - scaled).abs().max()
    print(
        f"{name:4} f after 100 steps: {ends[0]}, with 1000 f: {ends[1]}; paths differ by {gap:.0e}"
    )

# %% [markdown]
# ## 4. Which learning rate? / 学习率取多少？
#
# Real networks do not tell us their curvature. The *range test* lets the rate grow at each step and watches the loss:
# nothing happens, then it falls, then it explodes. A good rate lies on the slope, well before the minimum of the curve.
# The task from here on: 8x8 handwritten digits, 1,197 for training.
#
# 真实网络不会告诉我们它的曲率。*学习率范围测试*让学习率逐步增大并观察损失：先是毫无动静，然后下降，最后爆炸。好的学习率在下坡段上，离曲线的最低点还有一段距离。从这里开始的任务：8x8 手写数字，训练集 1,197 张。

# %%
from chapter_03_optimization_regularization.lr_finder import range_test

task = load_task("digits")
loss_fn = classification_loss()


def digits(part="train", batch_size=32, **options):
    return Batches(*getattr(task, part), batch_size=batch_size, **options)


seed_everything(0)
model = small_cnn(norm="none")
test = range_test(
    model, loss_fn, optimizers.Adam(model.parameters()), digits(shuffle=True), highest=1.0
)
figure, ax = plotting.subplots(width=6.4, height=3.6)
ax.semilogx(test.rates, test.losses, color="lightgray", label="each step")
ax.semilogx(test.rates, test.smoothed, label="smoothed")
ax.axvline(test.steepest, color=plotting.COLORS[2], label=f"steepest: {test.steepest:.1e}")
ax.axvline(
    test.tenth_of_minimum,
    color=plotting.COLORS[1],
    linestyle="--",
    label=f"a tenth of the minimum's: {test.tenth_of_minimum:.1e}",
)
ax.set_xlabel("learning rate")
ax.set_ylabel("training loss (nats)")
ax.set_title("Range test: small CNN, Adam, digits")
ax.legend(fontsize=8)
figure

# %% [markdown]
# ## 5. A rate that changes / 会变的学习率
#
# Large steps cover ground, small steps settle: so the rate should fall. And it should not start high, when the
# gradients of fresh weights are large and Adam's averages have seen almost nothing: so it warms up. Here are four answers
# over 200 updates.
#
# 大步用来赶路，小步用来落定，所以学习率应当下降。它也不该一开始就高：那时新权重的梯度很大，Adam 的平均值几乎还没见过数据，所以要预热。下面是 200 次更新上的四种方案。

# %%
CHOICES = {
    "step": lambda o: schedulers.StepLR(o, step_size=60, gamma=0.3),
    "warm-up + cosine": lambda o: schedulers.CosineWithWarmup(o, warmup_steps=20, total_steps=200),
    "one cycle": lambda o: schedulers.OneCycleLR(o, max_lr=0.01, total_steps=200),
    "warm-up, stable, decay": lambda o: schedulers.WSD(
        o, warmup_steps=20, total_steps=200, decay_steps=50
    ),
}
figure, ax = plotting.subplots(width=8.2, height=3.4)
for name, make in CHOICES.items():
    optimizer = optimizers.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
    scheduler, rates = make(optimizer), []
    for _ in range(200):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    ax.plot(rates, label=name)
ax.set_xlabel("update")
ax.set_ylabel("learning rate")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# ## 6. Batch normalisation by hand / 手写批归一化
#
# For each feature: subtract the batch's mean, divide by its standard deviation, then let the network choose a new scale
# and shift. In the backward pass mean and variance depend on every row, which adds two terms (exercise `BatchNorm`):
#
# $dx = \frac{1}{\sigma}\left(g - \overline{g} - \hat x\, \overline{g \hat x}\right), \quad g = dy \cdot \text{weight}$, the bars being means over the batch.
#
# 对每个特征：减去批次的均值，除以标准差，再让网络自己选取新的缩放和平移。反向传播时，均值和方差依赖于每一行，因此多出两项（练习 `BatchNorm`），即上式，其中横线表示对批次取平均。

# %%
generator = torch.Generator().manual_seed(0)
x = 3 + 2 * torch.randn(8, 4, generator=generator, dtype=torch.float64)  # (B, D)
grad_y = torch.randn(8, 4, generator=generator, dtype=torch.float64)  # (B, D)

mean, var = x.mean(dim=0), x.var(dim=0, correction=0)  # (B, D) -> (D,)
std = (var + 1e-5).sqrt()
x_hat = (x - mean) / std
dx = (grad_y - grad_y.mean(dim=0) - x_hat * (grad_y * x_hat).mean(dim=0)) / std

leaf = x.clone().requires_grad_()
y = torch.nn.BatchNorm1d(4, dtype=torch.float64)(leaf)  # weight 1, bias 0 at the start
y.backward(grad_y)
print("output equal to torch's:  ", torch.allclose(x_hat, y))
print("gradient equal to torch's:", torch.allclose(dx, leaf.grad))
same = torch.ones_like(x)  # a gradient that is the same in each row only shifts the feature
no_effect = same - same.mean(dim=0) - x_hat * (same * x_hat).mean(dim=0)
print("which batch normalisation undoes:", torch.allclose(no_effect, torch.zeros_like(x)))

# %% [markdown]
# In training the answer for one example depends on its *neighbours in the batch*. In evaluation it must not, so running
# statistics take their place. **Guess** what happens when they have seen too few batches.
#
# 训练时，一个样本的输出取决于*同批的邻居*；评估时不能这样，于是由滑动统计量代替。**猜一猜**：如果滑动统计量见过的批次太少，会发生什么？

# %%
layer = normalization.BatchNorm1d(4).double()
one = x[:1]
with torch.no_grad():
    first, second = layer(x[:4])[0], layer(torch.cat([one, x[4:7]]))[0]
    print(
        "row 0 with two different sets of neighbours:",
        first.numpy().round(2),
        second.numpy().round(2),
    )
    for batches in (2, 10, 100):
        layer.reset_running_stats()
        layer.train()
        for _ in range(batches):
            layer(3 + 2 * torch.randn(32, 4, generator=generator, dtype=torch.float64))
        layer.eval()
        fresh = 3 + 2 * torch.randn(10_000, 4, generator=generator, dtype=torch.float64)
        out = layer(fresh)
        print(
            f"after {batches:3} batches, in evaluation: mean {out.mean():5.2f}, deviation {out.std():.2f}"
        )

# %% [markdown]
# With momentum 0.1 the running mean keeps a share of $0.9^n$ of its start 0. After 2 batches it has hardly moved, and the
# network behind sees numbers that it never saw in training. A forgotten `model.eval()` is the same fault the other
# way round.
#
# 动量为 0.1 时，滑动均值在 $n$ 个批次之后仍保留初值 0 的 $0.9^n$。两个批次之后它几乎没有动，后面的网络看到的是训练中从未见过的数。忘记 `model.eval()` 则是同一个毛病的反面。
#
# ## 7. Overfitting, and one remedy / 过拟合与一种对策
#
# 200 digits, a fifth of their labels replaced by random ones, and a network with 26,122 parameters. It *can* learn all of them
# by heart. **Guess** its accuracy on the training labels and on clean validation digits, at the end and at its best.
# Then the same with weight decay.
#
# 200 张数字，其中五分之一的标签换成随机标签，网络有 26,122 个参数。它*有能力*把它们全部背下来。**猜一猜**它在训练标签上和在干净的验证集上的准确率：训练结束时各是多少，最好时又是多少？然后加上权重衰减再看一次。


# %%
def noisy_digits(count=200, share=0.2):
    """The first training digits, with `share` of the labels drawn anew."""
    x, y = (part[:count].clone() for part in task.train)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(count, generator=generator) < share
    y[drawn] = torch.randint(0, 10, (int(drawn.sum()),), generator=generator)
    return x, y


histories = {}
for decay in (0.0, 3.0):
    seed_everything(0)
    model = small_mlp()
    history = fit(
        model,
        loss_fn,
        optimizers.AdamW(model.parameters(), lr=3e-3, weight_decay=decay),
        Batches(*noisy_digits(), batch_size=50, shuffle=True),
        epochs=80,
        val=digits("val", batch_size=250),
    )
    histories[decay] = history
    last, best = history.epochs[-1], history.best
    print(
        f"weight decay {decay}: training {last['train_accuracy']:.1%}, validation "
        f"{last['val_accuracy']:.1%} (after epoch {best['epoch']}, the least loss: "
        f"{best['val_accuracy']:.1%})"
    )
print(f"{parameter_count(model):,} parameters; guessing: 10.0%")

figure, axes = plotting.subplots(1, 2, width=9.6, height=3.4)
for (decay, history), color in zip(histories.items(), plotting.COLORS, strict=False):
    for ax, name, scale in ((axes[0], "loss", 1), (axes[1], "accuracy", 100)):
        for part, style in (("train", ":"), ("val", "-")):
            values = [scale * row[f"{part}_{name}"] for row in history.epochs]
            label = f"{part}, weight decay {decay:g}"
            ax.plot(range(1, 81), values, style, color=color, label=label)
        ax.set_xlabel("epoch")
axes[0].set_ylabel("cross-entropy (nats)")
axes[1].set_ylabel("accuracy (%)")
axes[1].legend(fontsize=8, loc="lower right")
figure

# %% [markdown]
# The training curve says "better and better"; the validation loss turns around after some ten epochs. From there on the network
# learns the wrong labels. Weight decay keeps the weights small and the damage too. Stopping at the minimum of the validation loss
# does even more here, for nothing: `fit(..., early_stopping=EarlyStopping(patience=10), restore_best=True)`.
# `exp_regularization.py` compares seven remedies, all of them at once and an ensemble, over five seeds.
#
# 训练曲线说“越来越好”，验证损失却在十轮左右之后掉头向上：从那里起，网络学的是错误标签。权重衰减让权重保持很小，损害也随之变小。在验证损失的最低点停下来，在这里效果更好，而且不花代价：`fit(..., early_stopping=EarlyStopping(patience=10), restore_best=True)`。`exp_regularization.py` 用五个随机种子比较七种对策、全部合用以及集成。
#
# ## 8. The loop / 训练循环
#
# All training is five lines. `fit` is these five lines with what a long run needs around them; without options it takes
# exactly the same steps.
#
# 训练的全部就是五行。`fit` 就是这五行，外加长时间训练所需的一切；不加任何选项时，它走的步子与这五行完全相同。


# %%
def start(seed=0):
    """A fresh network, its optimiser and the data: always the same for the same seed."""
    seed_everything(seed)
    model = small_cnn(width=8)
    optimizer = optimizers.AdamW(model.parameters(), lr=0.01)
    return model, optimizer, digits(batch_size=64, shuffle=True, seed=seed)


def equal(a, b):
    """Equal to the last bit, weights and running statistics."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


by_hand, optimizer, batches = start()
for epoch in range(2):
    by_hand.train()
    for x, y in batches.epoch(epoch):
        loss = F.cross_entropy(by_hand(x), y)  # forward, loss
        loss.backward()  # backward
        optimizer.step()  # step
        optimizer.zero_grad()  # forget the gradients

by_fit, optimizer, batches = start()
fit(by_fit, loss_fn, optimizer, batches, epochs=2)
print("the same weights, to the last bit:", equal(by_hand, by_fit))

# %% [markdown]
# ## 9. Killed and resumed / 被杀掉，再恢复
#
# Now with a schedule, clipping and averaged weights, three epochs of 19 steps. The first run goes through. The second one dies
# in step 31, in the middle of an epoch; its last checkpoint is of step 30. The third starts with *different* fresh
# weights, loads the checkpoint and goes on. **Guess**: how far apart are the first and the third at the end?
#
# 现在加上学习率调度、梯度裁剪和权重平均，训练三轮，每轮 19 步。第一次运行顺利走完。第二次在第 31 步（一轮的中途）死掉，最后的检查点是第 30 步。第三次从*不同的*初始权重出发，载入检查点继续。**猜一猜**：第一次与第三次的最终结果相差多少？


# %%
def train(folder=None, seed=0, fail_at=None, resume=False):
    model, optimizer, _ = start(seed)
    ema, calls = EMA(model, decay=0.95), iter(range(1, 10_000))

    def loss_or_failure(model, batch):
        if model.training and next(calls) == fail_at:
            raise RuntimeError("the power is gone")
        return loss_fn(model, batch)

    fit(
        model,
        loss_or_failure,
        optimizer,
        digits(batch_size=64, shuffle=True),
        epochs=3,
        val=digits("val", batch_size=250),
        scheduler=schedulers.CosineWithWarmup(optimizer, warmup_steps=5, total_steps=57),
        clip_norm=1.0,
        ema=ema,
        folder=folder,
        save_every=10,
        resume=resume,
    )
    return model, ema


through, through_ema = train()
with tempfile.TemporaryDirectory() as folder:
    try:
        train(folder, fail_at=31)
    except RuntimeError as error:
        print(f"the second run: {error}; it leaves", sorted(p.name for p in Path(folder).iterdir()))
    resumed, resumed_ema = train(folder, seed=1, resume=True)

if not equal(through, resumed):
    raise AssertionError("the resumed run must end with the same weights")
print("uninterrupted and resumed, equal to the last bit:", equal(through, resumed))
with through_ema.applied_to(through), resumed_ema.applied_to(resumed):
    print("the averaged weights too:", equal(through, resumed))
    averaged = evaluate(resumed, loss_fn, digits("test", batch_size=350))
print(f"test accuracy: last weights {accuracy(resumed, task.test):.1%}, ", end="")
print(f"averaged {averaged['accuracy']:.1%} (guessing: 10.0%)")

# %% [markdown]
# What a checkpoint must hold for that: weights and buffers, the optimiser's and the schedule's state, the average, the random
# generators, and where in the data the run stood. The order of the data is a function of (seed, epoch), so
# "epoch 2, batch 11" is all there is to remember. The tests do the same with a real SIGKILL.
#
# 要做到这一点，检查点必须包含：权重与缓冲区、优化器与调度器的状态、权重平均、随机数发生器，以及数据读到了哪里。数据的次序是（种子，轮次）的函数，所以只要记住“第 2 轮，第 11 批”。测试用真正的 SIGKILL 做同样的事。
#
# ## 10. Your turn / 轮到你了
#
# Predict first, then change a cell and run it.
#
# 1. Section 1: set the curvature 50 to 5000 (and `steps=50_000`). By which factor does each step count grow?
# 2. Section 1: Nesterov instead of the heavy ball (`nesterov=True`, same values). Faster or slower on a quadratic?
# 3. Section 3: find gradients for which one of Adam's steps is longer than the learning rate (after many zeros ...).
#    With `betas=(0.9, 0.9)` there are none: why?
# 4. Section 4: use SGD (`momentum=0.9`, `highest=10.0`). The two vertical lines are now a factor of ten apart. Which
#    one do you trust, and how could you check it?
# 5. Section 7: replace weight decay by `small_mlp(dropout=0.5)`, then by `classification_loss(0.2)`.
# 6. Section 9: remove `ema` from the resumed run only, or change its `total_steps` or its learning rate. Which rule is
#    named, and what would have gone wrong without that check?
#
# Then do the exercises (`chapter_03_optimization_regularization/exercises/exercises.py`, checked by
# `python -m course check 3`).
#
# 先预测，再修改单元格运行。
#
# 1. 第 1 节：把曲率 50 改为 5000（并取 `steps=50_000`）。两种方法的步数各增大多少倍？
# 2. 第 1 节：把重球法换成 Nesterov（`nesterov=True`，其余不变）。在二次函数上更快还是更慢？
# 3. 第 3 节：找一列梯度，使 Adam 的某一步比学习率还长（例如在许多个 0 之后……）。若取 `betas=(0.9, 0.9)`，则不存在这样的梯度：为什么？
# 4. 第 4 节：改用 SGD（`momentum=0.9`，`highest=10.0`）。两条竖线现在相差约十倍。你相信哪一条？怎样检验？
# 5. 第 7 节：把权重衰减换成 `small_mlp(dropout=0.5)`，再换成 `classification_loss(0.2)`。
# 6. 第 9 节：只在恢复的那次运行中去掉 `ema`，或改变它的 `total_steps` 或学习率。程序指出了哪一条规则？如果不作这项检查，会出什么问题？
#
# 然后做练习（`chapter_03_optimization_regularization/exercises/exercises.py`，用 `python -m course check 3` 检查）。
