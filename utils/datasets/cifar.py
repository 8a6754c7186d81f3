"""Read CIFAR-10 and CIFAR-100 from their official files: Python pickles.

A pickle is a program: its opcodes may import any function and call it, so that `pickle.load` on a
file from a stranger can run anything. Here the only names that a file may ask for are those of a
NumPy array's pickle, and even these are not NumPy's: plain stand-ins keep the bytes of the array.

A file is a dict: "data" (N, 3072) uint8, a row being the red, green and blue plane of one image,
and "labels" (CIFAR-100: "fine_labels"), a list of N integers.
"""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from utils.datasets.official import read_checked
from utils.datasets.photo_sets import PhotoSource
from utils.errors import UserError


class _DType:
    """Stands in for numpy.dtype: its code, such as "u1", and byte order."""

    def __init__(self, code: str, *flags: Any) -> None:
        if not re.fullmatch(r"[uif][1248]", code):
            raise pickle.UnpicklingError(f"an array of type {code!r}: refused")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder("<" if state[1] == "|" else state[1])


class _Array:
    """Stands in for numpy.ndarray; `value` is the array once its state has been read."""

    value: np.ndarray

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, by_columns, content = state
        raw = content.encode("latin1") if isinstance(content, str) else content
        self._set(raw, dtype, shape, "F" if by_columns else "C")

    def _set(self, raw: bytes, dtype: _DType, shape: tuple, order: str) -> _Array:
        self.value = np.frombuffer(raw, dtype.dtype).reshape(shape, order=order)
        return self


def _reconstruct(kind: type, shape: tuple, code: Any) -> _Array:
    return _Array()


def _from_buffer(raw: bytes, dtype: _DType, shape: tuple, order: str) -> _Array:
    return _Array()._set(raw, dtype, shape, order)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1")


# Every global name that an array's pickle holds, from Python 2's protocol 2 to NumPy 2's of today.
ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks to run {module}.{name}: refused") from None


def safe_unpickle(content: bytes, path: str | Path) -> dict[str, Any]:
    """The dict in a pickle of plain values and arrays; UserError for anything else."""
    try:
        # latin1: Python 2's byte strings, one character a byte.
        loaded = _Reader(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # damaged bytes make nearly any exception
        reason = str(error) or type(error).__name__
        raise UserError(f"{path} is not a CIFAR file or is damaged ({reason}).") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path} is not a CIFAR file (it holds no dict).")
    names = {key.decode("latin1") if isinstance(key, bytes) else key: key for key in loaded}
    values = {name: loaded[key] for name, key in names.items()}
    return {k: v.value if isinstance(v, _Array) else v for k, v in values.items()}


def read_batch(content: bytes, path: Path, source: PhotoSource) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) uint8 and labels (N,) int64 of one file."""
    batch = safe_unpickle(content, path)
    data, labels = batch.get("data"), batch.get("fine_labels", batch.get("labels"))
    try:
        planes = np.asarray(data).reshape(-1, 3, source.size, source.size)  # (N, 3, H, W)
        labels = np.array(labels, dtype=np.int64)  # (N,)
    except (TypeError, ValueError):
        raise UserError(f"{path} is damaged: no images of {source.size} pixels in it.") from None
    good = labels.ndim == 1 and len(planes) == len(labels) > 0 and planes.dtype == np.uint8
    if not good or labels.min() < 0 or labels.max() >= len(source.classes):
        raise UserError(
            f"{path} is damaged: its images and labels (0 to {len(source.classes) - 1}) do not fit."
        )
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels  # (N, H, W, 3)


def read_cifar(folder: Path, source: PhotoSource) -> tuple[list[np.ndarray], list[np.ndarray], str]:
    """Train and test of the official files (the last one is the test file), and the origin."""
    contents, origin = read_checked(folder, source)
    batches = [read_batch(content, folder / name, source) for name, content in contents.items()]
    train = [np.concatenate(arrays) for arrays in zip(*batches[:-1], strict=True)]
    return train, list(batches[-1]), origin
