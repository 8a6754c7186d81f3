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
# # Chapter 7 walkthrough: looking back
# # 第 7 章导览：回头看
#
# We look something up in a dictionary that answers softly, try four ways to score, see why one of them is divided by a square
# root, hide the future, and cut the width into heads. Then a translator shows where it looked for every word it wrote. Every cell runs in
# seconds on a laptop CPU. Before each one, **guess what you will see**.
#
# 我们先在一部会“软”回答的字典里查找，试四种打分方法，看其中一种为什么要除以平方根；再遮住未来，把宽度切成多个头。最后，翻译模型会告诉我们它写每个词时看了哪里。每个单元格在笔记本电脑的 CPU 上只需几秒。运行之前，请先**猜一猜会看到什么**。

# %%
# %matplotlib inline
import math
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import chapter_07_attention_mechanism as chapter
from chapter_06_rnn_lstm_seq.experiments.translation import PairBatches, load_task
from chapter_06_rnn_lstm_seq.seq2seq import sequence_loss
from chapter_07_attention_mechanism import attention_numpy, kernel_view, masks, scores
from chapter_07_attention_mechanism.alignment import argmax_path, coverage, crossings, entropy
from chapter_07_attention_mechanism.experiments.translation.looks import look_at
from chapter_07_attention_mechanism.experiments.translation.task import load_looking
from chapter_07_attention_mechanism.figures.train_translation import map_figure
from chapter_07_attention_mechanism.multi_head import MultiheadAttention
from chapter_07_attention_mechanism.scaled_dot_product import (
    attention_weights,
    scaled_dot_product_attention,
)
from chapter_07_attention_mechanism.seq2seq_attention import Seq2SeqAttention
from utils import plotting
from utils.file_io_util import read_json
from utils.model_summary import parameter_count
from utils.seed import generator, seed_everything

FOLDER = Path(chapter.__file__).parent
torch.set_num_threads(1)  # these networks are too small to share out
torch.set_printoptions(precision=3, sci_mode=False)
seed_everything(0)

# %% [markdown]
# ## 1. A soft lookup by hand / 手算一次软查找
#
# A dictionary has three keys with a number each. The query equals none of them, so a Python dict would raise `KeyError`. A soft
# lookup lets each key answer as far as it is similar: score, softmax, weighted mean. **Guess**: the query points nearly
# where the first key does. How close to 10 is the answer? And if the query is four times as long?
#
# 字典里有三个键，各对应一个数。查询与哪个都不相等，Python 的字典会抛出 `KeyError`。软查找让每个键按相似程度回答：打分，softmax，加权平均。**猜一猜**：查询的方向与第一个键很接近，答案离 10 有多近？若查询变成四倍长呢？

# %%
keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])  # (S, d)
values = torch.tensor([[10.0], [20.0], [30.0]])  # (S, 1)
for length in (1, 4):
    query = length * torch.tensor([[0.75, 0.25]])  # (T, d), T = 1
    raw = query @ keys.T  # (T, d) @ (d, S) -> (T, S)
    shares = raw.exp() / raw.exp().sum(-1, keepdim=True)
    answer = shares @ values  # (T, S) @ (S, 1) -> (T, 1)
    print(f"query {query[0].tolist()}: scores {np.round(raw[0].numpy(), 2)}")
    print(f"    weights {np.round(shares[0].numpy(), 3)}  ->  {answer.item():.2f}")

# %% [markdown]
# The weights are positive and add up to 1, so the answer always lies between the values. A longer query is more decided; in the limit it is
# the dictionary again. Everything in this chapter is this lookup: what changes is where queries, keys and values come from, and who may look.
#
# 权重为正，和为 1，所以答案总在各个值之间。查询越长，态度越坚决；极限情形又回到字典。本章的一切都是这种查找：变的只是查询、键和值从哪里来，以及谁可以看。
#
# ## 2. Four ways to score / 四种打分方法
#
# A query of 4 numbers and keys of 6 have no dot product. A matrix between them helps (Luong), or a small network for each
# pair (Bahdanau). **Guess**: which of the four have parameters? In which can the work for the keys be done once, before the first query comes?
#
# 4 个数的查询与 6 个数的键没有点积。可以在中间放一个矩阵（Luong），或者对每一对用一个小网络（Bahdanau）。**猜一猜**：四种方法中哪些有参数？哪些可以在第一个查询到来之前，一次做完与键有关的计算？

