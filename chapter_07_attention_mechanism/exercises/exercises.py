"""Exercises of chapter 7: scores, heads, temperature, one step, masks, a pointer, a gate, a slope.

Replace each `raise NotImplementedError` by your own code, in any order; they grow harder. Then

    python -m course check 7

says which ones are solved and, in words, what is wrong with the others (add a name for a single
one, --lang zh for Chinese). The hints get stronger from the first to the third: read one, try
again. `solutions.py` is there for afterwards.

Write with tensor operations. What the chapter has in its lessons (`masks.py`, `scores.py`,
`multi_head.py`, `alignment.py`, `pointer.py`, `visual_attention.py`), and what torch has ready-made
(`nn.MultiheadAttention`, `F.scaled_dot_product_attention`), is what you are asked to write, so
leave those aside.
Shapes: B batch, T queries, S places that can be looked at, D numbers at a place.
"""

import torch


def additive_score(query, key, w_query, w_key, v):
    """The score of the first attention: a small network for each pair (Bahdanau et al. 2015).

    query (B, T, Q) and key (B, S, K) need not have the same width. w_query (A, Q), w_key (A, K) and
    v (A,) have no bias. Return the scores (B, T, S), before any softmax:

        score[b, t, s] = v . tanh(W_query query[b, t] + W_key key[b, s])

    No Python loop over B, T or S: the number of operations must not depend on them. Multiply each
    query and each key with its matrix once, not once for every pair.

        Q = K = A = 1, all weights 1, v = [2], query = [[[1]]], key = [[[0], [1], [-1]]]
            ->  [[[1.5232, 1.9281, 0]]]

    Difficulty: 2/5. Minutes: 15.

    Hint 1: First both products: (B, T, A) and (B, S, A). Which two axes have to be added so that
            every query meets every key?
    Hint 2: (B, T, 1, A) + (B, 1, S, A) broadcasts to (B, T, S, A).
    Hint 3: (query @ w_query.T)[:, :, None] + (key @ w_key.T)[:, None]; then tanh, and @ v takes the
            last axis away.
    """
    raise NotImplementedError


def in_heads(attend, query, key, value, heads):
    """Cut the width into heads, let each attend by itself, and join them (Vaswani et al. 2017).

    query (B, T, D), key (B, S, D), value (B, S, E). Head number i gets the numbers i * D / heads to
    (i + 1) * D / heads - 1 of each query and key, and in the same way its part of the E numbers of
    each value. Call once

        attend(q, k, v)    with q (B, heads, T, D / heads), k (B, heads, S, D / heads),
                           v (B, heads, S, E / heads);  it returns (B, heads, T, E / heads)

    and return (B, T, E): the results of the heads side by side, head 0 first. What comes in and
    what `attend` returns may lie in memory in any order. ValueError if heads does not divide both
    D and E.

        [[[1, 2, 3, 4], [5, 6, 7, 8]]], 2 heads
            ->  head 0 has [[1, 2], [5, 6]], head 1 has [[3, 4], [7, 8]]

    Difficulty: 2/5. Minutes: 15.

    Hint 1: Two steps: give the last axis, D, the form (heads, D / heads), then move the axis of the
            heads in front of the places.
    Hint 2: A reshape straight to (B, heads, T, d) has the right shape and the wrong numbers: it
            mixes places with heads. The way back, too, needs both steps, in the other order.
    Hint 3: x.unflatten(-1, (heads, -1)).transpose(1, 2), and back .transpose(1, 2).flatten(-2).
            .view instead of .flatten fails behind a transpose: .reshape or .contiguous() first.
    """
    raise NotImplementedError


def sharpen(weights, temperature):
    """Attention weights at another temperature, and how spread out they then are.

    weights (..., S) came out of a softmax: each row is >= 0 with the sum 1, and exactly 0 where a
    mask was; or it is all 0 (nothing to see). The scores are gone. Return (sharp, entropy):

        sharp    (..., S): softmax(scores / temperature), if weights = softmax(scores)
        entropy  (...): - sum over S of sharp * log(sharp), in nats, where 0 * log(0) = 0

    What was 0 stays exactly 0; a row of zeros stays one, with entropy 0. temperature > 0 may be
    0.001 or 1000, and there must be no nan.

        [0.5, 0.25, 0.25, 0], temperature 0.5  ->  [0.6667, 0.1667, 0.1667, 0], 0.8676
        the same, temperature 1                ->  as it was, 1.0397
        [1/8, ..., 1/8], any temperature       ->  as it was, log 8 = 2.0794: as many nats as it has

    Difficulty: 2/5. Minutes: 20.

    Hint 1: The log of a softmax is the score up to a constant; a softmax does not see constants.
    Hint 2: So softmax(log(weights) / temperature). A power, weights ** (1 / temperature), is the
            same on paper, but 0.3 ** 1000 is 0: the whole row vanishes, and 0 / 0 is nan.
    Hint 3: log(0) = -inf becomes 0 again in the softmax, but in a row of zeros nan: put 0 wherever
            weights is 0, with torch.where. torch.special.entr(p) is -p log p with entr(0) = 0.
    """
    raise NotImplementedError


