"""Exercises of chapter 6: gates, lengths, memory, sampling, counting, and an honest split.

Replace each `raise NotImplementedError` by your own code, in any order; they grow harder. Then

    python -m course check 6

says which ones are solved and, in words, what is wrong with the others (add a name for a single
one, --lang zh for Chinese). The hints get stronger from the first to the third: read one, try
again. `solutions.py` is there for afterwards.

Write with tensor operations. What the chapter has in its lessons (`cells.py`, `variable_length.py`,
`sampling.py`, `ngram.py`, `bptt_numpy.py`), and what torch has ready-made (`nn.GRUCell`,
`nn.utils`), is what you are asked to write, so leave those aside.
Shapes: B sequences, T steps, D numbers in a step, H units of the hidden state, V tokens.
"""

import torch


def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    """One step of a gated recurrent unit, in the form that PyTorch uses (Cho et al. 2014).

    x (B, D) is the input, h (B, H) the state. w_ih (3H, D), w_hh (3H, H), b_ih and b_hh (3H,) hold
    the rows of the three gates one below the other, in the order r, z, n. Return h' (B, H):

        r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)              reset
        z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)              update
        n  = tanh(W_in x + b_in + r * (W_hn h + b_hn))           proposal
        h' = (1 - z) * n + z * h

    so that z near 1 keeps the past.

        B = D = H = 1, all weights 0, b_ih = [0, 0, 1], b_hh = [0, 0, 2], x = [[0]], h = [[4]]
            ->  r = z = 0.5, n = tanh(1 + 0.5 * 2) = 0.9640, h' = [[2.4820]]

    Difficulty: 2/5. Minutes: 15.

    Hint 1: Two products are enough: all that comes from x, (B, 3H), and all that comes from h.
    Hint 2: x @ w_ih.T + b_ih, then .chunk(3, dim=1) cuts it into the parts of r, z and n.
    Hint 3: r and z add their two parts. For n they stay apart, because r stands in front of the
            second one, with its bias, and nowhere else.
    """
    raise NotImplementedError


def forget_bias(lstm, steps):
    """Give an LSTM a memory of so many steps before it has learnt anything (Gers et al. 2000).

    While inputs and states are still small, the forget gate is f = sigmoid(b), where b is what its
    biases add up to, and a cell keeps the share f^t of its content for t steps. Find the b with

        f^steps = 1/e                 `steps` > 0 is then the time constant of the memory

    and set the forget gates of `lstm`, in place, to this b: an nn.LSTM with bias, with any number
    of layers, in one direction or two. Each layer and direction has the biases bias_ih and bias_hh
    (4H,), which are added; their rows are those of the gates i, f, g, o, in this order. How b is
    shared out between the two is up to you. Leave every other number as it is. Return b, a float.

        steps = 1  ->  -0.5413        steps = 10  ->  2.2522        steps = 100  ->  4.6002

    Difficulty: 2/5. Minutes: 15.

    Hint 1: Solve for f first. Then invert the sigmoid: f = 1 / (1 + e^-b).
    Hint 2: f = e^(-1 / steps), and b = log(f / (1 - f)). All of b into one of the two biases means
            0 in the other, where random numbers stand now.
    Hint 3: b = -math.log(math.expm1(1 / steps)). The rows are H to 2H - 1 with H =
            lstm.hidden_size; lstm.named_parameters() names them all, bias_ih_l0,
            bias_hh_l0_reverse and so on. Write under torch.no_grad().
    """
    raise NotImplementedError


def clipped_step(parameters, lr, max_norm):
    """A step that an exploding gradient cannot spoil (Pascanu et al. 2013).

    In chapter 3 clipping changed .grad; here it is part of the step. parameters: tensors whose
    .grad is a tensor, or None (those are left alone); like `model.parameters()` it may be an
    iterator that can be read only once. norm is that of all gradients written one after the other
    as a single vector. In place,

        w <- w - lr * min(1, max_norm / norm) * grad

    with one factor for all of them. If norm is nan or infinite, this step is left out: no parameter
    changes. Every .grad stays as it is. Return norm, a float.

        w = [1], [1], grad = [3], [4], lr = 0.1, max_norm = 1  ->  5, and w = [0.94], [0.92]
        grad = [3], [inf]                                      ->  inf, and w = [1], [1]

    Difficulty: 2/5. Minutes: 20.

    Hint 1: First read all parameters into a list, then all gradients, then decide, then step.
    Hint 2: With grad = inf the factor would be max_norm / inf = 0, and 0 * inf is nan: one bad
            sequence, and the model is lost. math.isfinite(norm) tells.
    Hint 3: norm = the root of the sum of g.square().sum().item() over the gradients; if it is 0,
            there is nothing to divide by. Under torch.no_grad(): w.sub_(lr * factor * w.grad).
    """
    raise NotImplementedError


