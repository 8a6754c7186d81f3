"""Trained weights on disk: tensors beside the facts needed to use them.

    from utils.checkpoint import save_checkpoint, load_checkpoint
    save_checkpoint("a.pth", model.state_dict(), architecture={"hidden_dim": 64}, dataset="digits",
                    metrics={"accuracy": 0.97})
    model.load_state_dict(load_checkpoint("a.pth")["state"])

`.pth` holds PyTorch tensors, `.npz` NumPy arrays (chapter 1 needs no PyTorch). Files are written
atomically and read without executing code from them (`weights_only=True`, `allow_pickle=False`).
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.file_io_util import atomic_write, plain

FORMAT_VERSION = 1
METADATA_KEY = "__metadata__"


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or not what the code expects."""


def save_checkpoint(
    path: str | Path,
    state: dict[str, Any],
    *,
    architecture: dict[str, Any],
    dataset: str,
    metrics: dict[str, float],
    training: dict[str, Any] | None = None,
    **facts: Any,
) -> None:
    """Write `state` (name -> tensor or array) and plain metadata to `path` (.pth or .npz).

    `training`: what else a .pth needs to go on training (optimiser, schedule, ...): nested dicts
    and lists of tensors and plain values, kept as they are.
    """
    path = Path(path)
    metadata = {"format_version": FORMAT_VERSION, "architecture": architecture}
    metadata |= {"dataset": dataset, "metrics": metrics, **facts}
    metadata = plain(metadata)
    with atomic_write(path, binary=True) as file:
        if path.suffix == ".npz":
            np.savez_compressed(file, **state, **{METADATA_KEY: np.array(json.dumps(metadata))})
        else:
            import torch

            if training is not None:
                metadata["training"] = training
            # Through memory: on a full disk, torch.save on a file raises a RuntimeError about its
            # archive, while a plain write says that no space is left.
            buffer = io.BytesIO()
            torch.save({"state": state, **metadata}, buffer)
            file.write(buffer.getbuffer())


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint: {"state": {...}, "architecture": ..., "dataset": ..., "metrics": ...}.

    CheckpointError (a UserError) if the file is missing, truncated, or no checkpoint of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}.")
    try:
        checkpoint = _read_npz(path) if path.suffix == ".npz" else _read_pth(path)
    except (pickle.UnpicklingError, zipfile.BadZipFile):
        raise _damaged(path, "it is not a file of tensors") from None
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, TypeError) as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise _damaged(path, reason or type(error).__name__) from None
    if not isinstance(checkpoint, dict) or "state" not in checkpoint:
        raise CheckpointError(f"{path} is not a checkpoint of this course (it has no 'state').")
    version = checkpoint.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}; this code reads version {FORMAT_VERSION}."
        )
    return checkpoint


def load_state(model: Any, state: dict[str, Any], path: str | Path) -> None:
    """Strict `model.load_state_dict`; a mismatch is a CheckpointError that names the first one."""
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        first = str(error).split("\n")[1 if "\n" in str(error) else 0].strip()
        raise CheckpointError(f"{path} does not fit this architecture: {first}") from None


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        state = {name: archive[name] for name in archive.files if name != METADATA_KEY}
        return {"state": state, **json.loads(str(archive[METADATA_KEY]))}


def _read_pth(path: Path) -> dict[str, Any]:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged and cannot be read ({reason}); "
        "restore it (for a shipped file: git checkout) or train it again."
    )