# %%
query, keys = torch.randn(1, 2, 4), torch.randn(1, 5, 6)  # (B, T, Q), (B, S, K)
for name, score, k in [
    ("scaled dot", scores.DotScore(scaled=True), keys[..., :4]),
    ("general", scores.GeneralScore(4, 6), keys),
    ("concat", scores.ConcatScore(4, 6, 8), keys),
    ("additive", scores.AdditiveScore(4, 6, 8), keys),
]:
    found = score(query, k)  # (B, T, S)
    print(f"{name:10}  {tuple(found.shape)}  {parameter_count(score):3} parameters")

additive, concat = scores.AdditiveScore(4, 6, 8), scores.ConcatScore(4, 6, 8)
with torch.no_grad():  # concat's matrix in two halves is additive's two matrices
    concat.layer.weight.copy_(torch.cat([additive.query.weight, additive.key.weight], dim=1))
    concat.layer.bias.copy_(additive.key.bias)
    concat.value.weight.copy_(additive.value.weight)
    gap = (additive(query, keys) - concat(query, keys)).abs().max()
print(f"additive and concat, with the same numbers in their matrices: differ by {gap:.0e}")

# %% [markdown]
# Concat and additive are one function: $W [q; k] = W_q q + W_k k$. Written in two parts, $W_k k$ is computed once a source and not once a written
# word. The dot product needs no parameters and is one matrix product: that is why it has won, once it was scaled.
#
# concat 与 additive 是同一个函数：$W [q; k] = W_q q + W_k k$。拆成两部分之后，$W_k k$ 对每个源句只算一次，而不是每写一个词算一次。点积不需要参数，只是一次矩阵乘法：加上缩放之后，它成了最后的胜者。
#
# ## 3. Why the square root? / 为什么要开平方？
#
# Queries and keys of $d$ independent numbers of variance 1. **Guess**: how does the spread of $q \cdot k$ grow with $d$? What becomes of the
# softmax over 32 keys, and of the gradient that comes back through it?
#
# 查询和键都由 $d$ 个方差为 1 的独立数组成。**猜一猜**：$q \cdot k$ 的标准差随 $d$ 怎样增长？32 个键上的 softmax 会变成什么样？经过它传回来的梯度呢？

# %%
widths = [2**n for n in range(11)]
figure, axes = plotting.subplots(1, 3, width=11, height=3.2)
for scaled, style in ((False, "-"), (True, "--")):
    rows = []
    for d in widths:
        q = torch.randn(256, 1, d, generator=generator(d))
        k = torch.randn(256, 32, d, generator=generator(d + 1))
        logits = (q @ k.mT)[:, 0] / (math.sqrt(d) if scaled else 1)  # (256, 32)
        logits.requires_grad_()
        shares = logits.softmax(-1)
        (slope,) = torch.autograd.grad(shares[:, 0].sum(), logits)
        rows.append((logits.std().item(), shares.amax(-1).mean().item(), slope.norm(dim=-1).mean()))
    for ax, column in zip(axes, zip(*rows, strict=True), strict=True):
        ax.plot(widths, column, style, label="divided by √d" if scaled else "plain")
titles = ("standard deviation of q·k", "largest of 32 weights", "gradient of one weight")
for ax, title in zip(axes, titles, strict=True):
    ax.set_xscale("log", base=2)
    ax.set_xlabel("d")
    ax.set_title(title)
axes[0].set_yscale("log")
axes[2].set_ylim(0, None)
axes[0].legend(fontsize=8)
figure

# %% [markdown]
# Variances add up: the spread grows as $\sqrt{d}$, the softmax becomes a choice of one, and the weights that are nearly 0 or 1 pass no gradient on. Divided
# by $\sqrt{d}$ nothing depends on $d$. This is the state at the *start* of a training; later the length of the queries is learnt.
#
# 方差相加：标准差按 $\sqrt{d}$ 增长，softmax 变成“只选一个”，而接近 0 或 1 的权重传不回梯度。除以 $\sqrt{d}$ 之后，一切都与 $d$ 无关。这说的是训练*开始时*的情形；以后查询的长度是学出来的。
#
# ## 4. Scaled dot product, forward and backward / 缩放点积：前向与反向
#
# Our function has the signature of `F.scaled_dot_product_attention`. And the way back is short enough to be written by hand in NumPy. **Guess**: for
# 1,000 keys the Jacobian of a softmax has a million entries. How many of them must be computed?
#
# 我们的函数与 `F.scaled_dot_product_attention` 的签名相同。反向传播也很短，可以用 NumPy 手写。**猜一猜**：1,000 个键时，softmax 的雅可比矩阵有一百万个元素，其中必须算出几个？

