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
# # Chapter 4 walkthrough: from nine weights on a photo to a network that sees shapes
# # 第 4 章导览：从照片上的九个权重，到一个能辨认形状的网络
#
# We move a 3 x 3 kernel over a photo, turn that into one matrix product, derive its gradient, ask how far a unit
# can see, and train a small network on pictures that the course draws itself. Then we look inside it: at what it
# passes on, what it gets wrong, and what a shift, a mirror or a turn does to it. Every cell runs in seconds on a laptop CPU.
# Before each one, **guess what you will see**.
#
# 我们让一个 3 x 3 的核在照片上滑动，把它变成一次矩阵乘法，推导它的梯度，问一个单元能看多远，再用课程自己绘制的图片训练一个小网络。然后看看它的内部：它把什么传下去、在哪里出错，以及平移、镜像或旋转对它有何影响。每个单元格在笔记本电脑的 CPU 上只需几秒。运行之前，请先**猜一猜会看到什么**。

# %%
# %matplotlib inline
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from chapter_04_cnn_classic import augmentation
from chapter_04_cnn_classic.explain import feature_maps, strongest
from chapter_04_cnn_classic.image_tasks import load_task, standardize, to_pixels
from chapter_04_cnn_classic.model import build_model
from chapter_04_cnn_classic.receptive_field_theory import receptive_fields
from chapter_04_cnn_classic.recipe import Recipe, accuracy, predict, train
from utils import plotting
from utils.datasets import sample_photos
from utils.model_summary import parameter_count
from utils.seed import seed_everything

torch.set_num_threads(1)  # these networks are too small to share out
seed_everything(0)


def show(pictures, titles, columns=None, height=2.6, **options):
    """Pictures (H, W) or (H, W, 3) side by side, each with a title."""
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    figure, axes = plotting.subplots(rows, columns, width=10, height=height * rows)
    for ax in np.ravel(axes):
        ax.axis("off")
    for ax, picture, title in zip(np.ravel(axes), pictures, titles, strict=False):
        ax.imshow(picture, **{"cmap": "gray"} | options)
        ax.set_title(title, fontsize=9)
    return figure


# %% [markdown]
# ## 1. Nine weights / 九个权重
#
# At every place: multiply the 3 x 3 pixels by the kernel's nine weights and add up. Rather than walking over the
# pixels, we walk over the nine weights and add nine shifted copies of the photo. **Guess** what the
# kernel $(1, 2, 1)^\top (-1, 0, 1)$ does with a flat wall, and with a wall's vertical edge.
#
# 在每个位置上：把 3 x 3 个像素与核的九个权重相乘，再求和。我们不逐个像素走，而是逐个权重走，把照片的九个平移副本加起来。**猜一猜**核 $(1, 2, 1)^\top (-1, 0, 1)$ 遇到平坦的墙面会怎样，遇到墙的竖直边缘又会怎样。


# %%
def correlate(picture, kernel):
    """(H, W) and (3, 3) -> (H - 2, W - 2)"""
    height, width = picture.shape[0] - 2, picture.shape[1] - 2
    total = torch.zeros(height, width, dtype=picture.dtype)
    for u in range(3):
        for v in range(3):
            total += kernel[u, v] * picture[u : u + height, v : v + width]
    return total


photo = torch.from_numpy(sample_photos()["china"]).double().mean(dim=2)  # (427, 640), 0..255
photo = F.avg_pool2d(photo[None, None, :400, 120:520], 2)[0, 0]  # (200, 200)
across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=torch.float64)
blur = torch.ones(3, 3, dtype=torch.float64) / 9
edges_x, edges_y = correlate(photo, across), correlate(photo, across.T)
strength = (edges_x**2 + edges_y**2).sqrt()
print("on a flat wall:", correlate(torch.full((3, 3), 200.0, dtype=torch.float64), across).item())
show(
    [photo, correlate(photo, blur), edges_x, edges_y, strength],
    ["photo", "mean of 3 x 3", "Sobel across", "Sobel down", "strength of the edge"],
)