def luong_step(state, states, mask, w_score, w_combine):
    """One step of Luong's decoder: score, look, and combine (Luong et al. 2015).

    state (B, H) is the decoder's new state h, states (B, S, C) what the encoder has for each word,
    mask (B, S) of bool: True at words, False at padding; each row has at least one word. w_score is
    (H, C), w_combine (A, C + H). Return (attentional, weights):

        score[b, s] = h_b . W_score states[b, s]              the "general" score
        weights     = softmax of the scores over the words     (B, S), 0 at padding
        c           = sum over s of weights[b, s] states[b, s]
        attentional = tanh(W_combine [c; h])                   (B, A), c stands first

    From `attentional`, and not from h, the word is predicted.

        H = C = A = 1, h = [[1]], states = [[[0], [log 3], [9]]], mask = [[1, 1, 0]],
        w_score = [[1]], w_combine = [[1, 0]]
            ->  weights [[0.25, 0.75, 0]], c = [[0.8240]], attentional = [[0.6772]]

    Difficulty: 2/5. Minutes: 20.

    Hint 1: h^T W is the same for all words: multiply h with the matrix first, (B, H) -> (B, C).
    Hint 2: Scores: (states * that[:, None]).sum(-1), or a product of (B, S, C) with (B, C, 1). The
            mask has to act before the softmax.
    Hint 3: scores.masked_fill(~mask, -math.inf).softmax(-1); c = (weights[:, :, None] *
            states).sum(1); then torch.cat([c, h], dim=-1) @ w_combine.T.
    """
    raise NotImplementedError


def masked_weights(scores, lengths):
    """Causal attention over texts with their padding in front, as when they are to be continued.

    scores (B, T, T): row t are the scores of query t for the keys s = 0 ... T - 1. In batch b the
    text is the *last* lengths[b] of the T places, all before it is padding; 0 <= lengths[b] <= T,
    int64. Query t may look at key s if s <= t and if s is no padding. Return the weights (B, T, T):

        the softmax over what a query may look at, exactly 0 elsewhere
        a query that may look at nothing (padding itself): a row of zeros, no nan

    At places that may not be looked at, scores may hold anything, nan and inf too. The gradient of
    the weights in scores has to be finite everywhere, and 0 at those places.

        scores all 0, T = 3, lengths [2]  ->  [[[0, 0, 0], [0, 1, 0], [0, 0.5, 0.5]]]

    Difficulty: 3/5. Minutes: 25.

    Hint 1: One boolean mask (B, T, T) from two conditions: compare torch.arange(T) with itself, and
            with T - lengths. True may stand for "may look".
    Hint 2: -inf in front of the softmax gives exactly 0; a row of -inf gives nan. *Adding* a mask
            does not remove a nan (nan - inf), and in the way back the nan of an empty row goes on
            into the scores.
    Hint 3: place = torch.arange(T); sees = (place <= place[:, None]) & (place >= (T -
            lengths)[:, None, None]). Then scores.masked_fill(~sees, -math.inf).softmax(-1), and
            once more masked_fill with 0: it stops the gradient of those places, too.
    """
    raise NotImplementedError


