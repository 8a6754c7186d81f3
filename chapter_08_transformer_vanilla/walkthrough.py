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
# # Chapter 8 walkthrough: attention alone
# # 第 8 章导览：只用注意力
#
# We take one block apart, turn a place into an angle, see what the place of the norm does before any training, and train a small Transformer to write letters
# backwards. Then we look where its heads looked, check that it cannot see the future, let it write in four ways, and count what it costs.
# The second half is what became of it: GPT, BERT, ViT, and a mechanism that heads find. Every cell runs in seconds on a laptop CPU. Before each one, **guess what you will see**.
#
# 我们先拆开一个块，把位置变成角度，看看训练之前归一化的位置有什么影响，再训练一个小 Transformer 把字母倒着写。然后看它的各个头看向哪里，检查它看不到未来，用四种方式让它书写，再数一数代价。后半部分是由它而来的 GPT、BERT、ViT，以及注意力头会学到的一种机制。每个单元格在笔记本电脑的 CPU 上只需几秒。运行之前，请先**猜一猜会看到什么**。

# %%
# %matplotlib inline
import copy
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import fit
from chapter_06_rnn_lstm_seq.experiments.translation import translate
from chapter_06_rnn_lstm_seq.seq2seq import sequence_loss
from chapter_06_rnn_lstm_seq.tokenizer import BOS, EOS
from chapter_07_attention_mechanism.figures.attention_page import heads_figure
from chapter_08_transformer_vanilla import flops, minimal
from chapter_08_transformer_vanilla.bert import Bert
from chapter_08_transformer_vanilla.decoding import beam_search, greedy
from chapter_08_transformer_vanilla.experiments.finetuned import answer
from chapter_08_transformer_vanilla.experiments.gpt import load_model
from chapter_08_transformer_vanilla.experiments.maps import maps_of
from chapter_08_transformer_vanilla.experiments.masked_words import mask
from chapter_08_transformer_vanilla.experiments.measures import exact_by_count
from chapter_08_transformer_vanilla.experiments.tasks import load_data, short
from chapter_08_transformer_vanilla.experiments.writing import writer
from chapter_08_transformer_vanilla.gpt2 import GPT2
from chapter_08_transformer_vanilla.induction import ByHand, prefix_matching
from chapter_08_transformer_vanilla.kv_cache import CachedSteps, FullSteps
from chapter_08_transformer_vanilla.layers import EncoderLayer
from chapter_08_transformer_vanilla.positions import sinusoids
from chapter_08_transformer_vanilla.text_window import nats_per_token, write
from chapter_08_transformer_vanilla.training_recipe import TokenBatches
from chapter_08_transformer_vanilla.transformer import TranslationTransformer
from chapter_08_transformer_vanilla.vit import ViT, patchify, rollout
from chapter_08_transformer_vanilla.wordpiece import SPECIALS, WordPiece
from utils import plotting
from utils.datasets.shapes import render
from utils.errors import confirm
from utils.model_summary import parameter_count, summary
from utils.seed import generator, seed_everything

torch.set_num_threads(1)  # these networks are too small to share out
torch.set_printoptions(precision=3, sci_mode=False)
seed_everything(0)

# %% [markdown]
# ## 1. One block / 一个块
#
# The encoder's block of `minimal.py`, line by line, with 2 lines of 5 places, width 8, 2 heads and a feed-forward of 32. **Guess** each shape before you read
# it. In which of these lines does one place learn something about another?
#
# `minimal.py` 中编码器的块，逐行写开：2 行，每行 5 个位置，宽度 8，2 个头，前馈宽度 32。读之前先**猜一猜**每个形状。其中哪几行让一个位置得知另一个位置的内容？

# %%
torchs = nn.TransformerEncoderLayer(8, 2, 32, dropout=0.0, batch_first=True, norm_first=True).eval()
w = {name: value.detach() for name, value in torchs.state_dict().items()}
x = torch.randn(2, 5, 8, generator=generator(0))  # (B, T, D)

n = minimal.norm(x, minimal.under(w, "norm1"))
own = minimal.under(w, "self_attn")
w_q, w_k, _ = own["in_proj_weight"].chunk(3)
b_q, b_k, _ = own["in_proj_bias"].chunk(3)
q, k = ((n @ m.T + b).unflatten(-1, (2, 4)).transpose(1, 2) for m, b in ((w_q, b_q), (w_k, b_k)))
shares = (q @ k.mT / 4**0.5).softmax(-1)
found = minimal.attention(n, n, own, 2, None)
inside = minimal.norm(x + found, minimal.under(w, "norm2")) @ w["linear1.weight"].T
inside = (inside + w["linear1.bias"]).relu()
for name, value in {
    "x": x,
    "norm(x)": n,
    "queries, head by head": q,
    "weights": shares,
    "what attention found": found,
    "inside the feed-forward": inside,
    "the block's answer": minimal.block_v4(x, w, 2),
}.items():
    print(f"{name:24} {tuple(value.shape)}")
with torch.no_grad():
    gap = (minimal.block_v4(x, w, 2) - torchs(x)).abs().max()
print(f"block_v4 and nn.TransformerEncoderLayer, the same weights: differ by {gap:.0e}")

# %% [markdown]
# The answer has the shape of the question: blocks can be stacked. Only the product of queries and keys has two axes of places, $(B, h, T, T)$; the
# rest of the block works on each place alone.
#
# 答案与输入形状相同，所以块可以层层堆叠。只有查询与键的乘积有两个位置轴， $(B, h, T, T)$ ；块的其余部分都逐个位置计算。
#
# Now the same block applied 16 times, in versions: attention alone (v1), with a residual connection (v2), with feed-forward and norms (v4). **Guess**: how alike
# are the places of a line at the end?
#
# 再把同一个块连用 16 次，分几个版本：只有注意力（v1），加上残差连接（v2），再加前馈与归一化（v4）。**猜一猜**：最后同一行的各个位置有多相像？