# %% [markdown]
# The weights add up to 0, so a flat area gives 0. Where it gets brighter to the right, the result is large and
# positive (white), where it gets darker, negative (black). A network finds such kernels by itself.
#
# 权重之和为 0，所以平坦区域得 0。向右变亮之处结果是大的正数（白），变暗之处是负数（黑）。网络会自己找到这样的核。
#
# ## 2. One matrix product / 一次矩阵乘法
#
# Four pictures of two channels, three filters. Copy each window into a column (im2col); then all outputs are one product.
# **Guess** the shape of the matrix of columns, and how many times larger it is than the input.
#
# 四张双通道图片，三个滤波器。把每个窗口复制成一列（im2col），所有输出便是一次矩阵乘法。**猜一猜**列矩阵的形状，以及它比输入大多少倍。

# %%
generator = torch.Generator().manual_seed(0)
x = torch.randn(4, 2, 12, 12, generator=generator, dtype=torch.float64)  # (B, C, H, W)
weight = torch.randn(3, 2, 3, 3, generator=generator, dtype=torch.float64)  # (O, C, kh, kw)

columns = torch.stack(
    [x[:, :, u : u + 10, v : v + 10] for u in range(3) for v in range(3)], dim=2
)  # (B, C, 9, 10, 10)
columns = columns.reshape(4, 2 * 9, 10 * 10)  # (B, C kh kw, Ho Wo)
y = (weight.reshape(3, 2 * 9) @ columns).reshape(4, 3, 10, 10)  # (B, O, Ho, Wo)

slow = torch.stack(
    [
        torch.stack([sum(correlate(n[c], w[c]) for c in range(2)) for w in weight]) for n in x
    ]  # one filter and one channel at a time
)
print("columns:", tuple(columns.shape), f"- {columns.numel() / x.numel():.2f} times the input")
print("matrix product equal to section 1:", torch.allclose(y, slow))
print("               equal to F.conv2d: ", torch.allclose(y, F.conv2d(x, weight)))

# %% [markdown]
# Same sums, other order. Each pixel is copied up to nine times: speed is bought with memory.
#
# 和式相同，次序不同。每个像素最多被复制九次：用内存换速度。
#
# ## 3. Backward / 反向
#
# With $Y = W X$ (columns $X$) the gradients are those of a matrix product: $\bar W = \bar Y X^\top$ and $\bar X = W^\top \bar Y$.
# The last one are gradients of *copies*; every pixel collects the gradients of all its copies. That is nine shifted
# additions, the mirror image of section 1.
#
# 由 $Y = W X$（$X$ 为列矩阵），梯度就是矩阵乘法的梯度：$\bar W = \bar Y X^\top$，$\bar X = W^\top \bar Y$。后者是*各副本*的梯度；每个像素把自己所有副本的梯度收集起来。这是九次平移后的相加，恰与第 1 节相反。

# %%
grad_y = torch.randn(4, 3, 10, 10, generator=generator, dtype=torch.float64)  # dL/dy
rows = grad_y.flatten(2)  # (B, O, Ho Wo)
grad_weight = (rows @ columns.mT).sum(dim=0).reshape(3, 2, 3, 3)
grad_columns = (weight.reshape(3, 18).T @ rows).reshape(4, 2, 3, 3, 10, 10)
grad_x = torch.zeros_like(x)
for u in range(3):
    for v in range(3):
        grad_x[:, :, u : u + 10, v : v + 10] += grad_columns[:, :, u, v]

leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
right = torch.autograd.grad(F.conv2d(*leaves), leaves, grad_y)
print("dL/dx equal to autograd's:     ", torch.allclose(grad_x, right[0]))
print("dL/dweight equal to autograd's:", torch.allclose(grad_weight, right[1]))
turned = F.conv2d(grad_y, weight.flip(2, 3).transpose(0, 1), padding=2)
print("dL/dx is a convolution with the kernel turned round:", torch.allclose(grad_x, turned))

# %% [markdown]
# ## 4. Shift, then ask / 先平移，再问
#
# Shift the photo by one pixel and convolve, or convolve and shift: the same. Max pooling with stride 2 keeps only shifts
# by two. **Guess**: by what share of its spread does the pooled picture change, if the photo moves by one pixel?
#
# 先把照片平移一个像素再卷积，或先卷积再平移：结果相同。步幅为 2 的最大池化只保留两个像素的平移。**猜一猜**：照片平移一个像素时，池化结果的变化占其起伏的多大比例？


# %%
def convolved(picture):
    return F.conv2d(F.pad(picture, (1,) * 4, mode="circular"), across[None, None])


def pooled(picture):
    return F.max_pool2d(convolved(picture).relu(), 2)