def pointer_step(state, memory, chosen):
    """A pointer network puts things in order: one step of its decoder (Vinyals et al. 2015).

    Its output is not a word but a place of its input. state (B, D) is the decoder's state, memory
    (B, N, D) what the encoder has for each of N things, chosen (B, N) of bool: True at those that
    have had their turn; in each row at least one is left. Return (log_p, pick, seen, after):

        log_p  (B, N): the log of softmax(memory[b, n] . state[b] / sqrt(D)) over those that are
               left, and -inf at the others
        pick   (B,) of int64: the place with the largest log_p
        seen   (B, D): memory at that place, the next input of the decoder
        after  (B, N) of bool: `chosen` with `pick` in it; `chosen` itself stays as it is

    Scores may be so large that a softmax gives 0; log_p is still finite where something is left,
    and so is its gradient.

        D = 1, state = [[1]], memory = [[[3], [1], [2]]], chosen = [[1, 0, 0]]
            ->  log_p [[-inf, -1.3133, -0.3133]], pick [2], seen [[2]], after [[1, 0, 1]]

    Difficulty: 3/5. Minutes: 25.

    Hint 1: It is attention whose weights are the answer: nothing is summed up with them.
    Hint 2: log(softmax(x)) rounds to log(0) = -inf for what is unlikely; log_softmax(x) does not.
            The mask stands in front of it, so that the rest shares out the whole probability.
    Hint 3: rows = torch.arange(B); seen = memory[rows, pick]. after = chosen.clone();
            after[rows, pick] = True.
    """
    raise NotImplementedError


def squeeze_excite(x, query, w1, b1, w2, b2):
    """Squeeze-and-excitation whose squeeze is attention (Hu et al. 2018; Cao et al. 2019).

    x (B, C, H, W) are C maps. In chapter 5 the block summed each of them up by its mean: every
    place counted the same. Here a learnt query (C,) asks each place how much it matters. w1 (R, C),
    b1 (R,), w2 (C, R), b2 (C,). Return (y, weights):

        score[b, i, j] = query . x[b, :, i, j]
        weights        = softmax of the scores over all H * W places of a picture     (B, H, W)
        z[b, c]        = sum over the places of weights[b, i, j] x[b, c, i, j]        squeeze
        g              = sigmoid(W2 relu(W1 z + b1) + b2)                             excite, (B, C)
        y              = x * g, channel by channel                                    (B, C, H, W)

    The weights are a lookup: they share out 1. The gates are not: each is between 0 and 1 by
    itself. With query = 0 it is chapter 5's block.

        B = C = R = 1, x = [[[[0, log 3]]]], query = [1], w1 = w2 = [[1]], b1 = b2 = [0]
            ->  weights [[[0.25, 0.75]]], z = [[0.8240]], g = 0.6951, y = [[[[0, 0.7636]]]]

    Difficulty: 3/5. Minutes: 25.

    Hint 1: Lay the places side by side: x.flatten(2) is (B, C, H * W). Then it is a lookup with one
            query, in which the channels of a place are both its key and its value.
    Hint 2: A softmax over two axes is a softmax over them as one: flatten first, and bring the
            weights back to (B, H, W) at the end.
    Hint 3: places = x.flatten(2); weights = (query @ places).softmax(-1), (B, H * W); z = (places *
            weights[:, None]).sum(-1). The gates broadcast as g[:, :, None, None].
    """
    raise NotImplementedError


def scores_gradient(weights, value, grad):
    """The way back through a softmax without its Jacobian, as fast kernels do it (Dao et al. 2022).

    weights (B, T, S) = softmax(scores) along S, with zeros where a mask was and rows that are all
    0; value (B, S, V); output = weights @ value, (B, T, V), and grad is the loss's gradient in that
    output. Return its gradients (d_scores (B, T, S), d_value (B, S, V)), without autograd.

    For one query the Jacobian of the softmax a = softmax(z) is

        J[i, j] = da_i / dz_j = a_i (1 if i == j else 0) - a_i a_j

    a matrix of S x S numbers; for all queries it would take B T S S. No tensor of yours may be
    larger than the largest of weights, value and grad.

        weights = [[[0.2, 0.3, 0.5]]], value = [[[1], [0], [0]]], grad = [[[1]]]
            ->  d_scores [[[0.16, -0.06, -0.1]]], d_value [[[0.2], [0.3], [0.5]]]

    Difficulty: 4/5. Minutes: 30.

    Hint 1: Two steps of the chain rule. output = weights @ value is a product of matrices: what are
            the gradients of its two factors? Then multiply that of the weights with J.
    Hint 2: With d_a the gradient in the weights: d_z_j = sum over i of d_a_i J[i, j]. Put J in and
            split the sum: a_j d_a_j - a_j * (one number that is the same for all j).
    Hint 3: d_a = grad @ value.mT, (B, T, S); d_value = weights.mT @ grad. The number is
            (weights * d_a).sum(-1, keepdim=True). (It is also (output * grad).sum(-1), which needs
            no row of S numbers: that is how FlashAttention gets it.)
    """
    raise NotImplementedError