# %%
q, k, v = (
    torch.randn(2, 4, n, 8, dtype=torch.float64, requires_grad=True, generator=generator(n))
    for n in (6, 9, 9)
)  # (B, h, T, d), (B, h, S, d), (B, h, S, v)
for options in ({}, {"is_causal": True}, {"attn_mask": torch.rand(6, 9) < 0.7}, {"scale": 0.1}):
    ours = scaled_dot_product_attention(q, k, v, **options)
    torchs = F.scaled_dot_product_attention(q, k, v, **options)
    pairs = zip(
        torch.autograd.grad(ours.square().sum(), (q, k, v)),
        torch.autograd.grad(torchs.square().sum(), (q, k, v)),
        strict=True,
    )
    gap = max((a - b).abs().max().item() for a, b in pairs)
    print(
        f"{', '.join(options) or 'plain':10} values differ by {(ours - torchs).abs().max():.0e}, "
        f"gradients by {gap:.0e}"
    )

p = attention_numpy.softmax(np.array([[1.0, 2.0, 0.5]]))  # (1, S)
dp = np.array([[1.0, 0.0, -1.0]])
whole = attention_numpy.softmax_jacobian(p[0]) @ dp[0]
print(
    "through the Jacobian:",
    whole.round(4),
    "  without it:",
    attention_numpy.softmax_backward(p, dp)[0].round(4),
)

# %% [markdown]
# None of them: $p_i (dp_i - \sum_j p_j dp_j)$ needs one number more than the vectors themselves.
#
# 一个也不用：$p_i (dp_i - \sum_j p_j dp_j)$ 只比向量本身多用一个数。
#
# ## 5. Masks / 掩码
#
# A mask says who may look where: `True` = may look. Below are four, rows are queries, columns keys, dark is allowed. **Guess** which is which: padding
# behind a text of 4, causal, a prefix of 3, two documents in one row. And what does a softmax make of a row with nothing to see?
#
# 掩码规定谁可以看哪里：`True` 表示可以看。下面是四种，行是查询，列是键，深色表示允许。**猜一猜**哪个是哪个：长 4 的文本后面有填充、因果、长 3 的前缀、一行里放了两篇文档。什么也看不到的那一行，softmax 会得出什么？

# %%
size = 6
tables = {
    "padding": masks.padding_mask(torch.tensor([4]), size)[0].expand(size, size),
    "causal": masks.causal_mask(size),
    "prefix of 3": masks.prefix_mask(size, 3),
    "two documents": masks.block_diagonal_mask(torch.tensor([[0, 0, 0, 0, 1, 1]]))[0],
}
figure, axes = plotting.subplots(1, 4, width=9, height=2.6)
for ax, (name, table) in zip(axes, tables.items(), strict=True):
    ax.imshow(table, cmap="Greys", vmin=0, vmax=1.4)
    ax.grid(False)
    ax.set_title(name)
    ax.set_xlabel("key")
axes[0].set_ylabel("query")

raw = torch.zeros(2, 3, requires_grad=True)
sees = torch.tensor([[True, True, False], [False, False, False]])
for name, rule in (
    ("softmax of -inf", lambda x: x.masked_fill(~sees, -math.inf).softmax(-1)),
    ("masked_softmax", lambda x: masks.masked_softmax(x, sees)),
):
    print(f"{name}: a row that sees two {rule(raw)[0].tolist()}, nothing {rule(raw)[1].tolist()}")
inner = nn.MultiheadAttention(4, 1, batch_first=True)
everything_hidden = torch.ones(1, 3, dtype=torch.bool)  # there, True = hidden
x = torch.randn(1, 3, 4)
print(
    "nn.MultiheadAttention, all keys hidden:", inner(x, x, x, everything_hidden)[0][0, 0].tolist()
)
mine = MultiheadAttention(4, 1, batch_first=True)
print("ours, the same:                        ", mine(x, x, x, everything_hidden)[0][0, 0].tolist())
figure