def change(layer, shift, output_shift):
    """|layer(shifted) - shifted layer|, as a share of the spread of layer(photo)."""
    plain = layer(photo[None, None])
    moved = layer(photo[None, None].roll(shift, dims=3))
    return (moved - plain.roll(output_shift, dims=3)).norm() / (plain - plain.mean()).norm()


print(f"convolution, shift 1: {change(convolved, 1, 1):.1%}")
print(f"pooled, shift 2:      {change(pooled, 2, 1):.1%}")
best = min(change(pooled, 1, 0), change(pooled, 1, 1))
print(f"pooled, shift 1:      {best:.1%} (best of output shifts 0 and 1)")

# %% [markdown]
# Convolution commutes with shifts exactly. Pooling by 2 samples too sparsely and does not: exercise `blur_pool` repairs
# part of it.
#
# 卷积与平移严格可交换。步幅为 2 的池化采样过疏，做不到这一点：练习 `blur_pool` 可以弥补一部分。
#
# ## 5. How far does a unit see? / 一个单元能看多远？
#
# Each layer adds (kernel - 1) times the distance of neighbouring units: $r \leftarrow r + (K - 1) j$, $j \leftarrow S j$. Our
# network `simple_cnn` has three stages of two 3 x 3 convolutions with a pool in between. **Guess** $r$ after each stage:
# do the last units see the whole picture of 32 pixels? And do they *use* all of it?
#
# 每一层使视野增加（核边长 - 1）乘以相邻单元的间距：$r \leftarrow r + (K - 1) j$，$j \leftarrow S j$。我们的网络 `simple_cnn` 有三个阶段，每阶段两个 3 x 3 卷积，阶段之间池化。**猜一猜**各阶段之后的 $r$：最后的单元看得到整张 32 像素的图片吗？它们又*用到*全部了吗？

# %%
seed_everything(0)
WIDTHS = (12, 24, 48)  # narrower than the course's simple_cnn, to train in seconds
model = build_model("simple_cnn", num_classes=3, widths=WIDTHS).eval()
fields = receptive_fields(model)
noise = torch.randn(64, 3, 32, 32).requires_grad_()
heats, titles, h = [], [], noise
for name, layer in model.features.named_children():
    h = layer(h)
    if name.startswith("stage"):
        middle = h.shape[-1] // 2
        (gradient,) = torch.autograd.grad(h[:, :, middle, middle].sum(), noise, retain_graph=True)
        heats.append(gradient.abs().mean(dim=(0, 1)))  # (B, C, H, W) -> (H, W)
        axis = fields[f"features.{name}.conv2"].height
        used = int((heats[-1] > 0).any(dim=0).sum())
        print(f"{name}: r = {axis.size:2} px, units {axis.jump} px apart; gradient over {used} px")
        titles.append(f"{name}: r = {axis.size} px")
show(heats, titles, height=3.2, cmap="viridis")

# %% [markdown]
# The gradient reaches as far as theory says (and is cut off at the picture's border), but it is a bell: the middle pixel
# is reached by far more paths than a corner.
#
# 梯度能到达的范围与理论一致（并在图片边界处被截断），但它呈钟形：通向中间像素的路径远多于通向角落的。
#
# ## 6. Train / 训练
#
# The set `shapes` is drawn by a program: one shape on a textured ground, turned, in any colour, partly hidden. Colour and size say
# nothing about the class, only the outline does. To finish in seconds we take three of the ten classes and
# 1,500 pictures; guessing gives a third. **Guess** the accuracy after six passes.
#
# 数据集 `shapes` 由程序绘制：带纹理的背景上有一个形状，随意旋转，颜色不限，部分被遮挡。颜色与大小不透露类别，只有轮廓才行。为了几秒内完成，我们只取十类中的三类、1,500 张图片；瞎猜的准确率是三分之一。**猜一猜**训练六轮之后的准确率。

# %%
CLASSES = ("circle", "star", "ring")


def only(task, names, count):
    """The task with these classes, and at most `count` training pictures."""
    numbers = torch.tensor([task.classes.index(name) for name in names])

    def pick(images, labels, count=None):
        is_class = labels[:, None] == numbers  # (N, 3)
        kept = is_class.any(dim=1).nonzero().squeeze(1)[:count]
        return images[kept], is_class[kept].long().argmax(dim=1)

    parts = {"train": pick(*task.train, count), "val": pick(*task.val), "test": pick(*task.test)}
    return replace(task, classes=names, **parts)