# %%
print("share of what tells the places of a line apart:")
for block in (minimal.block_v1, minimal.block_v2, minimal.block_v4):
    y, row = x, []
    for n in range(17):
        if n in (0, 1, 4, 16):
            apart = (y - y.mean(1, keepdim=True)).square().sum() / y.square().sum()
            row.append(f"{n:2} times {100 * apart:6.2f} %")
        y = block(y, w, 2)
    print(f"{block.__name__}: ", ",  ".join(row))

# %% [markdown]
# Attention is a mean: repeated, it makes all places one. The residual connection keeps what a place had of its own for longer, but with these
# random weights not for ever.
#
# 注意力是求平均：反复求平均，所有位置就变成一样。残差连接让各个位置自己的内容保留得更久，但在这组随机权重下也不是永远。
#
# ## 2. A place is a set of angles / 位置是一组角度
#
# Attention does not see the order, so sines and cosines of the place are added to the token. **Guess**: is there one matrix that turns the vector of *every* place into that of
# the place 3 further on? And what does the dot product of two places depend on?
#
# 注意力看不见次序，所以要把位置的正弦与余弦加到词元上。**猜一猜**：有没有一个矩阵，能把*每一个*位置的向量都变成往后 3 个位置的向量？两个位置的点积又取决于什么？

# %%
width, shift = 32, 3
p = sinusoids(torch.arange(100, dtype=torch.float64), width)  # (T, D)
waves = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)  # (D / 2,)
turn = [torch.stack([a.cos(), a.sin(), -a.sin(), a.cos()]).view(2, 2) for a in shift * waves]
rotation = torch.block_diag(*turn)  # (D, D), R_3
gap = (p[:-shift] @ rotation.T - p[shift:]).abs().max()
print(f"R_3 p_t and p_(t+3), t = 0 to 96: differ by {gap:.0e}")
print(
    f"R_3 turned back, R_3^T R_3 and I:   differ by {(rotation.T @ rotation - torch.eye(width)).abs().max():.0e}"
)
for n in (0, 1, 3, 30):
    products = (p[: 100 - n] * p[n:]).sum(-1)  # (T - n,)
    print(f"p_t p_(t+{n}): from {products.min():.6f} to {products.max():.6f} over all t")
asked = p @ rotation @ p.T  # (T, S): R_(-3) p_t against every key
print("asked for 3 places back, found:", (asked.argmax(-1)[3:8] - torch.arange(3, 8)).tolist())

figure, axes = plotting.subplots(1, 2, width=9, height=3.2)
axes[0].imshow(p[:50], cmap="Greys", aspect="auto")
axes[0].set(title="places 0 to 49", xlabel="column of D = 32", ylabel="place")
axes[0].grid(False)
axes[1].plot(p[50] @ p.T, label="p_50 with p_s")
axes[1].plot(asked[50], "--", label="3 places back of 50, with p_s")
axes[1].set(title="dot products", xlabel="place s", xlim=(30, 70))
axes[1].legend(fontsize=8)
figure

# %% [markdown]
# A shift is a rotation, the same wherever it begins: "3 back" is one linear map, which the matrices of queries and keys can learn.
#
# 平移就是旋转，从哪里开始都一样：“往前 3 个”是一个线性映射，查询与键的矩阵学得会。
#
# ## 3. Where the norm stands / 归一化放在哪里
#
# By hand first: a place with $x = (1, 3)$, and a sublayer that answers $(2, -2)$ whatever it is asked. **Guess** what comes out with the norm behind the sum (post) and in front of the
# sublayer (pre).
#
# 先手算：一个位置 $x = (1, 3)$ ，子层无论读到什么都回答 $(2, -2)$ 。**猜一猜**：归一化放在和之后（后置）与放在子层之前（前置），各得到什么？

# %%
for name, first in (("post", False), ("pre", True)):
    layer = EncoderLayer(2, 1, dropout=0.0, norm_first=first)
    asked = []

    def answers(x, asked=asked):
        """A sublayer that notes what it reads and always says the same."""
        asked.append(x)
        return torch.tensor([2.0, -2.0])

    with torch.no_grad():
        out = layer.around(torch.tensor([1.0, 3.0]), 1, answers)
    print(
        f"{name:4}  the sublayer reads {asked[0].numpy().round(3)}, the stream is then {out.numpy().round(3)}"
    )

# %% [markdown]
# Now 24 layers with random weights, nothing trained, and some random target. **Guess**: in which of the two does the stream grow with depth? And where, at the first layer or at the last,
# is the gradient larger?
#
# 再看 24 层的随机权重，什么都没训练，目标也是随机的。**猜一猜**：哪一种的残差流会随深度增大？梯度在哪里更大，第一层还是最后一层？


# %%
def start(first, depth=24, width=64):
    """Mean square of the stream and length of its gradient behind each layer, untrained."""
    torch.manual_seed(0)
    layers = [
        EncoderLayer(width, 4, 4 * width, 0.0, batch_first=True, norm_first=first)
        for _ in range(depth)
    ]
    for weight in (w for layer in layers for w in layer.parameters() if w.dim() > 1):
        nn.init.xavier_uniform_(weight)
    x, truth = (torch.randn(4, 16, width, generator=generator(seed)) for seed in (1, 2))
    states = []
    for layer in layers:
        x = layer(x)
        x.retain_grad()
        states.append(x)
    out = nn.functional.layer_norm(x, [width])  # in post-norm it changes nothing
    (out * truth).mean().backward()
    return [s.square().mean().item() for s in states], [s.grad.norm().item() for s in states]


