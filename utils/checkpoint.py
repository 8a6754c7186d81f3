"""Trained weights on disk: tensors beside the facts needed to use them.

    from utils.checkpoint import save_checkpoint, load_checkpoint
    save_checkpoint("a.pth", model.state_dict(), architecture={"hidden_dim": 64}, dataset="digits",
                    metrics={"accuracy": 0.97})
    model.load_state_dict(load_checkpoint("a.pth")["state"])

`.pth` holds PyTorch tensors, `.npz` NumPy arrays (chapter 1 needs no PyTorch). Files are written
atomically and read without executing code from them (`weights_only=True`, `allow_pickle=False`).
What could not be read back is refused when it is written. Both kinds are zip archives with a
checksum of each entry, and it is checked before anything is read: a changed bit is an error.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from utils.errors import UserError
from utils.file_io_util import atomic_write, plain

FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)
METADATA_KEY = "__metadata__"
# Read back by torch.load(weights_only=True), besides tensors; subclasses (np.float64) are not.
PLAIN_TYPES = {type(None), bool, int, float, complex, str, bytes, bytearray}
CONTAINERS = {dict, OrderedDict, Counter, list, tuple, set}


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
    CheckpointError names an entry that could not be read back; nothing is written then.
    """
    path = Path(path)
    metadata = {"format_version": FORMAT_VERSION, "architecture": architecture}
    metadata |= {"dataset": dataset, "metrics": metrics, **facts}
    metadata = plain(metadata)
    if _is_npz(path):
        if training is not None:
            raise CheckpointError(f"{path} cannot hold the state of a training; save it as .pth.")
        arrays = {name: _as_array(path, name, value) for name, value in state.items()}
        arrays[METADATA_KEY] = np.array(_as_json(path, metadata))
        with atomic_write(path, binary=True) as file:
            _write_npz(file, arrays)
        return
    content = {"state": state, **metadata}
    content |= {} if training is None else {"training": training}
    require_plain(content, path)
    with atomic_write(path, binary=True) as file:
        import torch

        # Through memory: on a full disk, torch.save on a file raises a RuntimeError about its
        # archive, while a plain write says that no space is left.
        buffer = io.BytesIO()
        torch.save(content, buffer)
        file.write(buffer.getbuffer())


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint: {"state": {...}, "architecture": ..., "dataset": ..., "metrics": ...}.

    CheckpointError (a UserError) if the file is missing, damaged, or no checkpoint of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}.")
    try:
        checkpoint = _decoded(path)
    except CheckpointError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"the checkpoint {path} cannot be read: {reason}.") from None
    except Exception as error:  # damage can show anywhere: in the zip, a header, the compression
        reason = (str(error).splitlines() or [""])[0][:120]
        raise _damaged(path, reason or type(error).__name__) from None
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state"), dict):
        raise CheckpointError(f"{path} is not a checkpoint of this course (it has no 'state').")
    version = checkpoint.get("format_version")
    if version not in READABLE_VERSIONS:
        known = " and ".join(map(str, READABLE_VERSIONS))
        raise CheckpointError(
            f"{path} has format version {version}; this code reads the versions {known}."
        )
    if version == 1 and isinstance(checkpoint.get("metrics"), dict):
        checkpoint["metrics"] = {
            _with_unit(*item): item[1] for item in checkpoint["metrics"].items()
        }
    return checkpoint


def _with_unit(name: str, value: Any) -> str:
    """The name of a metric in version 2: an accuracy above 1 was per cent, and its name says so."""
    is_percent = name.endswith("_accuracy") and isinstance(value, int | float) and value > 1
    return f"{name}_percent" if is_percent else name


def load_state(model: Any, state: dict[str, Any], path: str | Path) -> None:
    """Strict `model.load_state_dict`; a mismatch is a CheckpointError that names the first one."""
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        first = str(error).split("\n")[1 if "\n" in str(error) else 0].strip()
        raise CheckpointError(f"{path} does not fit this architecture: {first}") from None