task = only(load_task("shapes"), CLASSES, 1500)
print({name: len(getattr(task, name)[0]) for name in ("train", "val", "test")}, "pictures")
images, labels = task.train
show(
    [image.permute(1, 2, 0) for image in images[:16]],
    [CLASSES[label] for label in labels[:16]],
    columns=8,
    height=1.5,
)

# %%
seed_everything(0)
model = build_model("simple_cnn", num_classes=3, widths=WIDTHS)
history = train(model, task, Recipe(epochs=6, batch_size=32, lr=5e-3), seed=0)
print(f"{parameter_count(model):,} parameters, {len(images):,} pictures")
for part in ("train", "val", "test"):
    print(f"{part:5} accuracy {accuracy(model, task, part):.1%} (guessing: 33.3%)")
figure, ax = plotting.subplots(width=5.6, height=3.2)
for part in ("train", "val"):
    ax.plot(range(1, 7), [100 * row[f"{part}_accuracy"] for row in history.epochs], label=part)
ax.set(xlabel="epoch", ylabel="accuracy (%)", title="shapes, three classes: narrow simple_cnn")
ax.legend()
figure

# %% [markdown]
# 1,500 pictures and six passes already go far beyond guessing, and the curve is still rising. `train.py --dataset shapes`
# trains the course's wider `simple_cnn` on the whole set and all ten classes, in a few minutes.
#
# 1,500 张图片、六轮训练已经远胜瞎猜，而且曲线仍在上升。`train.py --dataset shapes` 用整个数据集和全部十类训练课程中更宽的 `simple_cnn`，需要几分钟。
#
# ## 7. What it passes on / 它把什么传下去
#
# Each stage returns maps: where, and how strongly, each filter answered. Below are the strongest five of each stage for one test
# picture. **Guess** in which stage you can still recognise the shape.
#
# 每个阶段都输出若干特征图：每个滤波器在何处、以多大强度响应。下面是一张测试图片在各阶段最强的五张图。**猜一猜**到哪个阶段还认得出形状。

# %%
logits = predict(model, task)  # (N, 3), test split
test_images, test_labels = task.test
shares, guesses = logits.softmax(dim=1).max(dim=1)
surest = int(torch.where(guesses == test_labels, shares, 0).argmax())

model.eval()
one = standardize(to_pixels(test_images[surest : surest + 1]), task)  # (1, C, H, W)
pictures, titles = [], []
for stage in feature_maps(model, one):
    pictures.append(test_images[surest].permute(1, 2, 0))
    titles.append(f"{CLASSES[test_labels[surest]]}, {shares[surest]:.0%} sure")
    for channel in strongest(stage.values, 5):
        pictures.append(stage.values[channel])
        titles.append(f"{stage.name.split('.')[1]}, map {int(channel)}")
show(pictures, titles, columns=6, height=1.8)

# %% [markdown]
# The first stage keeps the picture's detail: edges and colours. The last one has 8 x 8 places left and says roughly where
# something is; their average, one number for each map, is all that the linear layer gets.
#
# 第一阶段保留图片的细节：边缘与颜色。最后一个阶段只剩 8 x 8 个位置，只说出某物大致在哪里；线性层得到的只是它们的平均值，每张图一个数。
#
# ## 8. What it gets wrong / 它在哪里出错
#
# Sort the test pictures by how sure the network was of a wrong answer. **Guess** what they have in common. And which two classes will
# be mixed up most?
#
# 把测试图片按网络对错误答案的把握排序。**猜一猜**它们有什么共同点？哪两类最容易混淆？

# %%
counts = torch.zeros(3, 3, dtype=torch.long)
counts.index_put_((test_labels, guesses), torch.tensor(1), accumulate=True)
print("rows: true class, columns: answer", *CLASSES)
for name, row in zip(CLASSES, counts.tolist(), strict=True):
    print(f"{name:>33}", *[f"{n:>{len(other)}}" for n, other in zip(row, CLASSES, strict=True)])

wrong = torch.where(guesses != test_labels, shares, 0).argsort(descending=True)[:16]
show(
    [test_images[i].permute(1, 2, 0) for i in wrong],
    [f"{CLASSES[guesses[i]]} ({shares[i]:.0%})\nis {CLASSES[test_labels[i]]}" for i in wrong],
    columns=8,
    height=1.7,
)

