"""Data sets of the course, as NumPy arrays: the same fixed, disjoint splits for every chapter.

    from utils import datasets
    data = datasets.load("digits")                  # embedded: needs no file and no network
    data.train.images, data.train.labels            # (N, H, W) uint8, (N,) int64
    x = data.standardise(data.train.images)         # (N, H, W) float32, mean 0, deviation 1
    data = datasets.load("shapes")                  # colour: (N, H, W, 3), mean and std (3,)

`python -m utils.datasets list` shows what is there, `download NAME` fetches, `show NAME` draws.
Text is in `utils.datasets.text`, `sentences` and `pairs`, tables are in `utils.datasets.tables`,
curves and point clouds in `utils.datasets.toy`, scenes with boxes, masks and captions in
`utils.datasets.shapes`.
"""

from utils.datasets.images import ImageData, Split, catalogue, load, load_digits_split, names
from utils.datasets.lookup import data_root
from utils.datasets.samples import sample_photos

__all__ = [
    "ImageData",
    "Split",
    "catalogue",
    "data_root",
    "load",
    "load_digits_split",
    "names",
    "sample_photos",
]
