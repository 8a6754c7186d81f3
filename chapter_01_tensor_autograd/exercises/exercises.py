"""Exercises of chapter 1: the pieces of an autograd engine, with NumPy.

Replace each `raise NotImplementedError` by your own code, in any order; they grow harder. Then

    python -m course check 1

says which ones are solved and, in words, what is wrong with the others (add a name for a single
one, --lang zh for Chinese). The hints get stronger from the first to the third: read one, try
again. `solutions.py` is there for afterwards.

Throughout, "gradient" means dL/dy: the derivative of a scalar loss L with respect to the output y
of an operation. Its shape is the shape of y. A VJP turns it into dL/dx, of the shape of x.
"""

import math

import numpy as np

from chapter_01_tensor_autograd.tensor import Tensor, grad


def sum_to_shape(gradient, shape):
    """The backward pass of broadcasting.

    An array x of shape `shape` was broadcast to the shape of `gradient` (x + y, x * y ... do it
    silently). One entry of x was used in many places, and its gradient is the sum over them.
    Return dL/dx, an array of exactly the shape `shape`.

        gradient = [[1, 2, 3],      shape (3,)   -> [5, 7, 9]
                    [4, 5, 6]]      shape (2, 1) -> [[6], [15]]
                                    shape ()     -> 21

    Difficulty: 1/5. Minutes: 10.

    Hint 1: Broadcasting does two things: it adds axes on the left, and it stretches axes of
            length 1. Undo each of them with a sum.
    Hint 2: First sum over the first (gradient.ndim - len(shape)) axes. Now both have the same
            number of axes.
    Hint 3: Then sum, with keepdims=True, over those axes where `shape` has a 1.
    """
    raise NotImplementedError


def numerical_gradient(f, x):
    """The gradient of f at x by central differences, the judge of every hand-written backward.

        df/dx_i  ~  (f(x + h e_i) - f(x - h e_i)) / (2 h)

    f takes a float64 array of the shape of x and returns a number; x is a float64 array of any
    shape. Return an array of the shape of x, and leave x as it was. Choose h so that the relative
    error stays below 2e-9 for smooth functions, also where the entries of x are as large as 1e6.

        numerical_gradient(lambda x: (x**2).sum(), np.array([1.0, -3.0]))  ->  about [2, -6]

    Difficulty: 2/5. Minutes: 15.

    Hint 1: Two errors compete. Cutting off the Taylor series costs about h^2; the rounding of f,
            about eps = 2.2e-16, is divided by h. Where is h^2 + eps / h smallest?
    Hint 2: At h ~ eps^(1/3) ~ 6e-6, for x of size 1. For a large entry take h times its size.
    Hint 3: Loop over np.ndindex(x.shape), change one entry of a copy of x, call f twice, and put
            the entry back. x.reshape(-1) is not always a view: for x.T it is a copy.
    """
    raise NotImplementedError


def topological_order(result):
    """All nodes that `result` was computed from, each one after all of its parents.

    A node has one attribute that matters, `node.parents`: a tuple of nodes (empty for an input).
    Return a list in which every node stands exactly once, parents before children, so `result` is
    the last. The backward pass walks this list from its end. Graphs may have 50,000 nodes in a
    row, and Python stops a recursion after about 1,000 calls: use a loop. (Leave the recursion
    limit alone; with a higher one, older Pythons crash.)

        a -> b -> d,  a -> c -> d       (d was computed from b and c, both from a)
        topological_order(d)  ->  [a, b, c, d]  or  [a, c, b, d]

    Difficulty: 2/5. Minutes: 20.

    Hint 1: Recursively: visit all parents, then append the node itself, unless it was visited
            before. Your own list as a stack can take the place of the calls.
    Hint 2: A node has to come by the stack twice: the first time its parents are put on top of it,
            the second time, when they are done, it is appended.
    Hint 3: Push pairs (node, parents_done). Mark a node as seen when it is popped for the first
            time, not when it is pushed: it may be pushed by one child and needed by another first.
    """
    raise NotImplementedError


def softmax_vjp(y, gradient, axis=-1):
    """The VJP of softmax, without its Jacobian.

    y = softmax(x) along `axis`, any shape; gradient = dL/dy, same shape. Return dL/dx, same shape.
    Along the axis the Jacobian is

        dy_i / dx_j = y_i (1 if i == j else 0) - y_i y_j

    an n x n matrix: with n = 50,000 words it would take 20 GB a row. Its product with the gradient
    takes a few times n.

        y = [0.2, 0.3, 0.5], gradient = [1, 0, 0]  ->  [0.16, -0.06, -0.1]

    Difficulty: 3/5. Minutes: 15.

    Hint 1: dL/dx_j = sum_i gradient_i dy_i/dx_j. Put the Jacobian in and split the sum in two.
    Hint 2: The part with y_i y_j is y_j times a number s that is the same for all j.
    Hint 3: s = sum_i gradient_i y_i, along `axis`, with keepdims; what is left is one line.
    """
    raise NotImplementedError