# %% [markdown]
# ## 6. A wrong mask leaks / 错误的掩码会泄漏
#
# Causality can be tested without a theory: change the last token; nothing before it may move. **Guess** which of these masks leak.
#
# 因果性不需要理论就能检验：改动最后一个词元，它之前的一切都不许变。**猜一猜**下面哪些掩码有泄漏。

# %%
length = 8
x = torch.randn(1, length, 16, generator=generator(5))
changed = x.clone()
changed[:, -1] += 1  # another last token
causal = masks.causal_mask(length)


def after_softmax(x):
    """The mask put on the weights instead of on the scores."""
    return (attention_weights(x, x) * causal) @ x


rules = {
    "causal": lambda x: scaled_dot_product_attention(x, x, x, attn_mask=causal),
    "one key too many": lambda x: scaled_dot_product_attention(
        x, x, x, attn_mask=torch.ones(length, length).tril(1).bool()
    ),
    "True and False exchanged": lambda x: scaled_dot_product_attention(x, x, x, attn_mask=~causal),
    "behind the softmax": after_softmax,
}
for name, rule in rules.items():
    moved = (rule(changed) - rule(x)).abs().amax(-1)[0, :-1]  # (T - 1,)
    places = moved.gt(1e-6).nonzero()[:, 0].tolist()
    print(f"{name:25} outputs that moved: {places}, at most by {moved.max():.3f}")

# %% [markdown]
# Behind the softmax no weight points to the future, and still it leaks: the future has a share in the sum that all weights were divided by. The training loss
# does not warn, it gets better. Page 4 measures what eight wrong masks do to a small language model.
#
# 掩码放在 softmax 之后，没有一个权重指向未来，却仍然泄漏：所有权重都除以一个和，而未来在其中有一份。训练损失不会示警，反而更好看。第 4 页测量八种错误的掩码会把一个小语言模型变成什么样。
#
# ## 7. Many heads / 多头
#
# Each head looks in its own part of the width. Ours takes PyTorch's weights as they are. **Guess**: without a mask, what happens to the outputs of self-attention
# if the words are shuffled? And with a causal mask?
#
# 每个头在宽度的一段里各自去看。我们的模块可以直接载入 PyTorch 的权重。**猜一猜**：没有掩码时，把词打乱，自注意力的输出会怎样？有因果掩码时呢？

# %%
torchs = nn.MultiheadAttention(32, 4, batch_first=True).double().eval()
ours = MultiheadAttention(32, 4, batch_first=True).double().eval()
ours.load_state_dict(torchs.state_dict(), strict=True)
x = torch.randn(2, 7, 32, dtype=torch.float64, generator=generator(1))
right, right_weights = torchs(x, x, x, average_attn_weights=False)
found, found_weights = ours(x, x, x, average_attn_weights=False)
print("output", tuple(found.shape), "weights of each head", tuple(found_weights.shape))
print(
    f"differences: output {(found - right).abs().max():.0e}, weights {(found_weights - right_weights).abs().max():.0e}"
)

order = torch.randperm(7, generator=generator(3))
hidden = ~masks.causal_mask(7)  # nn.MultiheadAttention's convention, kept in the drop-in
for name, options in (("no mask", {}), ("causal", {"attn_mask": hidden})):
    straight = ours(x, x, x, need_weights=False, **options)[0]
    y = x[:, order]
    shuffled = ours(y, y, y, need_weights=False, **options)[0]
    gap = (straight[:, order] - shuffled).abs().max()
    print(f"{name}: shuffled words, outputs shuffled alike? largest difference {gap:.1e}")

# %% [markdown]
# Without a mask attention sees a set: it does not know the order of the words. In this chapter the GRU below it tells the order; chapter 8, which drops the GRU,
# has to add it.
#
# 没有掩码的注意力看到的是一个集合：它不知道词的次序。本章由下面的 GRU 提供次序；第 8 章去掉了 GRU，就得另外加进来。
#
# ## 8. An old acquaintance: kernel regression / 老相识：核回归
#
# Guess $y$ at a place from 40 noisy samples near it: keys are the places, values the samples, and the score is $-|q - k|^2 / 2w^2$. **Guess** which width follows the
# noise, and which one is flat.
#
# 用附近的 40 个带噪样本来估计某处的 $y$：位置是键，样本是值，分数是 $-|q - k|^2 / 2w^2$。**猜一猜**哪个宽度追着噪声跑，哪个是平的。

