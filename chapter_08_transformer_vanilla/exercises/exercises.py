"""Exercises of chapter 8: positions, a block, a loss, beams, a size, patches, weights, a cache.

Replace each `raise NotImplementedError` by your own code, in any order; they grow harder. Then

    python -m course check 8

says which ones are solved and, in words, what is wrong with the others (add a name for a single
one, --lang zh for Chinese). The hints get stronger from the first to the third: read one, try
again. `solutions.py` is there for afterwards.

Write with tensor operations. What the chapter has in its lessons (`positions.py`, `layers.py`,
`decoding.py`, `flops.py`, `kv_cache.py`, `gpt2.py`, `vit.py`), and what torch has ready-made
(`F.layer_norm`, `F.cross_entropy`, `F.conv2d`, `F.unfold`, `F.pixel_unshuffle`), is what you are
asked to write, so leave those aside.
Shapes: B batch, T places, D width, F width of the feed-forward, V tokens, M the most places.
"""

import torch


def shift_positions(p, n):
    """Sinusoidal positions, n places further, by one linear map (Vaswani et al. 2017).

    p (..., D), D even: each row is the position of some place t, which you are not told:

        p[2 i] = sin(w_i t),   p[2 i + 1] = cos(w_i t),   w_i = 10000 ** (-2 i / D)

    Return (..., D): the rows of the places t + n. n is an int, also below 0. The map is one matrix
    for all t, so a sum of positions has to go to the sum of the shifted ones. Keep the dtype.

        D = 2, p = [0, 1] (t = 0), n = 1   ->  [0.8415, 0.5403], the sine and cosine of 1
        the same, n = -1                   ->  [-0.8415, 0.5403]

    Difficulty: 2/5. Minutes: 15.

    Hint 1: sin(a + b) = sin a cos b + cos a sin b, cos(a + b) = cos a cos b - sin a sin b. What are
            a and b here, and which of the four numbers stand in p?
    Hint 2: p[..., 0::2] are all sines, p[..., 1::2] all cosines, (..., D / 2) each; the angle of
            pair i is n w_i, and w is torch.arange(0, D, 2) put into the formula.
    Hint 3: With c = cos(n w), s = sin(n w): the sines become sin * c + cos * s, the cosines
            cos * c - sin * s. torch.stack([...], dim=-1).flatten(-2) lays them in pairs again.
    """
    raise NotImplementedError


def residual_block(x, sublayers, gains, biases, pre, eps=1e-5):
    """A block of K sublayers with its norms, on the stream or beside it (Xiong et al. 2020).

    x (B, T, D). sublayers: a list of K functions from (B, T, D) to (B, T, D), to be called once
    each, in order. gains and biases (K, D): row k belongs to the norm of sublayer k:

        norm_k(x) = gains[k] * (x - mean) / sqrt(variance + eps) + biases[k]

    with mean and variance over the D numbers of each place (the variance divides by D). Return
    (B, T, D):

        pre = False    x <- norm_k(x + sublayer_k(x))       for k = 0, 1, ..., K - 1
        pre = True     x <- x + sublayer_k(norm_k(x))

    There is no last norm. x itself stays as it is.

        x = [[[1, 3]]], one sublayer that doubles, gain 1, bias 0, eps = 0
            pre = False  ->  [[[-1, 1]]]        pre = True  ->  [[[-1, 5]]]

    Difficulty: 2/5. Minutes: 15.

    Hint 1: Write norm(x, k) first and test it: each row of norm(x, k) has mean 0 and variance 1
            where the gain is 1 and the bias 0.
    Hint 2: In pre-norm what runs through, x, is never normed: only what the sublayer reads is.
    Hint 3: x.mean(-1, keepdim=True), and x.var(-1, keepdim=True, unbiased=False); eps is added
            inside the root. Then a loop over enumerate(sublayers) with the two lines above.
    """
    raise NotImplementedError


