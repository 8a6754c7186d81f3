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
# # Chapter 6 walkthrough: a memory of one vector
# # 第 6 章导览：一个向量的记忆
#
# We follow three numbers through a recurrence by hand, push a gradient back through time, watch it vanish, and open the gates
# that keep it. Then a language model writes, we look at how its next letter is drawn, and at the length where one
# vector is no longer enough. Every cell runs in seconds on a laptop CPU. Before each one, **guess what you will see**.
#
# 我们先手算三个数走过一次循环，把梯度沿时间往回推，看它怎样消失，再打开留住它的门。然后让语言模型写字，看下一个字母怎样抽出，以及到了多长的输入，一个向量就不够用了。每个单元格在笔记本电脑的 CPU 上只需几秒。运行之前，请先**猜一猜会看到什么**。

# %%
# %matplotlib inline
import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

import chapter_06_rnn_lstm_seq as chapter
from chapter_06_rnn_lstm_seq import bptt_numpy, cells, recurrent, variable_length
from chapter_06_rnn_lstm_seq.experiments.language_models import load_model, text_after
from chapter_06_rnn_lstm_seq.language_model import CarriedLoss, LanguageModel, TextStreams
from chapter_06_rnn_lstm_seq.sampling import filter_top_k, filter_top_p, with_temperature
from chapter_06_rnn_lstm_seq.tokenizer import CharTokenizer
from utils import plotting
from utils.datasets.text import load_text
from utils.file_io_util import read_json
from utils.seed import generator, seed_everything

FOLDER = Path(chapter.__file__).parent
torch.set_num_threads(1)  # these networks are too small to share out
seed_everything(0)

# %% [markdown]
# ## 1. A recurrence by hand / 手算一次循环
#
# One unit, no bias: $h_t = \tanh(x_t + w h_{t-1})$. A single 1 comes in, then zeros. **Guess**: what is left after three steps with
# $w = 0.5$? And with $w = 2$: does the memory grow for ever?
#
# 一个单元，没有偏置：$h_t = \tanh(x_t + w h_{t-1})$。先输入一个 1，然后全是 0。**猜一猜**：$w = 0.5$ 时，三步之后还剩多少？若 $w = 2$，记忆会一直增长吗？

# %%
for w in (0.5, 1.0, 2.0):
    h, path = 0.0, []
    for x in (1.0, 0.0, 0.0, 0.0, 0.0, 0.0):
        h = math.tanh(x + w * h)
        path.append(h)
    print(f"w = {w}:", "  ".join(f"{value:.3f}" for value in path))

cell = cells.RNNCell(1, 1, bias=False).double()
cell.weight_ih.data.fill_(1.0)
cell.weight_hh.data.fill_(2.0)
state = torch.zeros(1, 1, dtype=torch.float64)
for x in (1.0, 0.0, 0.0, 0.0, 0.0, 0.0):
    state = cell(torch.tensor([[x]], dtype=torch.float64), state)
print(f"our RNNCell with w = 2 ends at {state.item():.3f}")

# %% [markdown]
# With $w = 0.5$ each step halves what is left. With $w = 2$ the state is driven to a fixed point, $h = \tanh(2h) = 0.9575$, and
# stays: it remembers *that* something came, not when, nor how large it was.
#
# $w = 0.5$ 时，每一步都把剩下的减半。$w = 2$ 时，状态被推到不动点 $h = \tanh(2h) = 0.9575$，然后停在那里：它记得*来过*东西，却不记得何时来的、有多大。
#
# ## 2. Backpropagation through time / 随时间反向传播
#
# Unrolled, the recurrence is a network of $T$ layers with the same weights. The gradient of $W_{hh}$ is a sum over the steps. By hand
# in NumPy it must equal autograd's. **Guess**: if the gradient is cut every 5 steps, is the loss another one? Is the gradient?
#
# 展开之后，循环就是一个 $T$ 层、各层权重相同的网络。$W_{hh}$ 的梯度是各步之和。用 NumPy 手写的结果必须与 autograd 相等。**猜一猜**：若每 5 步截断一次梯度，损失会变吗？梯度呢？

# %%
rng = np.random.default_rng(0)
T, B, D, H, K = 40, 4, 3, 8, 2
weights = bptt_numpy.init_weights("rnn", D, H, K, rng)
x, target = rng.normal(size=(T, B, D)), rng.normal(size=(T, B, K))
start = bptt_numpy.zero_state("rnn", B, H)
loss, by_hand, _ = bptt_numpy.loss_and_gradients("rnn", weights, x, target, start)

