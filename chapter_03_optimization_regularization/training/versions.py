"""The training loop as it grows: five versions, each with one thing more, marked NEW.

What you learn: why `fit` (loop.py) has the parts it has. Each version answers a question that
the one before leaves open:

    fit_v1  the bare loop                       Is it learning?
    fit_v2  + validation                        Is it learning the right thing?
    fit_v3  + schedule and gradient clipping    How fast may it go?
    fit_v4  + checkpoints and resume            What if it is killed?
    fit_v5  + Accelerate                        What if the machine has a GPU, or several?

All take model, loss_fn(model, batch) -> (loss, metrics), optimizer, train (Batches), epochs. A test
shows that each ends with the same weights, to the bit, as `fit` with the same options.
"""

from __future__ import annotations

from pathlib import Path

import torch

from chapter_03_optimization_regularization.regularization import clip_grad_norm_


def fit_v1(model, loss_fn, optimizer, train, epochs):
    """The bare loop: forward, backward, update, and forget the gradients."""
    for epoch in range(epochs):
        model.train()
        for batch in train.epoch(epoch):
            loss, _ = loss_fn(model, batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


@torch.no_grad()  # NEW
def mean_loss(model, loss_fn, batches):
    """The mean over all examples. Evaluation mode: no dropout, BatchNorm's running statistics."""
    model.eval()
    total = count = 0
    for batch in batches.epoch(0):
        loss, _ = loss_fn(model, batch)
        total += len(batch[0]) * float(loss)  # a smaller last batch counts less
        count += len(batch[0])
    return total / count


def fit_v2(model, loss_fn, optimizer, train, epochs, val):
    """With validation: the training loss alone cannot tell learning from memorising."""
    history = []
    for epoch in range(epochs):
        model.train()
        for batch in train.epoch(epoch):
            loss, _ = loss_fn(model, batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        history.append(mean_loss(model, loss_fn, val))  # NEW
    return history


def fit_v3(model, loss_fn, optimizer, train, epochs, val, scheduler, max_norm):
    """With a schedule by step and clipping: both stand around the update, in this order."""
    history = []
    for epoch in range(epochs):
        model.train()
        for batch in train.epoch(epoch):
            loss, _ = loss_fn(model, batch)
            loss.backward()
            clip_grad_norm_(model.parameters(), max_norm)  # NEW: after backward, before the step
            optimizer.step()
            scheduler.step()  # NEW: after the optimiser's step, as it sets the next rate
            optimizer.zero_grad()
        history.append(mean_loss(model, loss_fn, val))
    return history


def fit_v4(model, loss_fn, optimizer, train, epochs, val, scheduler, max_norm, path: Path):
    """With a checkpoint after each epoch. If the file is there, the run goes on from it."""
    history = []
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}  # NEW
    if path.is_file():  # NEW
        saved = torch.load(path, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        torch.set_rng_state(saved["random"])  # dropout goes on where it stopped
        history = saved["history"]
    for epoch in range(len(history), epochs):  # NEW: the epochs that are left
        model.train()
        for batch in train.epoch(epoch):
            loss, _ = loss_fn(model, batch)
            loss.backward()
            clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        history.append(mean_loss(model, loss_fn, val))
        saved = {name: part.state_dict() for name, part in parts.items()}  # NEW
        torch.save({**saved, "random": torch.get_rng_state(), "history": history}, path)  # NEW
    return history


def fit_v5(model, loss_fn, optimizer, train, epochs, val, scheduler, max_norm, accelerator):
    """With Accelerate: the same loop on a GPU, in 16-bit precision, or in several processes.

    Checkpoints as in fit_v4 are left out here, to keep the new lines in sight.
    """
    history = []
    model, optimizer = accelerator.prepare(model, optimizer)  # NEW
    rank, world = accelerator.process_index, accelerator.num_processes  # NEW
    for epoch in range(epochs):
        model.train()
        for batch in train.epoch(epoch, 0, rank, world):  # NEW: this process's rows
            batch = tuple(part.to(accelerator.device) for part in batch)  # NEW
            loss, _ = loss_fn(model, batch)
            accelerator.backward(loss)  # NEW: scales fp16, averages over the processes
            accelerator.clip_grad_norm_(model.parameters(), max_norm)  # NEW: undoes that scale
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        history.append(mean_loss(model, loss_fn, val))
    return history
