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
# backwards. Then we look where its heads looked, check that it cannot see the future, let it write in four ways, and count what it costs. Every cell runs in
# seconds on a laptop CPU. Before each one, **guess what you will see**.
#
# 我们先拆开一个块，把位置变成角度，看看训练之前归一化的位置有什么影响，再训练一个小 Transformer 把字母倒着写。然后看它的各个头看向哪里，检查它看不到未来，用四种方式让它书写，最后数一数代价。每个单元格在笔记本电脑的 CPU 上只需几秒。运行之前，请先**猜一猜会看到什么**。

# %%
# %matplotlib inline
import copy
from dataclasses import replace

import torch
from torch import nn

from chapter_03_optimization_regularization.schedulers import CosineWithWarmup
from chapter_03_optimization_regularization.training import fit
from chapter_06_rnn_lstm_seq.experiments.translation import translate
from chapter_06_rnn_lstm_seq.seq2seq import sequence_loss
from chapter_06_rnn_lstm_seq.tokenizer import BOS, EOS
from chapter_07_attention_mechanism.figures.attention_page import heads_figure
from chapter_08_transformer_vanilla import flops, minimal
from chapter_08_transformer_vanilla.decoding import beam_search, greedy
from chapter_08_transformer_vanilla.experiments.maps import maps_of
from chapter_08_transformer_vanilla.experiments.measures import exact_by_count
from chapter_08_transformer_vanilla.experiments.tasks import load_data, short
from chapter_08_transformer_vanilla.experiments.writing import writer
from chapter_08_transformer_vanilla.kv_cache import CachedSteps, FullSteps
from chapter_08_transformer_vanilla.layers import EncoderLayer
from chapter_08_transformer_vanilla.positions import sinusoids
from chapter_08_transformer_vanilla.training_recipe import TokenBatches
from chapter_08_transformer_vanilla.transformer import TranslationTransformer
from utils import plotting
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
# ## 10. Your turn / 轮到你了
#
# Predict first, then change a cell and run it.
#
# 1. Section 4: give the network `positions="none"`. Which tokens can it still get right, and what do the maps of section 5 look like? Then `"alibi"`: what about 7 letters?
# 2. Section 4: take `load_data("sort", most=6, lines=4_000)`. Where do the heads look now, and does 7 letters break as before?
# 3. Section 3: scale every matrix of the 24 layers by 2. Which of the two curves changes more, and why does post-norm's stream not change?
#
# Then do the exercises (`chapter_08_transformer_vanilla/exercises/exercises.py`, checked by
# `python -m course check 8`).
#
# 先预测，再修改单元格运行。
#
# 1. 第 4 节：给网络 `positions="none"`。哪些词元它仍能写对？第 5 节的图会变成什么样？再试 `"alibi"`：7 个字母的结果如何？
# 2. 第 4 节：改用 `load_data("sort", most=6, lines=4_000)`。各个头现在看向哪里？7 个字母还会像之前那样出错吗？
# 3. 第 3 节：把 24 层的每个矩阵都乘以 2。两条曲线中哪一条变得更多？后置归一化的残差流为什么不变？
#
# 然后做练习（`chapter_08_transformer_vanilla/exercises/exercises.py`，用 `python -m course check 8` 检查）。