rnn = nn.RNN(D, H).double()
head = nn.Linear(H, K).double()
with torch.no_grad():
    rnn.weight_ih_l0.copy_(torch.tensor(weights["weight_ih"]))
    rnn.weight_hh_l0.copy_(torch.tensor(weights["weight_hh"]))
    rnn.bias_ih_l0.copy_(torch.tensor(weights["bias"]))
    rnn.bias_hh_l0.zero_()
    head.weight.copy_(torch.tensor(weights["weight_out"]))
    head.bias.copy_(torch.tensor(weights["bias_out"]))
output = head(rnn(torch.tensor(x))[0])
nn.functional.mse_loss(output, torch.tensor(target)).backward()
gap = np.abs(by_hand["weight_hh"] - rnn.weight_hh_l0.grad.numpy()).max()
print(f"loss {loss:.6f}; largest difference of dW_hh by hand and by autograd: {gap:.1e}\n")
for k in (1, 5, 20, 40):
    part, cut, _ = bptt_numpy.truncated_gradients("rnn", weights, x, target, start, k)
    error, cosine = bptt_numpy.difference(cut, by_hand)
    print(
        f"cut every {k:2} steps: loss {part:.6f}, gradient off by {error:.1%}, cosine {cosine:.4f}"
    )

# %% [markdown]
# The states are carried over the cut, so the loss is the same to the last digit. The gradient is not: what lies further back
# than the cut is never blamed. For a language model that is a bargain, because memory and work no longer grow with the text.
#
# 状态越过截断处继续传递，所以损失分毫不差。梯度则不同：比截断处更早的原因永远得不到梯度。对语言模型来说这很划算，因为内存和计算量不再随文本增长。
#
# ## 3. The gradient vanishes / 梯度消失
#
# How strongly does a state act on a later one? $\partial h_T / \partial h_t$ is a product of $T - t$ Jacobians. We send one random
# direction back through 100 steps, and look at its length. **Guess** the shape of the curve for an RNN whose
# $W_{hh}$ is 0.8, 1 or 1.3 times an orthogonal matrix, and for the LSTM's cell with forget biases 0, 1 and 4.
#
# 一个状态对后来的状态影响多大？$\partial h_T / \partial h_t$ 是 $T - t$ 个雅可比矩阵之积。我们把一个随机方向沿 100 步往回传，看它的长度。**猜一猜**曲线的形状：RNN 的 $W_{hh}$ 取正交矩阵的 0.8、1、1.3 倍；LSTM 的遗忘偏置取 0、1、4。


# %%
def lengths_back(step, state, inputs):
    """|gradient| that a unit vector at the last state sends to each state before, last first."""
    states = [tuple(part.requires_grad_() for part in state)]
    for x in inputs:
        states.append(step(x, states[-1]))
    carrier = [parts[-1] for parts in states]  # h of the RNN, c of the LSTM
    direction = nn.functional.normalize(
        torch.randn(carrier[-1].shape, generator=generator(1)), dim=1
    )
    slopes = torch.autograd.grad((carrier[-1] * direction).sum(), carrier[:-1])
    return [slope.norm(dim=1).mean().item() for slope in reversed(slopes)]


STEPS, SIZE = 100, 64
inputs = 0.1 * torch.randn(STEPS, 8, SIZE, generator=generator(0))
figure, axes = plotting.subplots(1, 2, width=10, height=3.4, sharey=True)
basis = nn.init.orthogonal_(torch.empty(SIZE, SIZE), generator=generator(2))
for gain, style in ((1.3, "-"), (1.0, "--"), (0.8, ":")):
    w = {"weight_ih": torch.eye(SIZE), "weight_hh": gain * basis, "bias_ih": None, "bias_hh": None}
    back = lengths_back(lambda x, s, w=w: cells.rnn_step(x, s, w), (torch.zeros(8, SIZE),), inputs)
    axes[0].semilogy(range(1, STEPS + 1), back, style, label=f"RNN, {gain} x orthogonal")
for bias, style in ((4.0, "-"), (1.0, "--"), (0.0, ":")):
    lstm = cells.LSTMCell(SIZE, SIZE)
    lstm.load_state_dict({k: 0 * v for k, v in lstm.state_dict().items()})
    lstm.weight_ih.data.normal_(std=0.1, generator=generator(3))
    lstm.weight_hh.data.normal_(std=0.005, generator=generator(4))
    lstm.bias_ih.data[SIZE : 2 * SIZE] = bias
    zeros = (torch.zeros(8, SIZE), torch.zeros(8, SIZE))
    w = lstm.weights()
    back = lengths_back(lambda x, s, w=w: cells.lstm_step(x, s, w), zeros, inputs)
    axes[1].semilogy(range(1, STEPS + 1), back, style, label=f"LSTM, forget bias {bias:g}")