def packed_mask(outputs, lengths):
    """What is real in a padded batch, and where does each sequence end?

    outputs (B, T, H) has in row b the states of a sequence of lengths[b] steps; behind them stands
    padding, which may be anything, nan too. lengths (B,) is an int64 tensor in any order,
    1 <= lengths[b] <= T. Return (mask, sizes, last):

        mask   (B, T) of bool: true at the real steps
        sizes  (longest,) of int64: sizes[t] sequences have a step t (t = 0, 1, ...): the
               batch_sizes of a PackedSequence. longest = lengths.max() may be less than T
        last   (B, H): the state at each sequence's last real step, with its gradient

    No Python loop over sequences or steps: the number of operations must not depend on B and T.

        lengths [3, 1, 2], T = 4
            ->  mask [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]], sizes [3, 2, 1],
                last: outputs[0, 2], outputs[1, 0], outputs[2, 1]

    Difficulty: 2/5. Minutes: 20.

    Hint 1: Step t of sequence b is real if t < lengths[b]. Compare a row with a column.
    Hint 2: sizes are the sums over the columns of the mask, cut off where they become 0.
    Hint 3: torch.arange(T) < lengths[:, None]. For last: outputs[torch.arange(B), lengths - 1].
            Multiplying by a mask does not remove a nan: 0 * nan is nan.
    """
    raise NotImplementedError


def nucleus(logits, p):
    """Top-p sampling: draw only from the most likely tokens (Holtzman et al. 2020).

    logits (B, V), 0 < p <= 1. For each row on its own keep the smallest number of most likely
    tokens whose probabilities add up to at least p: the token with which the sum reaches p is one
    of them, so there is always one. Return (B, V), in the order of the vocabulary: the
    probabilities of the kept tokens, scaled to the sum 1, and exactly 0 elsewhere. No two tokens of
    a row are equally likely.

        probabilities [0.05, 0.5, 0.15, 0.3], p = 0.6  ->  [0, 0.625, 0, 0.375]
        the same, p = 0.4                              ->  [0, 1, 0, 0]

    Difficulty: 3/5. Minutes: 20.

    Hint 1: Sort the probabilities of a row, largest first, and add them up one after the other.
    Hint 2: A token is kept if what stands *before* it in that order adds up to less than p.
    Hint 3: top, order = softmax(logits).sort(descending=True); before = top.cumsum(-1) - top; set
            top to 0 where before >= p, divide by the sum of the row, and go back to the
            vocabulary's order: zeros_like(top).scatter(-1, order, top).
    """
    raise NotImplementedError


def find_leak(starts, length, is_val):
    """Find the leak: which windows of a shuffled split does the model know already?

    A long text was cut into N windows: window n holds the tokens starts[n] to
    starts[n] + length - 1, inputs and targets together. starts (N,) is an int64 tensor in any
    order, windows may overlap or be equal. Then somebody shuffled them: is_val (N,) of bool marks
    the validation windows, all others are for training. Return (leaked, clean), each (N,) of bool:

        leaked   the validation windows that share at least one token with a training window
        clean    the training windows that share no token with any validation window

    With clean for training and is_val for validation nothing leaks any more. N may be 100,000: a
    table of N x N pairs is too large. There may be no training or no validation window.

        starts [0, 4, 8, 2, 12], length 4, the last two for validation
            ->  leaked [0, 0, 0, 1, 0], clean [0, 0, 1, 0, 0]: window 3 is the tokens 2 to 5

    Difficulty: 3/5. Minutes: 30.

    Hint 1: Two windows of one length share a token exactly if their starts are less than `length`
            apart. So only the nearest window of the other kind, on each side, matters.
    Hint 2: Sort the starts of the other kind; torch.searchsorted(sorted, mine) is the place of the
            first that is >= mine, and the one before that is the nearest on the other side.
    Hint 3: How many of them lie in mine - length + 1 ... mine + length - 1? Two searchsorted, the
            second with right=True; their difference is 0 if there is no leak. It works for an empty
            list too. Do it for both kinds.
    """
    raise NotImplementedError


