"""Networks by name: what the `model.py` of several chapters have in common.

builder = by_name("resnet18", BUILDERS)                  UserError with a suggestion
model, checkpoint = load_network(path, BUILDERS, build_model)
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.checkpoint import load_checkpoint, load_state
from utils.errors import UserError

if TYPE_CHECKING:
    from torch import nn


def by_name(name: str, builders: Mapping[str, Callable]) -> Callable:
    """The builder of this name; UserError, with the closest known name, if there is none."""
    if name not in builders:
        close = difflib.get_close_matches(str(name).lower(), builders, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(f"there is no model {name!r}{hint} (known are {', '.join(builders)})")
    return builders[name]


def load_network(
    path: str | Path, builders: Mapping[str, Callable], build: Callable[..., nn.Module]
) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network of a checkpoint, in evaluation mode, and the checkpoint's dict.

    UserError where the file is missing, damaged, or holds a network that `builders` lack.
    """
    checkpoint = load_checkpoint(path)
    architecture = checkpoint.get("architecture")
    name = architecture.get("model") if isinstance(architecture, dict) else None
    if name not in builders:
        kind = repr(name) if name else f"a network described as {architecture}"
        raise UserError(
            f"{path} holds {kind}, trained on {checkpoint.get('dataset')}; it is not one of this "
            f"chapter's models ({', '.join(builders)})."
        )
    options = {key: value for key, value in architecture.items() if key != "model"}
    try:
        model = build(name, **options)
    except TypeError as error:
        raise UserError(f"{path} does not describe a {name} that can be built: {error}") from None
    load_state(model, checkpoint["state"], path)
    return model.eval(), checkpoint