# %% [markdown]
# ## 9. A batch, changed at once / 一次改变一整批
#
# A turned star is a star. Augmentation says so with more pictures: each time a picture is drawn, it is mirrored, shifted or partly
# covered anew. Here the same picture fifteen times, in one call.
#
# 转了方向的星形还是星形。数据增强用更多的图片来说明这一点：每次取出一张图片，都重新镜像、平移或部分遮住。下面是同一张图片的十五个版本，一次调用得到。

# %%
augment = augmentation.build("flip,crop,cutout,jitter")
star = int((labels == CLASSES.index("star")).nonzero()[0])
batch = to_pixels(images[star : star + 1]).expand(15, -1, -1, -1)  # (15, C, H, W) in 0..1
changed = augment(batch, torch.Generator().manual_seed(0)).clamp(0, 1)  # rounding
show(
    [batch[0].permute(1, 2, 0), *changed.permute(0, 2, 3, 1)],
    ["original", *["" for _ in changed]],
    columns=8,
    height=1.4,
)

# %% [markdown]
# What does our network, which was trained without any of this, know already? **Guess** its accuracy on test pictures that are
# mirrored, turned by 90 degrees, shifted by four pixels, or darkened to 40 %.
#
# 我们的网络训练时没有用过任何增强，它已经懂得些什么？**猜一猜**把测试图片镜像、旋转 90 度、平移四个像素或变暗到 40% 时，它的准确率各是多少。

# %%
pixels = to_pixels(test_images)
changes = {
    "as they are": pixels,
    "mirrored": pixels.flip(3),
    "turned by 90 degrees": pixels.rot90(1, (2, 3)),
    "shifted by 4 px": F.pad(pixels, (4, 0, 4, 0), mode="reflect")[:, :, :32, :32],
    "darkened to 40 %": 0.4 * pixels,
}
with torch.no_grad():
    for name, changed in changes.items():
        answers = model(standardize(changed, task)).argmax(dim=1)
        print(f"{name:21} {100 * (answers == test_labels).float().mean():.1f}%")

# %% [markdown]
# A shift is built in; here mirror and turn come with the data, which hold every orientation. Brightness is neither built in nor in
# the data to this extent. Augmentation is worth most for what is true of the world but in neither of them.
#
# 平移不变由结构给出；镜像与旋转在这里由数据给出，因为数据包含各种朝向。这种程度的亮度变化则两者都没有。数据增强最有价值之处，正是那些世界上成立、而结构与数据都没有体现的事。
#
# ## 10. Your turn / 轮到你了
#
# Predict first, then change a cell and run it.
#
# 1. Section 1: which kernel brightens the photo? Which one shifts it by a pixel? Which 3 x 3 kernel sharpens it?
# 2. Section 2: use stride 2. Which slices change? How large is the matrix of columns then?
# 3. Section 3: remove the `+` of `+=`. Which gradients are still right, and for which pixels?
# 4. Section 5: replace the noise by constant pictures, or train the network first. What happens to the bell?
# 5. Section 6: train with `augment="flip,crop"`. Is it better or worse after six passes? And after twenty?
# 6. Section 6: build the network with `lenet5` instead (without `widths`). How do parameters and accuracy compare?
# 7. Section 9: add `"jitter"` to the recipe of section 6. What does it do to the last line, and what to the first?
#
# Then do the exercises (`chapter_04_cnn_classic/exercises/exercises.py`, checked by `python -m course check 4`).
#
# 先预测，再修改单元格运行。
#
# 1. 第 1 节：哪个核使照片变亮？哪个核把它平移一个像素？哪个 3 x 3 的核使它变锐利？
# 2. 第 2 节：改用步幅 2。哪些切片要变？列矩阵有多大？
# 3. 第 3 节：把 `+=` 中的 `+` 去掉。哪些梯度仍然正确，对哪些像素成立？
# 4. 第 5 节：把噪声换成常数图片，或先训练网络。钟形会怎样？
# 5. 第 6 节：用 `augment="flip,crop"` 训练。六轮之后是更好还是更差？二十轮之后呢？
# 6. 第 6 节：改用 `lenet5` 构建网络（不带 `widths`）。参数量与准确率相比如何？
# 7. 第 9 节：在第 6 节的训练方案中加入 `"jitter"`。它对最后一行有何影响？对第一行呢？
#
# 然后做练习（`chapter_04_cnn_classic/exercises/exercises.py`，用 `python -m course check 4` 检查）。