# %%
places = torch.sort(6 * torch.rand(40, 1, generator=generator(0)), dim=0).values  # (S, 1)
samples = torch.sin(places) + 0.3 * torch.randn(40, 1, generator=generator(1))  # (S, 1)
grid = torch.linspace(0, 6, 200)[:, None]  # (T, 1)
figure, ax = plotting.subplots(width=8, height=3.2)
ax.plot(places, samples, "o", color="0.6", markersize=4, label="samples")
ax.plot(grid, torch.sin(grid), color="0.3", linewidth=1, label="sin, without noise")
for width, style in ((0.03, ":"), (0.4, "-"), (4.0, "--")):
    curve = kernel_view.distance_attention(grid, places, samples, width)  # (T, 1)
    ax.plot(grid, curve, style, label=f"width {width}")
    error = (curve - torch.sin(grid)).square().mean().sqrt()
    same = (curve - kernel_view.dot_product_attention(grid, places, samples, width)).abs().max()
    print(
        f"width {width}: error {error:.3f}; the same by dot products alone: differs by {same:.0e}"
    )
ax.set_xlabel("place")
ax.legend(fontsize=8, ncol=2)
figure

# %% [markdown]
# Attention is the regression of Nadaraya and Watson (1964), with one difference: nobody chooses the width. It is learnt, as the length of queries and keys.
#
# 注意力就是 Nadaraya 与 Watson（1964）的回归，只有一点不同：宽度没有人去选，它作为查询和键的长度被学出来。
#
# ## 9. A translator that shows where it looks / 会说明自己看了哪里的翻译模型
#
# Chapter 6's encoder and decoder, with a look at all source states before every token. If the chapter's weights are there, they are loaded; else a small
# network is trained for some seconds on single numbers, and its map is as rough as its German. **Guess**: English says "twenty-one", German "einundzwanzig", one-and-twenty. What will
# the map show there?
#
# 第 6 章的编码器和解码器，只是写每个词元之前先看一遍源句的所有状态。若本章的权重在，就载入；否则花几秒在单个数字上训练一个小网络，它的图也就像它的德语一样粗糙。**猜一猜**：英语说 "twenty-one"，德语说 "einundzwanzig"，即“一和二十”。图上这里会是什么样子？


# %%
def small_translator(steps=250):
    """An additive translator of single numbers below 1,000, after so many updates."""
    task = load_task("numbers", "en", "de", "bpe", most=1, below=1000, held_out=20, train=4000)
    size = task.source.vocab_size
    model = Seq2SeqAttention(size, size, "additive", embed=32, hidden=48, joint=True)
    optimizer, loss_fn = torch.optim.Adam(model.parameters(), lr=0.01), sequence_loss()
    batches = PairBatches(*task.encoded(task.data.train), 64, shuffle=True)
    done = 0
    while done < steps:
        for batch in batches:
            loss, _ = loss_fn(model, batch)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            done += 1
    return model.eval(), task, f"{done} updates"


shipped = FOLDER / "checkpoints" / "translation_numbers.pth"
if shipped.is_file():
    model, task, facts = load_looking(shipped)
    text, note = "twenty-one, three hundred and five", f"the chapter's weights, {facts['dataset']}"
else:
    model, task, note = small_translator()
    text = "three hundred and twenty-one"
(look,) = look_at(model, task, [text], 100)
print(f"{note}\n{text}\n  -> {''.join(look.written[:-1])}")
map_figure(look)

# %% [markdown]
# Read a row from left to right: where was the weight when this token was written? Numbers that describe the map are the path of its largest weights, how spread each
# row is, and how much each source token was looked at in all. **Guess** which written token has the widest look.
#
# 一行一行地读：写这个词元时，权重落在哪里？描述这张图的几个数是：各行最大权重连成的路径、每一行有多分散，以及每个源词元总共被看了多少。**猜一猜**写哪个词元时看得最散。

# %%
path, spread = argmax_path(look.mean), entropy(look.mean)  # (T,), (T,)
for token, place, nats in zip(look.written, path.tolist(), spread.tolist(), strict=True):
    print(f"{token!r:14} looked most at {look.read[place]!r:12} entropy {nats:.2f} nats")