figure, axes = plotting.subplots(1, 2, width=9, height=3.2)
for (name, first), style in zip((("post", False), ("pre", True)), ("--", "-"), strict=True):
    size, slope = start(first)
    slope = [value / slope[-1] for value in slope]
    for ax, values in zip(axes, (size, slope), strict=True):
        ax.plot(range(1, 25), values, style, label=f"{name}-norm")
    print(
        f"{name:4}  mean square of the stream: layer 1 {size[0]:.2f}, layer 24 {size[-1]:.2f}; "
        f"gradient at layer 1 is {slope[0]:.2f} of that at layer 24"
    )
axes[0].set(title="mean square of the stream", xlabel="layer")
axes[1].set(title="gradient, the last layer's = 1", xlabel="layer", yscale="log")
axes[0].legend(fontsize=8)
figure

# %% [markdown]
# Post-norm keeps the stream at 1, and every norm on the way down divides the gradient: all layers before the last get less than the last. Pre-norm lets the stream grow and leaves the way
# down free: the first layers get the most. Page 3 derives what a norm does to both.
#
# 后置归一化让残差流保持为 1，而往下走的每个归一化都要除一次梯度：前面各层得到的都比最后一层少。前置归一化任由残差流增大，往下的路却畅通：最前面的层得到的梯度最大。第 3 页推导归一化对两者的影响。
#
# ## 4. A small Transformer / 一个小 Transformer
#
# It reads 4 to 6 letters and is to write them backwards. Two layers each, width 64; the loop is chapter 3's, the batches hold tokens, not lines. **Guess**: in how many lines
# of 6 letters will every letter be right? In how many of 7 or 8, never seen in training?
#
# 它读 4 到 6 个字母，要倒着写出来。编码器与解码器各两层，宽度 64；循环是第 3 章的，批次按词元数而不是行数来组。**猜一猜**：6 个字母的行有多少能全部写对？训练中从未见过的 7 个、8 个字母呢？

# %%
task = load_data("reverse", most=6, lines=4_000)
print("read:", task.data.train[0][0], "  write:", task.data.train[0][1])
architecture = {"vocabulary": task.target.vocab_size, "width": 64, "heads": 4, "layers": 2}
architecture |= {"ffn": 128, "dropout": 0.0}
model = TranslationTransformer(**architecture)
train = TokenBatches(*task.encoded(task.data.train), 1_000, shuffle=True)
print("a batch of each length, source and target with <bos> and <eos>:")
batches = {source.shape[1]: (source, target) for source, target in train.epoch(0)}
for _, (source, target) in sorted(batches.items()):
    print("   ", tuple(source.shape), tuple(target.shape))

epochs, halfway = 6, {}
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, betas=(0.9, 0.98))


def on_epoch(row):
    """Prints what an epoch brought, and keeps the weights of the third for later."""
    print(
        f"epoch {row['epoch']}: loss {row['val_loss']:.3f} nats a token, "
        f"{100 * row['val_accuracy']:.1f} % of new tokens right"
    )
    if row["epoch"] == 3:
        halfway.update(copy.deepcopy(model.state_dict()))


history = fit(
    model,
    sequence_loss(),
    optimizer,
    train,
    epochs=epochs,
    val=TokenBatches(*task.encoded(task.data.val), 8_000),
    scheduler=CosineWithWarmup(optimizer, 100, epochs * len(train)),
    clip_norm=1.0,
    on_epoch=on_epoch,
)
model.eval()
percent = exact_by_count(model, short(task, 8))["exact_percent"]
print("lines entirely right:", ",  ".join(f"{k} letters {v:.1f} %" for k, v in percent.items()))
figure, ax = plotting.subplots(width=7, height=2.8)
ax.plot(history.step_losses)
ax.set(xlabel="step", ylabel="training loss (nats a token)", ylim=(0, None))
figure

# %% [markdown]
# What was trained is learnt; one letter more is another matter: no line of the training had a seventh place. `train.py --task reverse` compares five
# kinds of positions there.
#
# 训练过的学会了；多一个字母就是另一回事：训练中没有一行有第七个位置。`train.py --task reverse` 在这里比较五种位置编码。
#
# ## 5. Where the heads looked / 各个头看向哪里
#
# Between decoder and encoder, the second layer's four heads; rows are the letters written, columns those read. **Guess** the shape of the dark places, if a head does the whole job alone.
#
# 解码器与编码器之间，第二层的四个头；行是写出的字母，列是读入的字母。如果某个头独自完成全部工作，**猜一猜**深色部分是什么形状。

# %%
text = task.data.test[task.data.counts.test.index(6)][0]
(line,) = translate(model, task, [text], write=writer(model))
maps = maps_of(model, task, text, task.target.encode(line))
print(f"{text}  ->  {line}")
length = len(line.split())
for layer, heads in enumerate(maps.cross, start=1):  # heads (h, T, S)
    mirror = heads[:, range(length), range(length - 1, -1, -1)].mean(-1)  # (h,)
    print(
        f"layer {layer}: weight on the letter that is to be written, head by head:",
        [round(share, 2) for share in mirror.tolist()],
    )
heads_figure(maps.read, maps.written, maps.cross[-1], [f"layer 2, head {n}" for n in range(1, 5)])

