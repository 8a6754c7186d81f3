"""What the grader of chapter 6 compares truncated backpropagation through time with."""

import torch


def without_autograd(function, *args):
    """function(*args) where no graph is made; a result that needs one is explained."""
    try:
        with torch.no_grad():
            return function(*args)
    except NotImplementedError:  # not solved yet; it is a RuntimeError too
        raise
    except RuntimeError as error:
        assert "does not require grad" not in str(error), (
            "autograd is switched off here: write the way back by hand"
        )
        raise


def by_autograd(x, grad_h, h0, w_ih, w_hh, bias, chunk, mistake=""):
    """(states, dW_ih, dW_hh, dbias) by autograd with `detach`; or with one thing wrong."""
    w_ih, w_hh, bias = (w.clone().requires_grad_() for w in (w_ih, w_hh, bias))
    h, states = h0, []
    for t, step in enumerate(x):
        cut = {"never": False, "always": True, "late": t % chunk == 1 % chunk and t > 0}.get(
            mistake, t % chunk == 0
        )
        if mistake == "reset" and cut:
            h = h0
        before = h.detach() if cut else h
        h = torch.tanh(step @ w_ih.mT + before @ w_hh.mT + bias)
        states.append(h)
    states = torch.stack(states)
    loss = (states * grad_h).sum() if mistake != "last" else (states[-1] * grad_h[-1]).sum()
    grads = torch.autograd.grad(loss, (w_ih, w_hh, bias))
    return (states.detach(), *grads)


def slipped(x, grad_h, h0, w_ih, w_hh, bias, chunk, slip):
    """(states, dW_ih, dW_hh, dbias) of a loop by hand with one slip in its way back."""
    states = [h0]
    for step in x:
        states.append(torch.tanh(step @ w_ih.mT + states[-1] @ w_hh.mT + bias))
    before = [0 * h0 if slip == "forgotten" and t % chunk == 0 else h for t, h in enumerate(states)]
    grads = [torch.zeros_like(w) for w in (w_ih, w_hh, bias)]
    back = torch.zeros_like(h0)
    for t in reversed(range(len(x))):
        slope = {"no slope": torch.ones_like(h0), "old slope": 1 - states[t] ** 2}.get(
            slip, 1 - states[t + 1] ** 2
        )
        da = slope * (grad_h[t] + back)
        if slip == "slope late":
            da = grad_h[t] * slope + back
        state = states[t + 1] if slip == "new state" else before[t]
        for grad, part in zip(grads, (da.mT @ x[t], da.mT @ state, da.sum(0)), strict=True):
            grad += part
        back = da @ (w_hh.mT if slip == "turned" else w_hh) * (t % chunk != 0)
    if slip == "mean":
        grads[2] = grads[2] / len(h0)
    return (torch.stack(states[1:]), *grads)


CUT_MISTAKES = {
    "never": "the gradient runs through all steps: cut it at the borders of the chunks",
    "always": "the gradient is cut at every step, not at the borders of the chunks",
    "late": "the cut is one step too late: from 0, step t begins a chunk if t % chunk == 0",
    "reset": "the state starts anew with each chunk; it has to be carried on",
    "last": "every step has a loss of its own, not the last one alone",
}
SLIPS = {
    "no slope": "the slope of tanh, 1 - h_t^2, is missing",
    "old slope": "the slope is that at h_t, not at h_{t-1}",
    "slope late": "what comes back goes through the tanh of this step too",
    "new state": "dW_hh takes h_{t-1}, the state that W_hh was multiplied with",
    "forgotten": "the first step of a chunk has the carried state, not 0: only the gradient is cut",
    "turned": "back in time it goes with da @ W_hh, not with its transpose",
    "mean": "dbias is a sum over the batch, not a mean",
}