seen = coverage(look.mean).tolist()  # (S,)
print(
    "looked at in all:", ", ".join(f"{t!r} {c:.2f}" for t, c in zip(look.read, seen, strict=True))
)
print(f"crossings of the path: {crossings(path)} of {len(path) * (len(path) - 1) // 2} possible")

# %% [markdown]
# In the chapter's network the German unit is written before its tens, and there the path runs backwards: "ein" looks at "one", and only then "undzwanzig" at what stands
# before it. The comma and the end of the line look widely: they need not know much. The states of a bidirectional GRU hold their neighbours too, so a look *at* a word is not a look at that word alone. Page 7 asks how far such a map explains
# the translation.
#
# 在本章的网络里，德语先写个位再写十位，路径在那里往回走："ein" 看的是 "one"，然后 "undzwanzig" 才去看它前面的词。逗号和句末看得很散：它们不需要知道多少。双向 GRU 的状态里也含有邻近的词，所以“看”一个词并不等于只看了这个词。第 7 页讨论这样一张图能在多大程度上解释译文。
#
# ## 10. Length / 长度
#
# Chapter 6's vector broke at two or three numbers a line. **Guess**: with attention, trained on lists of up to six, what about seven and eight, longer than
# anything it was trained on? (The published result of `train_translation.py`.)
#
# 第 6 章的那个向量，一行两三个数字就撑不住了。**猜一猜**：有了注意力，用最多六个数字的列表训练，那么七个、八个，比训练时见过的都长，会怎样？（`train_translation.py` 的发布结果。）

# %%
published = FOLDER / "results" / "translation_numbers.json"
if published.is_file():
    found = read_json(published)["metrics"]
    figure, ax = plotting.subplots(width=7, height=3.2)
    for place, (kind, row) in enumerate(found["kinds"].items()):
        counts, means = zip(*((int(k), v[0]) for k, v in row["exact_percent"].items()), strict=True)
        look = {"linestyle": plotting.DASHES[place], "marker": plotting.MARKERS[place]}
        ax.plot(counts, means, label=kind, **look)
        print(
            f"{kind:10}", "  ".join(f"{k}: {m:5.1f} %" for k, m in zip(counts, means, strict=True))
        )
    ax.axvline(found["trained"] + 0.5, color="0.3", linewidth=1)
    ax.set_xlabel("numbers in the line (right of the line: never trained)")
    ax.set_ylabel("lines entirely right (%)")
    ax.legend(fontsize=8)
else:
    figure = None
    print("not published yet: python chapter_07_attention_mechanism/train_translation.py")
figure

# %% [markdown]
# ## 11. Your turn / 轮到你了
#
# Predict first, then change a cell and run it.
#
# 1. Section 1: a second key equal to the first, with the value 12. What do exact and soft lookup answer?
# 2. Section 3: keys that are all the same vector. And queries and keys of length 1 instead of variance 1?
# 3. Section 4: take `scale=100`. Which gradients become 0, and why not that of the values?
# 4. Section 6: a mask that also hides a query from itself. What does the first query do?
# 5. Section 8: take away all samples between 2 and 4. What does each width say there?
# 6. Section 9: a text of your own; then the same number twice. Does the second one look at its own words?
#
# Then do the exercises (`chapter_07_attention_mechanism/exercises/exercises.py`, checked by
# `python -m course check 7`).
#
# 先预测，再修改单元格运行。
#
# 1. 第 1 节：加一个与第一个键相同的键，值为 12。精确查找和软查找各回答什么？
# 2. 第 3 节：所有的键都是同一个向量会怎样？若查询和键的长度为 1，而不是方差为 1 呢？
# 3. 第 4 节：取 `scale=100`。哪些梯度变成了 0？值的梯度为什么没有？
# 4. 第 6 节：用一个连自己也不许看的掩码。第一个查询怎么办？
# 5. 第 8 节：去掉 2 与 4 之间的所有样本。各个宽度在那里会说什么？
# 6. 第 9 节：换成你自己的文本；再把同一个数写两遍。第二个看的是它自己的词吗？
#
# 然后做练习（`chapter_07_attention_mechanism/exercises/exercises.py`，用 `python -m course check 7` 检查）。