# %% [markdown]
# To write letter $t$ of $T$, letter $T + 1 - t$ must be read: the dark places run along the other diagonal. The decoder's place $t$ has read the
# letters before $t$; it asks for a *place*. How
# much of that each head does, the printed shares say.
#
# 要写 $T$ 个字母中的第 $t$ 个，就得读第 $T + 1 - t$ 个：深色部分沿着另一条对角线。解码器的第 $t$ 个位置读过的是 $t$ 之前的字母；它要找的是一个*位置*。每个头承担了多少，看打印出的份额就知道。
#
# ## 6. It cannot see the future / 它看不到未来
#
# Change the letter at place 4 of what the decoder reads, and compare its answers at all places. **Guess** which ones move: with the causal mask, without it, and if instead a letter
# of the *source* is changed.
#
# 把解码器读入的第 4 个位置的字母换掉，比较它在所有位置的回答。**猜一猜**哪些会变：有因果掩码时，没有掩码时，以及改动的是*源句*的一个字母时。

# %%
source = torch.tensor([task.source.encode(text)])  # (1, S)
target = torch.tensor([[task.target.id_of(BOS), *task.target.encode(line)]])  # (1, T)
other_source, other_target = source.clone(), target.clone()
(letter,) = task.target.encode("t" if "t" not in text else "s")
other_source[0, 3] = letter
other_target[0, 4] = letter  # place 0 is <bos>


def without_mask(source, target):
    """The same decoder, but every place sees every other."""
    memory, _ = model.encode(source)
    places = torch.arange(target.shape[1])
    y = model.placed(target, places, model.target_positions)
    for layer in model.transformer.decoder.layers:
        y = layer(y, memory)
    return model.logits(model.transformer.decoder.norm(y))


with torch.no_grad():
    for name, rule, changed in (
        ("causal, another target letter at 4", model, (source, other_target)),
        ("no mask, another target letter at 4", without_mask, (source, other_target)),
        ("causal, another source letter", model, (other_source, target)),
    ):
        moved = (rule(*changed) - rule(source, target)).abs().amax(-1)[0]  # (T,)
        print(f"{name:36} answers that moved: {moved.gt(1e-5).nonzero()[:, 0].tolist()}")
    whole = model(source, target)  # (1, T, V)
    alone = torch.cat([model(source, target[:, :n])[:, -1:] for n in range(1, 8)], dim=1)
    print(
        f"all places in one call, and one call a place: differ by {(whole - alone).abs().max():.0e}"
    )

# %% [markdown]
# Nothing before the change moves. So one call gives what one call a place would give, and a line is trained at once.
#
# 改动之前的一切都不动。所以一次调用给出的，就是每个位置各调用一次所给出的；整行可以一次训练完。
#
# ## 7. Greedy and beam / 贪心与束搜索
#
# Greedy takes the likeliest letter and never looks back; a beam keeps the five likeliest beginnings. To leave something to be searched for, take the weights from
# the middle of the training. **Guess**: how often does the beam find a *likelier* line than greedy? How often a *right* one where greedy was wrong?
#
# 贪心每步取最可能的字母，从不回头；束搜索保留五个最可能的开头。为了让搜索有用武之地，这里取训练中途的权重。**猜一猜**：束搜索有多少次找到比贪心*更可能*的行？又有多少次贪心写错而它写*对*？

# %%
young = TranslationTransformer(**architecture).eval()
young.load_state_dict(halfway)
pairs = short(task, 6).data.test  # 4 to 6 letters
sixes = [pair for pair in pairs if len(pair[0].split()) == 6]
read = torch.tensor([task.source.encode(line) for line, _ in sixes])  # (B, S)
truth = torch.tensor([[*task.target.encode(line), task.target.id_of(EOS)] for _, line in sixes])
bos, eos = task.target.id_of(BOS), task.target.id_of(EOS)


def log_probability(lines):
    """Of each line (B, T), under the network: the sum over its tokens, <eos> included."""
    begun = torch.cat([torch.full((len(lines), 1), bos), lines[:, :-1]], dim=1)
    each = young(read, begun).log_softmax(-1).gather(-1, lines.unsqueeze(-1))[..., 0]  # (B, T)
    return each.masked_fill(lines == young.pad, 0.0).sum(-1)


def right(lines):
    """Which lines are the true ones, letter by letter."""
    lines = nn.functional.pad(lines, (0, max(0, truth.shape[1] - lines.shape[1])))
    wanted = nn.functional.pad(truth, (0, lines.shape[1] - truth.shape[1]))
    return (lines == wanted).all(-1)


with torch.no_grad():
    plain = greedy(CachedSteps(young, read), len(read), bos, eos, 12)
    beams, scores = beam_search(CachedSteps(young, read), len(read), bos, eos, 12, beams=5)
    gain = log_probability(beams[:, 0]) - log_probability(plain)
    print(f"{len(read)} lines of 6 letters")
    print(f"right: greedy {int(right(plain).sum())}, beam of 5 {int(right(beams[:, 0]).sum())}")
    print(
        f"the beam's line is likelier in {int((gain > 1e-4).sum())} cases, "
        f"less likely in {int((gain < -1e-4).sum())}"
    )
    won, lost = right(beams[:, 0]) & ~right(plain), right(plain) & ~right(beams[:, 0])
    print(
        f"right where greedy is wrong: {int(won.sum())}; wrong where greedy is right: {int(lost.sum())}"
    )
    row = int(gain.argmax())
    print(f"\nthe largest gain, {sixes[row][0]}:  wanted {sixes[row][1]}")
    for place, (ids, score) in enumerate(
        zip(beams[row].tolist(), scores[row].tolist(), strict=True), 1
    ):
        print(f"  {place}. score {score:7.3f}  {task.target.decode(ids)}")
    print(f"  greedy         {task.target.decode(plain[row].tolist())}")