for ax in axes:
    ax.set_xlabel("steps back in time")
    ax.set_ylim(1e-12, 100)
    ax.legend(fontsize=8)
axes[0].set_ylabel("length of the gradient")
figure

# %% [markdown]
# Straight lines on a logarithmic axis: the gradient changes by a *factor* a step. The RNN is at the mercy of one number, and
# tanh takes its share of it: even the orthogonal matrix loses some per cent a step. While an LSTM's recurrent weights are small,
# the factor of its cell is the forget gate itself, $\sigma(b)$ at the start: 0.5, 0.73, 0.98. The bias is a time constant:
# about 1.4, 3.2 and 55 steps until $1/e$ is left.
#
# 对数坐标上的直线：梯度每一步乘上一个*因子*。RNN 全凭一个数，而 tanh 还要扣掉一份：即使是正交矩阵，每步也会损失百分之几。只要 LSTM 的循环权重还小，单元状态的这个因子就是遗忘门本身，开始时为 $\sigma(b)$：0.5、0.73、0.98。偏置就是时间常数：大约 1.4、3.2、55 步之后剩下 $1/e$。
#
# ## 4. One step of an LSTM / LSTM 的一步
#
# Four numbers are computed from $x_t$ and $h_{t-1}$; three of them are gates. Here they are for one unit that keeps its
# content, then reads, then forgets. Then the same for whole layers, beside PyTorch's, **gradients included**.
#
# 由 $x_t$ 和 $h_{t-1}$ 算出四个数，其中三个是门。下面是一个单元：先保持内容，再读出，再忘掉。然后用整层与 PyTorch 相比，**包括梯度**。

# %%
c = 0.0
print("  i     f     g     o   |   c      h")
for i, f, g, o in [(1, 0, 0.9, 0), (0, 1, 0.5, 0), (0, 1, -0.7, 1), (0, 0, 0.3, 1)]:
    c = f * c + i * g
    print(f"{i:4.1f}  {f:4.1f}  {g:4.1f}  {o:4.1f}  | {c:5.2f}  {o * math.tanh(c):5.2f}")

torchs = nn.LSTM(5, 7, num_layers=2, bidirectional=True).double()
x = torch.randn(9, 3, 5, dtype=torch.float64, generator=generator(0))
right = torchs(x)[0]
slopes = torch.autograd.grad(right.square().sum(), list(torchs.parameters()))
for form in recurrent.FORMS:
    ours = recurrent.LSTM(5, 7, num_layers=2, bidirectional=True, form=form).double()
    ours.load_state_dict(torchs.state_dict(), strict=True)
    result = ours(x)[0]
    gradients = torch.autograd.grad(result.square().sum(), list(ours.parameters()))
    gap = max((a - b).abs().max().item() for a, b in zip(gradients, slopes, strict=True))
    difference = (result - right).abs().max().item()
    print(f'form="{form}": values differ by {difference:.0e}, gradients by {gap:.0e}')

# %% [markdown]
# ## 5. Sequences of different lengths / 不等长的序列
#
# Three names in one batch, filled up with zeros. **Guess**: does a GRU that reads the padding end in another state than one that
# does not? And the first direction of a bidirectional one, and the second?
#
# 三个名字放进一个批次，用零补齐。**猜一猜**：把填充也读进去的 GRU，最后的状态会不同吗？双向 GRU 的第一个方向呢，第二个方向呢？

# %%
gru = recurrent.GRU(4, 6, bidirectional=True).double()
sequences = [torch.randn(n, 4, dtype=torch.float64, generator=generator(n)) for n in (5, 3, 2)]
lengths = [len(sequence) for sequence in sequences]
padded = variable_length.pad_sequence(sequences)  # (T, B, D)
packed = variable_length.pack_padded_sequence(padded, lengths)
print("sequences still going on at each step:", packed.batch_sizes.tolist())
_, naive = gru(padded)
_, right = gru(packed)
for row, sequence in enumerate(sequences):
    _, alone = gru(sequence)  # (2, H)
    for name, states in (("padding read", naive), ("packed", right)):
        gaps = (states[:, row] - alone).abs().amax(dim=1).tolist()
        print(
            f"length {len(sequence)}, {name:12}: forward off by {gaps[0]:.2f}, backward {gaps[1]:.2f}"
        )