def matmul_vjp(a, b, gradient):
    """The VJP of y = a @ b, for matrices and for stacks of matrices.

    a (..., n, k), b (..., k, m), gradient = dL/dy (..., n, m). Return the pair (dL/da, dL/db), each
    in the shape of its array. The leading axes broadcast as in NumPy: a (5, 1, n, k) with
    b (7, k, m) gives y (5, 7, n, m). `sum_to_shape` above may help.

        a = [[1, 2]], b = [[3], [4]], gradient = [[1]]  ->  ([[3, 4]], [[1], [2]])

    Difficulty: 3/5. Minutes: 20.

    Hint 1: For two matrices, write y_ij = sum_l a_il b_lj and differentiate:
            dL/da_il = sum_j gradient_ij b_lj. Which product of matrices is this?
    Hint 2: dL/da = gradient @ b^T and dL/db = a^T @ gradient. There is only one way in which the
            shapes fit.
    Hint 3: In a stack, transpose the last two axes only (np.swapaxes(b, -1, -2); .T turns all axes
            around). Then sum over the leading axes that broadcasting stretched or added.
    """
    raise NotImplementedError


class Jet:
    """Forward mode with two derivatives: a number that carries its slope and its curvature along.

    The dual numbers of `jvp.py` carry one derivative. Jet(value, first, second) is a quantity a
    that depends on some t, with a, a' and a'' at the present t. Complete the operators below so
    that any Python code that uses + - * / and exp() computes its own two derivatives: start with
    Jet(x, 1, 0), the quantity t itself at t = x, and read them off the output. Loops and branches
    need no care. `other` may be a Jet or a plain number, that is a constant.

        x = Jet(3.0, 1.0, 0.0)
        y = x * x + 2 / x         ->  value 9.6667, first 2 x - 2 / x^2 = 5.7778,
                                      second 2 + 4 / x^3 = 2.1481

    Difficulty: 4/5. Minutes: 25.

    Hint 1: Turn `other` into a Jet first. For each operator, write down the value, differentiate
            it, and differentiate once more, with a and b both depending on t.
    Hint 2: (a b)' = a' b + a b', and again: (a b)'' = a'' b + 2 a' b' + a b''. A sum is easy.
    Hint 3: For r = 1 / a: r' = -a' r^2 and r'' = (2 a'^2 r - a'') r^2.
            For e = exp(a): e' = e a' and e'' = e (a'' + a'^2).
    """

    def __init__(self, value, first=0.0, second=0.0):
        self.value = value
        self.first = first
        self.second = second

    def __add__(self, other):
        raise NotImplementedError

    def __mul__(self, other):
        raise NotImplementedError

    def reciprocal(self):
        raise NotImplementedError

    def exp(self):
        raise NotImplementedError

    # These follow from the ones above and are complete.
    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def __radd__(self, other):
        return self + other

    def __rmul__(self, other):
        return self * other

    def __truediv__(self, other):
        return self * (other.reciprocal() if isinstance(other, Jet) else 1.0 / other)

    def __rtruediv__(self, other):
        return self.reciprocal() * other

    def __lt__(self, other):
        return self.value < (other.value if isinstance(other, Jet) else other)

    def __gt__(self, other):
        return self.value > (other.value if isinstance(other, Jet) else other)


def hessian_vector_product(f, x, v):
    """H v, the Hessian of f at x times a vector, without ever building H.

    f takes a `Tensor` of the course's engine and returns a scalar `Tensor`; x and v are float64
    arrays of the same shape. Return H v, a float64 array of that shape, where

        H_ij = d^2 f / dx_i dx_j,     (H v)_i = sum_j H_ij v_j

    Call f once and use `grad` twice, whatever the size of x: at 10,000 numbers H would take 800 MB.
    If f is linear in x, H is zero and so is H v.

        f = lambda t: (t * t * t).sum(), x = [1, 2], v = [1, 10]  ->  [6, 120]      (H = diag(6 x))

    Difficulty: 4/5. Minutes: 25.

    Hint 1: H v is the gradient of a scalar: of grad f(x) . v, with v held constant.
    Hint 2: (g,) = grad(f(t), t, create_graph=True) makes g a part of a graph of its own, so that
            it can be differentiated again.
    Hint 3: Then (hv,) = grad((g * v).sum(), t). For a linear f, g does not depend on t:
            g.requires_grad is False, and there is nothing left to differentiate.
    """
    raise NotImplementedError


def checkpoint_plan(sizes):
    """Which outputs should a chain of layers keep, so that training needs the least memory?

    The output of layer i takes sizes[i] bytes (a positive integer). A plan is an increasing list
    of layers whose outputs are kept. All others are thrown away in the forward pass; in the
    backward pass the outputs between two neighbouring kept ones (or before the first, or after the
    last) are computed again together, used, and thrown away. So

        peak(plan) = sum of the kept sizes + largest sum of sizes between two neighbours

    Return a plan with the smallest peak. It must work for 40 layers, where 2^40 plans exist.

        sizes = [1, 1, 1, 1, 1, 1, 1, 1]  ->  [2, 5], peak 2 + 2 = 4    (keeping all 8 would be 8)
        sizes = [5, 1, 5, 1, 5]           ->  [1, 3], peak 2 + 5 = 7

    Difficulty: 5/5. Minutes: 40.

    Hint 1: Suppose you knew the second term, the largest sum M that a stretch may have. Then only
            the kept sizes remain to be made small: a shortest path.
    Hint 2: For a given M: cost[j] = sizes[j] + min of cost[i] over all i < j such that the layers
            between i and j sum to at most M. Put an imaginary layer of size 0 at either end.
    Hint 3: M can only be one of about n^2 / 2 values: the sums of neighbouring layers (and 0). Try
            them all; remember from which i each cost[j] came, to read the plan off backwards.
    """
    raise NotImplementedError