# %% [markdown]
# A likelier line is not the same as a right one: the search can only be as good as the network's opinion. Nor does a beam promise the likeliest line: its
# beginning may have been dropped, and the scores are divided by a length penalty.
#
# 更可能的行不等于正确的行：搜索再好，也好不过网络自己的判断。束搜索也不保证找到最可能的行：它的开头可能已被舍弃，而且得分还要除以长度惩罚。
#
# ## 8. With a cache, the same / 有缓存，结果相同
#
# Keys and values of the past never change, so they can be kept. **Guess**: how far apart are the logits with and without a cache? How many tokens go through the decoder for 12 written letters, each way?
#
# 过去的键与值不会再变，所以可以存起来。**猜一猜**：有缓存与无缓存的 logits 相差多少？写 12 个字母，两种方式各要让多少个词元经过解码器？

# %%
through = []
layer = model.transformer.decoder.layers[0]
watch = layer.linear1.register_forward_hook(lambda _, args, out: through.append(out.shape[1]))
tokens = torch.randint(4, task.target.vocab_size, (12,), generator=generator(0))  # any letters
answers = {}
for kind in (FullSteps, CachedSteps):
    through.clear()
    steps = kind(model, source)
    answers[kind] = torch.stack([steps.step(token[None]) for token in tokens])  # (T, 1, V)
    print(
        f"{kind.__name__:12} tokens through the decoder: {' + '.join(map(str, through))} = {sum(through)}"
    )
watch.remove()
gap = (answers[FullSteps] - answers[CachedSteps]).abs().max()
print(f"logits, cached and not: differ by {gap:.0e}")
shortened = short(task, 8)
lines = [
    translate(model, task, [s for s, _ in shortened.data.test], write=writer(model, cached=cached))
    for cached in (True, False)
]
same = sum(a == b for a, b in zip(*lines, strict=True))
print(f"whole lines, written greedily: {same} of {len(lines[0])} are the same")

# %% [markdown]
# Twelve tokens in place of $12 \cdot 13 / 2$; the gap between the two grows with the length.
#
# 12 个词元，而不是 $12 \cdot 13 / 2$ 个；行越长，差距越大。
#
# ## 9. Counting / 计数
#
# Two formulas are enough: a matrix $(a, b)$ has $ab$ weights, and takes $2ab$ operations a token. **Guess**: which part of this network has the most weights? Which one would with a vocabulary of
# 37,000 words?
#
# 两个公式就够了：矩阵 $(a, b)$ 有 $ab$ 个权重，每个词元要 $2ab$ 次运算。**猜一猜**：这个网络的哪一部分权重最多？若词表有 37,000 个词呢？

# %%
sizes = flops.Sizes(task.target.vocab_size, width=64, heads=4, encoder=2, decoder=2, ffn=128)
parts = flops.parameters(sizes)
print("by formula:", parts, "sum", f"{sum(parts.values()):,}")
print("in the network:", f"{parameter_count(model):,}")
found = summary(model, input_data=(source, target), depth=2)
operations = sum(flops.forward_flops(sizes, source.shape[1], target.shape[1]).values())
print(
    f"operations by formula: {operations:,};  twice the multiply-accumulates counted: {2 * found.macs:,}"
)
print("with 37,000 words:", flops.parameters(replace(sizes, vocabulary=37_000)))

# %% [markdown]
# Every number is right to the last digit, before a network exists: that is how a training is planned. Page 7 adds bytes.
#
# 网络还没建，每个数已经精确到个位：训练就是这样规划的。第 7 页再算字节数。
#
# ## 10. The decoder alone / 仅解码器
#
# Page 8: blocks without memory, a causal mask, and the next character as the task. `train_gpt.py` trained one on Python's help texts; here it reads a passage that it has not seen.
# **Guess**: which answers move if the last character that it reads is changed? It knows 103 characters; how many nats does a next one cost it?
#
# 第 8 页：没有记忆的块，因果掩码，任务是下一个字符。`train_gpt.py` 用 Python 的帮助文本训练了一个；这里让它读一段没见过的文字。**猜一猜**：改动读入的最后一个字符，哪些位置的回答会变？它认识 103 种字符，预测下一个要多少奈特？

# %%
shipped = Path(flops.__file__).parent / "checkpoints"
gpt, characters, _ = load_model(shipped / "topics_gpt.pth")
passage = """\
A list keeps its items in order, and each item has an index.  The first
index is zero.  If an index is negative, it counts from the end of the
list.  An item may be any object, also another list.

To add an item at the end, call the method "append()"; to remove the
last one, call "pop()".  Both change the list itself and return no new
list.  To make a new list, use a slice: its items are the same objects.
"""
ids = torch.tensor(characters.encode(passage))  # (n,)
window = ids[None, :64]  # (1, T)
other = window.clone()
(other[0, -1],) = characters.encode("z")
with torch.no_grad():
    logits = gpt(window)  # (1, T, V)
    moved = (gpt(other) - logits).abs().amax(-1)[0]  # (T,)
    alone = torch.cat([gpt(window[:, :n])[:, -1:] for n in range(1, 65)], dim=1)
confirm(moved.gt(1e-5).nonzero().tolist() == [[63]], "other answers move than the last")
confirm(torch.allclose(logits, alone, atol=1e-4), "one pass differs from one pass a place")
nats = nn.functional.cross_entropy(logits[0], ids[1:65], reduction="none")  # (T,)
print(f"logits of one pass {tuple(logits.shape)}: {len(nats)} predictions, as one pass a place")
print(f"nats a character: {nats.mean():.2f};  knowing nothing: {math.log(logits.shape[-1]):.2f}")
for t in (0, 1, 30, 60, 62):
    guessed = characters.decode([int(logits[0, t].argmax())])
    print(f"behind {passage[: t + 1][-12:]!r:14} likeliest {guessed!r}, true {passage[t + 1]!r}")

