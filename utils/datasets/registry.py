"""The standard data sets: which files they have, where these come from, how they are recognised.

Each file carries two MD5 sums: of the gzip file as published (checked after a download) and of
what is inside (checked at every reading, because a file packed again has another gzip sum). MD5 is
what the publishers list; it guards against damage and mix-ups, not against an attacker.
"""

from __future__ import annotations

from dataclasses import dataclass

from utils.datasets.photo_sets import COURSE_SOURCES, PHOTO_SOURCES, PhotoSource


@dataclass(frozen=True)
class RemoteFile:
    """One published gzip file; `md5` of it, `content_md5` of the file inside."""

    name: str
    md5: str
    content_md5: str


@dataclass(frozen=True)
class Source:
    """A data set that has to be fetched. `folder` is torchvision's, below its root."""

    name: str
    title: str
    folder: str
    classes: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    mirrors: tuple[str, ...]
    licence: str
    embedded_alternative: str = "digits"


MNIST = Source(
    name="mnist",
    title="MNIST (LeCun, Cortes, Burges 1998)",
    folder="MNIST/raw",
    classes=tuple("0123456789"),
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "6bbc9ace898e44ae57da46a324031adb",
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "a25bea736e30d166cdddb491f175f624",
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz",
            "9fb629c4189551a2d022fa330f9573f3",
            "2646ac647ad5339dbf082846283269ea",
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz",
            "ec29112dd5afa0611ce80d1b7f02629c",
            "27ae3e4e09519cfbb04c329615203637",
        ),
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    licence="no licence file published",
)

FASHION_MNIST = Source(
    name="fashion_mnist",
    title="Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)",
    folder="FashionMNIST/raw",
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz",
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz",
            "25c81989df183df01b3e8a0aad5dffbe",
            "9018921c3c673c538a1fc5bad174d6f9",
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz",
            "bef4ecab320f06d8554ea6380940ec79",
            "8181f5470baa50b63fa0f6fddb340f0a",
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz",
            "bb300cfdad3c16e7a12a480ee83cd310",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
    ),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    licence="MIT (Zalando SE)",
)

# What can be fetched, and the course's own sets, which have no official address.
SOURCES: dict[str, Source | PhotoSource] = {
    source.name: source for source in (MNIST, FASHION_MNIST, *PHOTO_SOURCES)
}
COURSE_SETS: dict[str, PhotoSource] = {source.name: source for source in COURSE_SOURCES}