def evaluator(
    load: Callable[[Path], tuple[Any, dict[str, Any]]],
    load_data: Callable[[str, str | None], Any],
    accuracy: Callable[[Any, Any], float],
) -> Callable[..., dict[str, float]]:
    """The function(path, data_dir) that measures a classifier's checkpoint again, from its data.

    load(path) -> (model, checkpoint); load_data(name, data_dir) -> data; accuracy(model, data) is
    the share of the test split that is right. It is returned under the name, and so in the unit,
    that the checkpoint's own metrics have: "test_accuracy" or "test_accuracy_percent".
    """

    def evaluate_checkpoint(path: Path, data_dir: str | None = None) -> dict[str, float]:
        model, checkpoint = load(path)
        share = accuracy(model, load_data(checkpoint["dataset"], data_dir))
        found = {"test_accuracy": share, "test_accuracy_percent": 100 * share}
        return {name: value for name, value in found.items() if name in checkpoint["metrics"]}

    return evaluate_checkpoint


def require_plain(content: Any, path: str | Path) -> None:
    """CheckpointError for the first entry of nested `content` that a .pth could not give back."""
    for name, value in _foreign_entries(content):
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise CheckpointError(
            f"{path} cannot hold {name}, a {kind}: a checkpoint "
            "takes tensors and plain values (numbers, text, lists, dicts); convert it first, "
            "a NumPy number with .item(), an array with torch.from_numpy."
        )


def _foreign_entries(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of all that is neither a tensor nor plain; keys are looked at, too."""
    import torch

    kind = type(value)
    if kind in CONTAINERS:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            inner = f"{name}.{key}" if name else str(key)
            if isinstance(value, dict) and type(key) not in PLAIN_TYPES | {tuple}:
                yield f"the key {inner}", key
            yield from _foreign_entries(item, inner)
    elif kind not in PLAIN_TYPES | {
        torch.Tensor, torch.nn.Parameter, torch.Size, torch.dtype, torch.device,
    }:  # fmt: skip
        yield name, value


def _as_array(path: Path, name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.hasobject or name == METADATA_KEY:
        raise CheckpointError(
            f"{path} cannot hold {name}, a {type(value).__name__}: a .npz takes arrays of numbers."
        )
    return array


def _as_json(path: Path, metadata: dict[str, Any]) -> str:
    try:
        return json.dumps(metadata)
    except TypeError as error:
        raise CheckpointError(
            f"{path} cannot hold its facts: {error}; give plain values."
        ) from None


def _write_npz(file: IO[bytes], arrays: dict[str, np.ndarray]) -> None:
    """np.savez_compressed, which takes arrays as keywords and so loses one called `file`."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _decoded(path: Path) -> Any:
    """The content, once every checksum is right: torch.load looks at none, NumPy not at all."""
    if not zipfile.is_zipfile(path):
        raise _damaged(path, "it is not a file of tensors")
    with zipfile.ZipFile(path) as archive:
        wrong = archive.testzip()
    if wrong is not None:
        raise _damaged(path, f"the checksum of its part {wrong} is wrong")
    return _read_npz(path) if _is_npz(path) else _read_pth(path)


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        if METADATA_KEY not in archive.files:
            return {}
        try:
            state = {name: archive[name] for name in archive.files if name != METADATA_KEY}
        except ValueError as error:
            if "allow_pickle" in str(error):
                raise _foreign(path, "Python objects") from None
            raise
        return {"state": state, **json.loads(str(archive[METADATA_KEY]))}


def _read_pth(path: Path) -> dict[str, Any]:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # the bytes are those that were written
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise _foreign(path, found[1] if found else "Python objects") from None


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged and cannot be read ({reason}); "
        "restore it (for a shipped file: git checkout) or train it again."
    )


def _foreign(path: Path, content: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is whole, but holds {content} and not only tensors and plain values, so it is not "
        "read: that could run code; write it anew with utils.checkpoint.save_checkpoint."
    )