def kneser_ney(tokens, size, discount):
    """Bigram probabilities that know which words are versatile (Kneser and Ney 1995).

    tokens (N,), N >= 2, is an int64 tensor of numbers 0 ... size - 1: a text. Its N - 1 pairs are
    (tokens[i], tokens[i + 1]). With c(u, w) pairs of the kind (u, w), c(u) pairs that begin with u,
    and k(u) *different* tokens that follow u, return P (size, size) in float64 with

        P[u, w] = max(c(u, w) - discount, 0) / c(u)  +  discount * k(u) / c(u) * q(w)
        q(w)    = (different tokens that precede w) / (different pairs)

    and P[u, w] = q(w) for a u that begins no pair. 0 < discount < 1. Each row adds up to 1: what
    the discount takes away, q gives back. No table of more than size x size numbers is needed.

        tokens 0 1 0 2 1 0, size 3, discount 0.5  ->  q = [1/4, 1/2, 1/4]
            P = [[0.125, 0.5, 0.375], [0.8125, 0.125, 0.0625], [0.125, 0.75, 0.125]]

    Difficulty: 4/5. Minutes: 30.

    Hint 1: First make the table c(u, w) of counts, (size, size). All else are its sums.
    Hint 2: seen = c > 0. k(u) is the sum of seen over w, and the tokens before w are its sum over
            u. c(u) is the sum of c over w: it is not how often u occurs, for the last token of the
            text begins no pair.
    Hint 3: torch.bincount(size * tokens[:-1] + tokens[1:], minlength=size * size) counts all pairs;
            reshape it. For c(u) = 0 use torch.where: the division by c(u).clamp(min=1) is harmless.
    """
    raise NotImplementedError


def truncated_bptt(x, grad_h, h0, w_ih, w_hh, bias, chunk):
    """Backpropagation through time by hand, cut off after every `chunk` steps (Werbos 1990).

    h_t = tanh(W_ih x_t + W_hh h_{t-1} + bias) for t = 1 ... T, from h_0 = h0 (B, H). x (T, B, D);
    w_ih (H, D), w_hh (H, H), bias (H,). The loss is a sum over steps, and grad_h (T, B, H) holds
    in grad_h[t - 1] what the loss at step t alone sends into h_t.

    The state is carried on through the whole sequence. The gradient is not: steps 1 ... chunk are
    one chunk, then the next `chunk` steps, ... (the last may be shorter), and no gradient goes from
    a chunk into the one before it, as if the state were detached there. h0 is a constant. Return
    (states (T, B, H), dW_ih, dW_hh, dbias), without autograd.

        x = 1, 0, grad_h = 0, 1, w_ih = w_hh = [[1]], bias = [0], h0 = [[0]]
            ->  states 0.7616, 0.6420
                chunk 2: dW_ih = 0.2469, dW_hh = 0.4477, dbias = 0.8346
                chunk 1: dW_ih = 0: the input that mattered is never blamed

    Difficulty: 4/5. Minutes: 40.

    Hint 1: One loop forward that keeps all states, one loop backward. What arrives at h_t? What the
            loss sends there directly, and what comes back from step t + 1.
    Hint 2: With a_t in the tanh: da_t = (1 - h_t^2) * dh_t. It goes to the weights (dW_ih gets
            da_t^T x_t, dW_hh gets da_t^T h_{t-1}, dbias its sum over the batch) and back in time,
            as da_t W_hh into h_{t-1}.
    Hint 3: Count from 0. Backward: dh = grad_h[t] + back; afterwards back = da @ w_hh, but 0 if
            step t is the first of its chunk: t % chunk == 0. There h_{t-1} is still the carried
            state.
    """
    raise NotImplementedError