def smoothed_loss(logits, target, epsilon, pad):
    """Cross-entropy with label smoothing, over real tokens alone (Szegedy et al. 2016).

    logits (B, T, V), target (B, T) of int64; where target is `pad` there is no token. 0 <= epsilon
    < 1. What is aimed at is no longer one token: q = (1 - epsilon) at the target, and epsilon / V
    added at each of the V tokens (the target and `pad` among them). Return one number:

        - sum over v of q[v] log p[v], p = softmax of the logits, as a mean over all real tokens

    of the batch: each counts the same, whatever row it stands in. Without any real token: 0, and
    the gradient is 0, too. Logits may differ by thousands.

        V = 2, logits [[[0, log 3], [9, 0]]], target [[1, 0]], pad = 0
            epsilon = 0    ->  0.2877, - log of 3/4
            epsilon = 0.5  ->  0.5623, 0.75 of that and 0.25 of - log of 1/4

    Difficulty: 2/5. Minutes: 20.

    Hint 1: Two parts: (1 - epsilon) times - log p of the target, and epsilon times the mean of
            - log p over all V tokens.
    Hint 2: log_softmax once; `gather` takes the target's entry. Then a mask of the real tokens:
            what is divided by is their number, not B * T.
    Hint 3: nats = -(1 - epsilon) * log_p.gather(-1, target[..., None])[..., 0] - epsilon *
            log_p.mean(-1), (B, T); (nats * real).sum() / real.sum().clamp(min=1).
    """
    raise NotImplementedError


def rank_lines(log_p, lengths, running, longest, alpha):
    """The end of a beam search: scores with a length penalty, and may it stop? (Wu et al. 2016)

    log_p (N,): the log-probabilities of N lines that have ended, lengths (N,): their tokens, <eos>
    counted. running (K,): those of K beginnings that could still go on; K may be 0. No line can
    have more than `longest` tokens; alpha >= 0. Return (scores, best, stop):

        scores  (N,): log_p / lp(length), with lp(n) = ((5 + n) / 6) ** alpha
        best    int: which of the N has the highest score
        stop    bool: no beginning can end with a score *above* the best one, whatever comes

    Each token more makes a log-probability smaller or leaves it; it is never above 0.

        log_p = [-2, -3], lengths = [1, 7], alpha = 1  ->  scores [-2, -1.5], best 1
            running = [-4], longest = 19  ->  stop False: -4 / lp(19) = -1 is possible
            running = [-6], longest = 19  ->  stop True:  -6 / 4 = -1.5 is not above -1.5

    Difficulty: 3/5. Minutes: 20.

    Hint 1: `stop` asks for the best that could happen to a beginning: which probability would its
            next tokens have, and how long would it get?
    Hint 2: At best all further tokens have the probability 1: the sum stays. A negative number
            comes nearest to 0 by the largest divisor, that is by the longest line.
    Hint 3: bound = running / lp(longest); stop = K == 0 or bound.max() <= scores.max(). Turn a
            tensor into an int or a bool with int(...) and bool(...).
    """
    raise NotImplementedError


def widest(budget, vocabulary, layers, longest, heads):
    """The widest GPT-2 that has at most `budget` parameters.

    It has V = vocabulary, L = layers, M = longest, h = heads, width D and F = 4 D, as in page 8:

        a table of tokens (V, D), which is the output's, too, and one of places (M, D)
        L blocks: query, key, value and output (D, D) each; a feed-forward D -> F -> D; two norms
        a norm behind the last block

    All linear maps of the blocks have a bias; a norm has a gain and a bias; the output has none.
    Return (D, parameters), two ints: the largest multiple of h whose network has at most `budget`
    parameters, and how many it has. ValueError if D = h is too many already. budget may have
    25 digits: D is not found by counting up one by one from h.

        vocabulary 50257, layers 12, longest 1024, heads 12, budget 124_439_808
            ->  (768, 124439808): GPT-2's smallest

    Difficulty: 3/5. Minutes: 20.

    Hint 1: Write down the parameters of one block as a D^2 + b D, then the network's.
    Hint 2: A block has 12 D^2 + 13 D: (4 + 8) D^2 in the matrices, (4 + 5) D in biases, 4 D in its
            norms. The rest is (V + M + 2) D. What is left is an inequality of second degree.
    Hint 3: The count grows with D: halve an interval of multiples of h until it is one wide (or
            take the root of the quadratic, and mend its rounding with ints).
    """
    raise NotImplementedError


