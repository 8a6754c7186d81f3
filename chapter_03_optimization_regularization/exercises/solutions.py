"""Solutions of chapter 3's exercises. Try first: `exercises.py` has the tasks and the hints.

They pass the same grader: `python -m course check 3 --solutions`.
"""

import math

import torch


def momentum_step(w, grad, velocity, lr, momentum, nesterov=False):
    velocity = momentum * velocity + grad
    direction = grad + momentum * velocity if nesterov else velocity
    return w - lr * direction, velocity


def soft_threshold(w, threshold):
    return w.sign() * (w.abs() - threshold).clamp(min=0)


def warmup_cosine(step, total, warmup, peak, floor=0.0):
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if step >= total:
        return floor
    progress = (step - warmup) / (total - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2


def clip_gradients(parameters, max_norm):
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))
    if norm > max_norm:
        for gradient in gradients:
            gradient.mul_(max_norm / norm)
    return norm


def early_stopping(losses, patience, min_delta=0.0):
    best, best_epoch = math.inf, 0
    for epoch, loss in enumerate(losses):
        if loss < best - min_delta:
            best, best_epoch = loss, epoch
        elif epoch - best_epoch >= patience:
            return best_epoch, epoch
    return best_epoch, len(losses) - 1


def adamw_step(w, grad, m, v, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return w - lr * m_hat / (v_hat.sqrt() + eps) - lr * weight_decay * w, m, v


def train_epoch(model, loss_fn, optimizer, scheduler, batches, accumulate=1):
    model.train()  # 1: a validation left the model in evaluation mode
    optimizer.zero_grad()  # 2: and gradients in .grad
    total = 0.0
    for i, (x, y) in enumerate(batches):
        loss = loss_fn(model(x), y)
        (loss / accumulate).backward()  # 3: a mean of means, not a sum of means
        total += loss.item()
        if (i + 1) % accumulate == 0:
            optimizer.step()
            scheduler.step()  # 4: the learning rate of the next update
            optimizer.zero_grad()  # 2
    return total / len(batches)


def stable_learning_rate(hessian, momentum=0.0):
    eigenvalues = torch.linalg.eigvalsh(hessian)  # (D, D) -> (D,), ascending
    smallest, largest = eigenvalues[0].item(), eigenvalues[-1].item()
    rounding = 1e-12 * max(abs(smallest), abs(largest))
    if smallest < -rounding:
        return 0.0
    # r = -1 in r^2 - (1 + momentum - lr * largest) r + momentum = 0
    return 2 * (1 + momentum) / largest if largest > 0 else math.inf


class BatchNorm:
    def __init__(self, features, momentum=0.1, eps=1e-5):
        self.momentum, self.eps = momentum, eps
        self.weight = torch.ones(features, dtype=torch.float64)
        self.bias = torch.zeros(features, dtype=torch.float64)
        self.running_mean = torch.zeros(features, dtype=torch.float64)
        self.running_var = torch.ones(features, dtype=torch.float64)

    def forward(self, x, training):
        if training:
            mean, var = x.mean(dim=0), x.var(dim=0, correction=0)  # (B, D) -> (D,)
            keep, unbiased = 1 - self.momentum, x.var(dim=0, correction=1)
            self.running_mean = keep * self.running_mean + self.momentum * mean
            self.running_var = keep * self.running_var + self.momentum * unbiased
        else:
            mean, var = self.running_mean, self.running_var
        self.std = (var + self.eps).sqrt()
        self.x_hat = (x - mean) / self.std  # (B, D)
        return self.weight * self.x_hat + self.bias

    def backward(self, grad_y):
        g = grad_y * self.weight  # dL/dx_hat, (B, D)
        through_mean = g.mean(dim=0)  # (B, D) -> (D,)
        through_var = self.x_hat * (g * self.x_hat).mean(dim=0)  # (B, D)
        dx = (g - through_mean - through_var) / self.std
        return dx, (grad_y * self.x_hat).sum(dim=0), grad_y.sum(dim=0)


def newton_schulz(matrix, steps):
    norm = matrix.norm()
    if norm == 0:
        return torch.zeros_like(matrix)
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / norm  # (small, large)
    for _ in range(steps):
        gram = x @ x.T  # (small, large) -> (small, small)
        x = 15 / 8 * x + (-10 / 8 * gram + 3 / 8 * gram @ gram) @ x
    return x.T if tall else x