# %% [markdown]
# Zeros are an input like any other: the gates go on working on them, and the backward direction *begins* with them. Packed,
# each sequence has the states that it would have alone.
#
# 零也是输入：各个门照样作用于它，而反向的那个方向一*开头*读到的就是它。打包之后，每个序列的状态都与它单独处理时相同。
#
# ## 6. A model of the next letter / 下一个字母的模型
#
# The text is Python's own documentation. If the chapter's weights are there, they are loaded; else a small LSTM is trained for some
# seconds, and writes accordingly. **Guess** what comes out at temperatures 0, 0.7 and 1.5.
#
# 文本是 Python 自己的文档。若本章的权重在，就载入；否则花几秒训练一个小 LSTM，写出来的自然也差一些。**猜一猜**：温度取 0、0.7、1.5 时会写出什么？

# %%
text = load_text("topics")


def small_model(steps=120):
    """An LSTM of 96 units after so many updates of 32 streams x 32 characters."""
    tokenizer = CharTokenizer.train(text.train)
    model = LanguageModel(tokenizer.vocab_size, "lstm", hidden_size=96)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batches = TextStreams(torch.tensor(tokenizer.encode(text.train)), streams=32, seq_len=32)
    loss_fn = CarriedLoss()
    for _, batch in zip(range(steps), batches, strict=False):
        loss, _ = loss_fn(model, batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval(), tokenizer, {"dataset": "topics", "note": f"{steps} updates"}


shipped = FOLDER / "checkpoints" / "topics_lstm.pth"
model, tokenizer, facts = load_model(shipped) if shipped.is_file() else small_model()
print("trained on:", facts["dataset"], facts.get("note", "(the chapter's weights)"), "\n")
for temperature in (0, 0.7, 1.5):
    written = text_after(
        model, tokenizer, "The ", 160, temperature=temperature, generator=generator(2)
    )
    print(f"--- temperature {temperature}\n{written}\n")

# %% [markdown]
# Temperature 0 always takes the likeliest letter, and soon goes round in a circle. At 1.5 the long tail of unlikely letters
# takes over. In between it looks like documentation, until one reads it.
#
# 温度为 0 时总取最可能的字母，很快就开始兜圈子。温度为 1.5 时，长尾上那些不大可能的字母占了上风。介于其间时看上去像文档，直到你真的去读它。
#
# ## 7. How surprised is it? / 它有多意外？
#
# Bits per character is the mean of $-\log_2 p$ over the text. Here is each letter's share in a sentence. **Guess** where the peaks are.
#
# 每字符比特数就是 $-\log_2 p$ 在文本上的平均。下面是一句话中每个字母的份额。**猜一猜**高峰在哪里。

# %%
sentence = "The value of the expression is evaluated before the function is called."
ids = torch.tensor(tokenizer.encode(sentence))
with torch.no_grad():
    logits, _ = model(ids[None, :-1])  # (1, T - 1, V)
bits = -logits[0].log_softmax(-1).gather(1, ids[1:, None])[:, 0] / math.log(2)
figure, ax = plotting.subplots(width=10, height=2.6)
ax.bar(range(1, len(sentence)), bits)
ax.set_xticks(range(len(sentence)), list(sentence), family="monospace", fontsize=8)
ax.set_ylabel("bits")
ax.set_title(f"mean {bits.mean():.2f} bits per character")
figure

# %% [markdown]
# The first letters of a word are expensive, the rest gets cheaper once the word is clear. Page 5 compares with n-gram
# models, which see only the last few letters.
#
# 一个词的头几个字母代价高，等到词已经明朗，其余的就便宜了。第 5 页把它与只看最后几个字母的 n 元模型作比较。
#
# ## 8. Drawing the next letter / 抽出下一个字母
#
# After "The val" the model has an opinion on all letters. Three ways to cut its tail. **Guess** which one keeps the number of candidates
# fixed, and which one lets it depend on how sure the model is.
#
# 在 "The val" 之后，模型对所有字母都有看法。截掉尾巴有三种办法。**猜一猜**：哪一种使候选个数固定，哪一种让个数取决于模型有多大把握？

# %%
figure, axes = plotting.subplots(1, 2, width=10, height=3, sharey=True)
for ax, prompt in zip(axes, ("The val", "The value of the "), strict=True):
    with torch.no_grad():
        last = model(torch.tensor([tokenizer.encode(prompt)]))[0][0, -1]  # (V,)
    top = last.argsort(descending=True)[:12]
    kinds = {
        "as it is": last,
        "temperature 0.5": with_temperature(last, 0.5),
        "top-k, k = 5": filter_top_k(last, 5),
        "top-p, p = 0.8": filter_top_p(last, 0.8),
    }
    for number, (name, scores) in enumerate(kinds.items()):
        shares = scores.softmax(-1)[top]
        hatch = ["", "//", "..", "xx"][number]
        ax.bar(np.arange(12) + 0.2 * number - 0.3, shares, 0.2, label=name, hatch=hatch)
        print(f"{prompt!r}, {name}: {int((scores.softmax(-1) > 0).sum())} letters can be drawn")
    letters = [tokenizer.decode([int(t)]) for t in top]
    ax.set_xticks(range(12), ["space" if x == " " else repr(x)[1:-1] for x in letters], fontsize=8)
    ax.set_title(f'after "{prompt}"')
axes[0].set_ylabel("probability")
axes[1].legend(fontsize=8)
figure

# %% [markdown]
# ## 9. One vector is not enough / 一个向量不够用
#
# An encoder reads a line of number words into *one* vector, a decoder writes them in another language. The numbers of the test were
# never seen in training. **Guess**: if one number a line succeeds nearly always, what about six? (The published result of
# `train_seq2seq.py`.)
#
# 编码器把一行数字词读成*一个*向量，解码器用另一种语言写出来。测试用的数字在训练中从未出现。**猜一猜**：若一行一个数字几乎总是对的，六个呢？（`train_seq2seq.py` 的发布结果。）

# %%
published = FOLDER / "results" / "seq2seq_numbers.json"
if published.is_file():
    rows = read_json(published)["metrics"]["test"]
    figure, ax = plotting.subplots(width=6, height=3)
    counts = sorted(rows, key=int)
    means = [rows[count]["exact_percent"][0] for count in counts]
    ax.errorbar(
        [int(count) for count in counts],
        means,
        yerr=[rows[count]["exact_percent"][1] for count in counts],
        marker="o",
        capsize=3,
    )
    ax.set_xlabel("numbers in the line")
    ax.set_ylabel("lines entirely right (%)")
    for count, mean in zip(counts, means, strict=True):
        print(f"{count} numbers: {mean:.1f} % of the lines right")
else:
    figure = None
    print("not published yet: python chapter_06_rnn_lstm_seq/train_seq2seq.py")
figure

# %% [markdown]
# The network that writes one number right cannot hold six: the vector is as long for six as for one. Chapter 7 lets the decoder look
# back at every word.
#
# 一个数字能写对的网络装不下六个：不论一个还是六个，向量都一样长。第 7 章让解码器回头看每一个词。
#
# ## 10. Your turn / 轮到你了
#
# Predict first, then change a cell and run it.
#
# 1. Section 1: with $w = -2$? And with a second 1 at the fourth step?
# 2. Section 2: cut a sequence of 400 steps. Does the gradient of a cut at 20 get worse with the length?
# 3. Section 3: inputs of 1 instead of 0.1 (tanh saturates). Which curves fall faster, and why not the LSTM's?
# 4. Section 5: unequal lengths that do not descend. Which argument of `pack_padded_sequence` do you need?
# 5. Section 7: a sentence of your own with a rare word in it, then twice the same sentence in a row.
# 6. Section 8: find a prompt for which top-p with $p = 0.8$ keeps more than 20 letters.
#
# Then do the exercises (`chapter_06_rnn_lstm_seq/exercises/exercises.py`, checked by
# `python -m course check 6`).
#
# 先预测，再修改单元格运行。
#
# 1. 第 1 节：$w = -2$ 会怎样？若第四步再来一个 1 呢？
# 2. 第 2 节：把序列加长到 400 步。每 20 步截断一次的梯度会随长度变差吗？
# 3. 第 3 节：把输入从 0.1 换成 1（tanh 饱和）。哪些曲线降得更快，为什么 LSTM 的不是？
# 4. 第 5 节：长度不相等、也不从大到小排列。需要 `pack_padded_sequence` 的哪个参数？
# 5. 第 7 节：换成你自己的一句话，其中有一个生僻词；再把同一句话连写两遍。
# 6. 第 8 节：找一个前文，使 $p = 0.8$ 的 top-p 留下 20 个以上的字母。
#
# 然后做练习（`chapter_06_rnn_lstm_seq/exercises/exercises.py`，用 `python -m course check 6` 检查）。