def patch_tokens(pictures, weight, bias, first, positions):
    """A picture as a sequence of tokens, as vision transformers read it (Dosovitskiy et al. 2021).

    pictures (B, C, H, W) are cut into patches of P x P, row by row of the grid: N = (H / P) (W / P)
    of them, from left to right and from top to bottom. weight (D, C, P, P) and bias (D,) are those
    of a convolution with kernel and stride P. first (D,): the class token; positions (1 + N, D).
    Return (B, 1 + N, D): in each row

        place 0        first + positions[0]
        place 1 + n    sum over c, i, j of weight[:, c, i, j] patch_n[c, i, j], + bias
                       + positions[1 + n]

    ValueError if P does not divide both H and W. No loop over patches, and no convolution: it is
    one product of matrices.

        B = C = D = P = 1, pictures [[[[1, 2], [3, 4]]]], weight [[[[10]]]], bias [0], first [7],
        positions all 0  ->  [[[7], [10], [20], [30], [40]]]

    Difficulty: 3/5. Minutes: 20.

    Hint 1: Each of H and W is two axes: which patch, and where in it. Split them, move the axes,
            and join: (B, C, H/P, P, W/P, P) -> (B, H/P, W/P, C, P, P) -> (B, N, C P P).
    Hint 2: A reshape straight to (B, N, C P P) has the right shape and the wrong numbers. The order
            inside a patch has to be that of weight.flatten(1).
    Hint 3: x.unflatten(3, (-1, P)).unflatten(2, (-1, P)).permute(0, 2, 4, 1, 3, 5).flatten(3)
            .flatten(1, 2) @ weight.flatten(1).T + bias; then torch.cat with first.expand(B, 1, D).
    """
    raise NotImplementedError


def from_conv1d(state, number):
    """The weights of one block of Hugging Face's GPT-2, as `layers.EncoderLayer` names them.

    state: the state dict of a GPT2LMHeadModel, names to tensors; block `number` (0 is the first)
    has those that begin with "transformer.h.{number}." and go on with

        ln_1.weight  ln_1.bias  ln_2.weight  ln_2.bias        norm before attention; before the MLP
        attn.c_attn.weight (D, 3 D)    attn.c_attn.bias (3 D)   queries, keys, values, in this order
        attn.c_proj.weight (D, D)      attn.c_proj.bias (D)     behind the heads
        mlp.c_fc.weight (D, F)         mlp.c_fc.bias (F)        D -> F
        mlp.c_proj.weight (F, D)       mlp.c_proj.bias (D)      F -> D

    Old files hold a causal mask as well, attn.bias and attn.masked_bias: they are no weights. The
    four maps are of a class Conv1D, which computes x @ weight + bias; nn.Linear computes
    x @ weight.T + bias. Return a dict of the twelve tensors that EncoderLayer.load_state_dict
    takes:

        norm1.weight  norm1.bias  norm2.weight  norm2.bias
        self_attn.in_proj_weight (3 D, D)     self_attn.in_proj_bias
        self_attn.out_proj.weight  self_attn.out_proj.bias
        linear1.weight (F, D)  linear1.bias   linear2.weight (D, F)  linear2.bias

    each with memory of its own: who changes the result does not change `state`.

    Difficulty: 3/5. Minutes: 20.

    Hint 1: Write the twelve pairs (their name, our name) as a table; eight are taken as they are.
    Hint 2: The four matrices have to be turned, also attn.c_proj, whose shape does not tell. A
            reshape to the right shape is no transpose.
    Hint 3: x @ [Wq Wk Wv] is x @ in_proj.T if in_proj = [Wq Wk Wv].T: in c_attn.weight.T q, k, v
            stand one below the other already. A copy with memory of its own: .T.clone().
    """
    raise NotImplementedError


def cache_step(query, key, value, keys, values, lengths):
    """One token more for each row of a batch, where every row has its own length.

    query, key, value (B, D) are those of the new tokens; keys, values (B, M, D) what is kept of the
    earlier ones, M places reserved for each row; lengths (B,) of int64: in row b the first
    lengths[b] places are filled. Behind them stand any finite numbers, left over from other texts.
    Return (answer, keys, values, lengths):

        keys, values  with key[b] and value[b] at place lengths[b], as new tensors
        lengths       one more each
        answer        (B, D): softmax(query[b] . keys[b, s] / sqrt(D)) over the filled places s of
                      the row, the new one among them, times values[b, s]

    What came in stays as it is. ValueError if a row is full. No Python loop over B or M.

        B = 2, M = 2, D = 1, query = [[0], [0]], key = [[1], [1]], value = [[4], [6]],
        values = [[[9], [9]], [[2], [9]]], lengths = [0, 1]
            ->  answer [[4], [4]], values [[[4], [9]], [[2], [6]]], lengths [1, 2]

    Difficulty: 4/5. Minutes: 25.

    Hint 1: A place for the whole batch, such as lengths.max(), is right only if all rows are alike.
            Write at a pair of indices: one for the rows, one for the places.
    Hint 2: rows = torch.arange(B); keys = keys.clone(); keys[rows, lengths] = key. What may be
            seen: torch.arange(M) <= lengths[:, None], (B, M), with the lengths from before.
    Hint 3: scores = (keys * query[:, None]).sum(-1) / sqrt(D), (B, M); masked_fill what is not seen
            with -inf before the softmax; (weights[:, :, None] * values).sum(1).
    """
    raise NotImplementedError