# %% [markdown]
# The last one alone: the mask makes all 64 predictions of one pass honest. But there are places for 128 characters, and the passage has more: a window has to move. **Guess**: behind the first window,
# which characters cost more if the next window begins from nothing, and which if it keeps the last 64?
#
# 只有最后一个：有了掩码，一次算出的 64 个预测都没有偷看。但位置只有 128 个，这段文字更长，窗口必须移动。**猜一猜**：第一个窗口之后，如果下一个窗口从零开始，哪些字符的代价更大？如果保留最后 64 个字符呢？

# %%
most = gpt.longest  # M
for step in (most, most // 2, most // 8):
    print(f"the window moves by {step:3}: {nats_per_token(gpt, ids, step):.3f} nats a character")
begun = ids[None, :100]
written = write(gpt, begun, 100, temperature=0)  # greedy; the window moves once
uncached = write(gpt, begun, 100, temperature=0, cached=False)
confirm(torch.equal(written, uncached), "with a cache something else is written")
print(f"\n{passage[72:100]!r}, and then:\n{characters.decode(written[0].tolist())}")

count = 48  # characters behind the first window
true = ids[most + 1 : most + 1 + count]
figure, ax = plotting.subplots(width=9.5, height=3)
with torch.no_grad():
    for start, mark, name in ((most, "o-", "begins from nothing"), (most // 2, "^:", "keeps 64")):
        logits = gpt(ids[None, start : most + count])[0, -count:]
        nats = nn.functional.cross_entropy(logits, true, reduction="none")
        ax.plot(nats, mark, markersize=4, linewidth=1, label=f"{name}: mean {nats.mean():.2f}")
names = [passage[most + 1 + n].replace(" ", "␣").replace("\n", "↵") for n in range(count)]
ax.set_xticks(range(count), names, fontsize=8)
ax.set(xlabel="next character", ylabel="nats", title="behind the first 128 characters")
ax.legend(fontsize=8)
figure

# %% [markdown]
# The same weights, another number. Without its past a window pays for the rest of the word, and for the end of the line (↵): it does not know where the line began. And greedy writing looks like
# documentation until one reads it.
#
# 权重相同，数字不同。丢掉前文的窗口，要为没写完的词付出代价，还要为换行（↵）付出代价：它不知道这一行是从哪里开始的。贪心写出来的东西看上去像文档，直到你真的去读它。
#
# ## 11. Hidden words / 遮住的词
#
# Page 9: an encoder sees both sides, so words are hidden in its input and asked for. First the cutting of words: from the left, the longest known piece. **Guess** the pieces of the three words. Then the last of six
# tokens is changed: which states move in a GPT, in a BERT, and in a BERT that is told that the last place is padding?
#
# 第 9 页：编码器看得见两侧，所以要在输入中遮住一些词，再问那里原来是什么。先看怎样切词：从左边起，每次取词表里有的最长的一段。**猜一猜**这三个词切成什么。然后改动六个词元中的最后一个：GPT、BERT，以及被告知最后一个位置是填充的 BERT，各有哪些位置的状态会变？

# %%
tokenizer = WordPiece([*SPECIALS, "to", "token", "##ken", "##iz", "##ization", "##s"])
for word in ("tokens", "tokenizations", "tokenizer"):
    starts = [word[:n] for n in range(len(word), 0, -1) if word[:n] in tokenizer.ids]
    rest = word.removeprefix(starts[0])
    follow = [f"##{rest[:n]}" for n in range(len(rest), 0, -1) if f"##{rest[:n]}" in tokenizer.ids]
    print(f"{word}: begins {starts}, goes on {follow}, so", *tokenizer.tokens(word))
confirm(tokenizer.tokens("tokenizer") == ["[UNK]"], "a cut was tried again")

six = torch.arange(5, 11)[None]  # (1, T)
other = torch.cat([six[:, :-1], six[:, :1]], dim=1)
bert = Bert(11, width=16, heads=2, layers=2, ffn=32).eval()
small = GPT2(11, width=16, heads=2, layers=2, deviation=0.2)
padding = torch.tensor([[False] * 5 + [True]])
for name, network, wanted in (
    ("GPT", small, [5]),
    ("BERT", bert, [0, 1, 2, 3, 4, 5]),
    ("BERT, padding", partial(bert, hidden=padding), [5]),
):
    with torch.no_grad():
        moved = (network(other) - network(six)).abs().amax(-1)[0].gt(1e-6).nonzero()[:, 0].tolist()
    print(f"{name:14} places that moved: {moved}")
    confirm(moved == wanted, f"{name}: other places move than {wanted}")

# %% [markdown]
# Of the places that are asked, 80 % show `[MASK]`, 10 % another word, 10 % the true one. So how far is a word that is shown to be trusted? If the other words give it the probability $q$: to $q / (q + 1/V)$. **Guess** it for $q = 0.3$, for
# $1/V$ and for a tenth of that, with $V = 100$; then two million places are asked.
#
# 被问的位置上，80 % 放 `[MASK]`，10 % 放别的词，10 % 放原来的词。那么看见的词该信几分？若由其余的词得到它的概率是 $q$ ，答案是 $q / (q + 1/V)$ 。设 $V = 100$ ，**猜一猜** $q = 0.3$ 、 $1/V$ 以及它的十分之一时各是多少；然后问两百万个位置。

# %%
shares = torch.ones(105)
shares[:5] = 0.0  # special tokens
shares *= 0.689 / shares.sum()  # what the three words below leave
shares[5:8] = torch.tensor([0.3, 0.01, 0.001])  # q
words = torch.multinomial(shares, 2_000_000, replacement=True, generator=generator(0))
shown, targets = mask(words, 105, tokenizer.mask, generator(1), share=1.0)
for word in (5, 6, 7):
    q = float(shares[word])
    counted = float((targets[shown == word] == word).float().mean())
    print(f"q = {q:.3f}: by formula {q / (q + 1 / 100):.3f}, counted {counted:.3f}")
    confirm(abs(q / (q + 1 / 100) - counted) < 0.03, "the formula and the count differ")

print("\nthe number-pair network of page 9: the first number is")
for first, second, true in (
    ("ninety", "four hundred and one", "less"),
    ("two hundred and sixty", "two hundred and six", "greater"),
    ("seven", "seven", "equal"),
):
    found = answer(shipped / "finetune_pairs.pth", (first, second))
    print(f"{max(found, key=found.get):>8} ({max(found.values()):.3f}): {first} / {second}")
    confirm(max(found, key=found.get) == true, f"{first} is not seen to be {true}: {second}")

# %% [markdown]
# Counted it is a little more: a word that is drawn can be the true one, which the formula leaves out. The last network reads both numbers as one text of two segments, and compares them word with word.
#
# 数出来的略高一点：随机抽到的也可能正是原来的词，公式略去了这一点。最后的网络把两个数当作一段有两个片段的文本来读，逐词比较。
#
# ## 12. A picture as words / 把图像当作词
#
# Page 10: cut the picture into squares; each square is a word. **Guess**: how many words does a picture of 32 x 32 pixels become with squares of 8, and how many numbers has each? Which convolution computes the same?
#
# 第 10 页：把图像切成正方形，每个正方形是一个词。**猜一猜**：32 x 32 像素的图像，正方形边长为 8，会变成多少个词？每个词有多少个数？哪种卷积算的是同样的东西？

# %%
scene = torch.from_numpy(render(24).images[18:19])  # (B, H, W, C)
picture = scene.permute(0, 3, 1, 2) / 255.0  # (B, C, H, W)
words = patchify(picture, 8)  # (B, N, C P P)
vit = ViT(0, image_size=32, patch=8, width=32, heads=4, layers=2).eval()
with torch.no_grad():
    kernel = vit.patches.weight.view(32, 3, 8, 8)  # (D, C, P, P)
    moving = nn.functional.conv2d(picture, kernel, vit.patches.bias, stride=8)  # (B, D, 4, 4)
    gap = (moving.flatten(2).mT - vit.patches(words)).abs().max()
print(f"{tuple(picture.shape)} -> {tuple(words.shape)}; kernel {tuple(kernel.shape)}, stride 8")
print(f"convolution and matrix: differ by {gap:.0e}")
confirm(gap < 1e-4, "the convolution and the matrix differ")

figure, axes = plotting.subplots(1, 2, width=9.5, height=2.8, width_ratios=[1, 3])
axes[0].imshow(scene[0], extent=(0, 32, 32, 0))
axes[0].set(title="the picture", xticks=range(0, 33, 8), yticks=range(0, 33, 8))
text = torch.ones(2, 11, 8 * 10, 3)  # two lines of eight words, with white gaps
for n, word in enumerate(words[0]):
    text[n // 8, :8, 10 * (n % 8) :][:, :8] = word.view(3, 8, 8).permute(1, 2, 0)
    axes[1].text(10 * (n % 8) + 3.5, 11 * (n // 8) + 9.3, n, ha="center", va="center", fontsize=8)
axes[1].imshow(text.flatten(0, 1))
axes[1].set_title("the text: patches 0 to 15")
axes[1].axis("off")
figure

# %% [markdown]
# Two patches are exchanged, 5 and 10. **Guess** whether the class token notices: without places, and with them. Then rollout by hand, with page 10's two layers of two tokens: $A_1 = \begin{pmatrix} 0.5&0.5\cr 0&1 \end{pmatrix}$,
# $A_2 = \begin{pmatrix} 0&1\cr 1&0 \end{pmatrix}$. **Guess**: does the order of the two layers matter?
#
# 交换 5 号与 10 号图块。**猜一猜**类别词元会不会察觉：没有位置时，有位置时。然后手算注意力展开，用第 10 页的两层、两个词元： $A_1 = \begin{pmatrix} 0.5&0.5\cr 0&1 \end{pmatrix}$ ， $A_2 = \begin{pmatrix} 0&1\cr 1&0 \end{pmatrix}$ 。**猜一猜**：两层的先后有没有关系？

# %%
other = picture.clone()
other[..., 8:16, 8:16], other[..., 16:24, 16:24] = (
    picture[..., 16:24, 16:24],
    picture[..., 8:16, 8:16],
)
print("patches that changed:", (patchify(other, 8) != words).any(-1)[0].nonzero()[:, 0].tolist())
nn.init.normal_(vit.class_token, generator=generator(2))
for name, size in (("without places", 0.0), ("with places", 1.0)):
    nn.init.normal_(vit.positions, std=size, generator=generator(3))
    with torch.no_grad():
        gap = (vit(other) - vit(picture)).abs().max()
    print(f"{name:14} the class token moves by {gap:.0e}")
    confirm((gap > 1e-4) == (size > 0), "the class token should move with places, and not without")

a1, a2 = torch.tensor([[0.5, 0.5], [0, 1]]), torch.tensor([[0.0, 1], [1, 0]])
by_hand = (a2 + torch.eye(2)) / 2 @ ((a1 + torch.eye(2)) / 2)
found = rollout([a1[None, None], a2[None, None]])[0]  # (B, h, T, T) each -> (T, T)
confirm(torch.equal(found, by_hand), "rollout and the product by hand differ")
print("rollout:", by_hand.tolist())
print("layers exchanged:", rollout([a2[None, None], a1[None, None]])[0].tolist())

# %% [markdown]
# Without places a picture is a bag of patches. And row 0 of the rollout, what the class token could have come from, depends on the order: a matrix product does.
#
# 没有位置，图像只是一袋图块。展开的第 0 行说明类别词元可能来自哪里，它取决于层的先后，因为矩阵乘积取决于次序。
#
# ## 13. Induction by hand / 手工设定的归纳
#
# Page 11: two layers of one head each, weights set by hand. Layer 1 looks one place back; layer 2 looks for the place *behind* an earlier occurrence of its own token, and copies what stands there. **Guess** where each place of
# A B C D A B looks in layer 2, and what the last two say. And with random tokens, each half of the text the same, how many are said right? And with the two layers exchanged?
#
# 第 11 页：两层，各一个头，权重由手工设定。第 1 层看前一个位置；第 2 层寻找自己的词元先前出现处*之后*的位置，把那里的词元抄过来。**猜一猜** A B C D A B 的每个位置在第 2 层看向哪里，最后两个位置说什么。再换成随机词元，文本的前后两半相同，能说对多少？把两层对调呢？

# %%
line = "ABCDAB"
letters = sorted(set(line))
ids = torch.tensor([[letters.index(letter) for letter in line]])  # (B, T)
kept = []
said = ByHand(len(letters), len(line))(ids, kept)[0]  # (T, V)
for t in (4, 5):
    print(f"place {t}, {line[t]}: says {letters[said[t].argmax()]}, share {said[t].max():.3f}")
confirm([letters[n] for n in said[4:].argmax(-1)] == ["B", "C"], "B and C should be said")
even = torch.ones(1, 1, 6, 6).tril() / torch.arange(1, 7)[:, None]  # looks at all alike
for name, map_ in (("layer 1", kept[0]), ("layer 2", kept[1]), ("all alike", even)):
    print(f"prefix matching, {name}: {prefix_matching(map_, ids).item():.2f}")
confirm(prefix_matching(kept[1], ids) > 0.99, "layer 2 looks elsewhere")

half = torch.randperm(50, generator=generator(0))[:20]
long = torch.cat([half, half])[None]  # (1, 40)
network = ByHand(50, 40)
for name in ("as they are", "exchanged"):
    right = (network(long)[0, 20:-1].argmax(-1) == long[0, 21:]).sum()
    print(f"layers {name}: {right} of 19 said right")
    confirm((right == 19) == (name == "as they are"), "only layers in this order should be right")
    network.layers = network.layers[::-1]

figure, axes = plotting.subplots(1, 3, width=9.5, height=3.3)
tables = (kept[0][0, 0], kept[1][0, 0], said)
titles = ("layer 1: weights", "layer 2: weights", "said next: shares")
for ax, table, title, names in zip(axes, tables, titles, (line, line, letters), strict=True):
    ax.imshow(table, cmap="Greys", vmin=0, vmax=2)
    ax.set_title(title)
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(line)), line)
    ax.grid(False)
    for t, s in table.gt(0.005).nonzero().tolist():
        ax.text(s, t, f"{table[t, s]:.2f}", ha="center", va="center", fontsize=7)
axes[0].set(xlabel="read", ylabel="place that looks")
figure

# %% [markdown]
# The second A finds the B behind the first, whatever A and B are: nothing was trained. The other way round it fails: keys that do not yet hold the token before cannot be matched.
#
# 第二个 A 找到第一个 A 之后的 B，不管 A、B 是什么：这里什么也没有训练。对调就不行了：键里还没有前一个词元，就无从匹配。
#
# ## 14. Your turn / 轮到你了
#
# Predict first, then change a cell and run it.
#
# 1. Section 4: give the network `positions="none"`. Which tokens can it still get right, and what do the maps of section 5 look like? Then `"alibi"`: what about 7 letters?
# 2. Section 4: take `load_data("sort", most=6, lines=4_000)`. Where do the heads look now, and does 7 letters break as before?
# 3. Section 3: scale every matrix of the 24 layers by 2. Which of the two curves changes more, and why does post-norm's stream not change?
# 4. Section 13: take a line in which a letter stands three times, each time with another one behind it. Where does layer 2 look, and what is said?
#
# Then do the exercises (`chapter_08_transformer_vanilla/exercises/exercises.py`, checked by
# `python -m course check 8`).
#
# 先预测，再修改单元格运行。
#
# 1. 第 4 节：给网络 `positions="none"`。哪些词元它仍能写对？第 5 节的图会变成什么样？再试 `"alibi"`：7 个字母的结果如何？
# 2. 第 4 节：改用 `load_data("sort", most=6, lines=4_000)`。各个头现在看向哪里？7 个字母还会像之前那样出错吗？
# 3. 第 3 节：把 24 层的每个矩阵都乘以 2。两条曲线中哪一条变得更多？后置归一化的残差流为什么不变？
# 4. 第 13 节：换一行文本，让某个字母出现三次，每次后面的字母都不同。第 2 层看向哪里？说的是什么？
#
# 然后做练习（`chapter_08_transformer_vanilla/exercises/exercises.py`，用 `python -m course check 8` 检查）。
