"""The standard text sets: their files, where these come from, how they are found and read.

Looked for under `--data_dir`, else `$DL_COURSE_DATA`, else `data/`: NAME/FILE, or FILE at once
where `--data_dir` is the set's own folder; each file plain, .gz or .xz. The MD5 sum of what is
inside is compared at every reading: it guards against damage and mix-ups, not against an attacker.
The novels lie packed in one `english_novels.tar.xz`, or as `train/*.txt` and `val/*.txt`.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from utils.datasets.lookup import ENVIRONMENT, data_root, download_command
from utils.errors import MissingDataError, UserError

GZIP_MAGIC, XZ_MAGIC = b"\x1f\x8b", b"\xfd7zXZ"
PACKED = (".gz", ".xz", "")  # packed first: such a file has a checksum of its own
RAW = "https://raw.githubusercontent.com/"


@dataclass(frozen=True)
class TextFile:
    """One file: its name without .gz, the MD5 of its content, the published address.

    `gzip_md5` is the sum of the file at `url` where that is published as gzip, else "".
    """

    name: str
    content_md5: str
    url: str = ""
    gzip_md5: str = ""

    @property
    def published(self) -> str:
        """The name under which a downloaded copy is kept."""
        return self.name + (".gz" if self.gzip_md5 else "")


@dataclass(frozen=True)
class TextSource:
    """A set of text files in `folder`; `archive` is the name without .tar.xz of one packed file."""

    name: str
    title: str
    folder: str
    summary: str
    licence: str
    embedded_alternative: str
    files: tuple[TextFile, ...] = ()
    archive: str = ""

    @property
    def fetchable(self) -> bool:
        """Whether every file has an address."""
        return bool(self.files) and all(file.url for file in self.files)


SHAKESPEARE = TextSource(
    name="tiny_shakespeare",
    title="tiny-shakespeare (Karpathy 2015), 40,000 lines of the plays",
    folder="tiny_shakespeare",
    summary="text, 1,115,394 characters",
    licence="the text is in the public domain",
    embedded_alternative="topics",
    files=(
        TextFile(
            "input.txt",
            "6fb458f1232090904fb40fe944165e91",
            f"{RAW}karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        ),
    ),
)

NAMES = TextSource(
    name="names",
    title="first names in the USA (ssa.gov 2018, of Karpathy's makemore)",
    folder="names",
    summary="text, 32,033 lines",
    licence="MIT",
    embedded_alternative="topics",
    files=(
        TextFile(
            "names.txt",
            "401b3c4cac9e28a586ed15e81256680d",
            f"{RAW}karpathy/makemore/master/names.txt",
        ),
    ),
)

NOVELS = TextSource(
    name="english_novels",
    title="36 English novels, 1852 to 1927, of computationalstylistics/100_english_novels",
    folder="english_novels",
    summary="text, 22 million characters",
    licence="public domain in the USA, not everywhere",
    embedded_alternative="topics",
    archive="english_novels",
)

MULTI30K_URL = f"{RAW}multi30k/dataset/master/data/task1/raw/"
MULTI30K_SUMS = """
train.en 053a34ece7c904dbc8c7361799afbe4c 0065d13af80720a55ca8153d126e6627
train.de d3b4bc1671cfb805267f97f16884beba 81ff90b99829c0cd4b1b587d394afd39
train.fr 849ec62eac03bcc3335f8bac00a4045a 6cb767741dcad3931f966fefbc05203f
val.en 2234730e7925354b766681b029b347ec 2b69aa9253948ac9f67e94917272dd40
val.de 9f139b15d9d11936dea7af2904e57d8c 6e0e229eb049e3fc99a1ef02fb2d5f91
val.fr 5c6267b6b147feb0fd6a826d01b7a53a 93fc564584b7e5ba410c761ea5a1c682
test_2016_flickr.en 2022a6c31e2418047a0511333d55ed42 ff2c0fcb4893a13bd73414306bc250ae
test_2016_flickr.de cde61d7401b116652ee84099c7858ca3 efd67d314d98489b716b145475101932
test_2016_flickr.fr 091159ae517b43efa0faaa650c49923b 08dc7cd4a662f31718412de95ca9bfe3
"""

MULTI30K = TextSource(
    name="multi30k",
    title="Multi30k task 1 (Elliott and others 2016, 2017), English, German, French",
    folder="multi30k",
    summary="31,014 sentences in 3 languages",
    licence="no licence file published",
    embedded_alternative="numbers",
    files=tuple(
        TextFile(name, content, f"{MULTI30K_URL}{name}.gz", packed)
        for name, content, packed in map(str.split, MULTI30K_SUMS.strip().splitlines())
    ),
)

RT_POLARITY = TextSource(
    name="rt_polarity",
    title="rt-polarity (Pang, Lee 2005), sentences of film reviews",
    folder="rt_polarity",
    summary="10,662 sentences, 2 classes",
    licence="no licence file published",
    embedded_alternative="languages",
    files=(
        TextFile(
            "rt-polarity.neg",
            "1e35b7f7c5df24a135ca62b8eecded53",
            f"{RAW}yoonkim/CNN_sentence/master/rt-polarity.neg",
        ),
        TextFile(
            "rt-polarity.pos",
            "afcc7ff580b3b4df4bdb6528e6558ab5",
            f"{RAW}yoonkim/CNN_sentence/master/rt-polarity.pos",
        ),
    ),
)

SST2_URL = f"{RAW}clairett/pytorch-sentiment-classification/master/data/SST2/"
SST2 = TextSource(
    name="sst2",
    title="Stanford Sentiment Treebank, 2 classes (Socher and others 2013), whole sentences",
    folder="sst2",
    summary="9,613 sentences, 2 classes",
    licence="no licence file published",
    embedded_alternative="languages",
    files=(
        TextFile("train.tsv", "c6150a821d5effe356ec872c2b95855c", f"{SST2_URL}train.tsv"),
        TextFile("dev.tsv", "3f2a9a844576f2b5a7aeeac2ccbab1c7", f"{SST2_URL}dev.tsv"),
        TextFile("test.tsv", "f8f49ee1b37ec68b0e8977fbe33761e2", f"{SST2_URL}test.tsv"),
    ),
)

TREC_URL = f"{RAW}harvardnlp/sent-conv-torch/master/data/"
TREC = TextSource(
    name="trec",
    title="TREC question types (Li, Roth 2002)",
    folder="trec",
    summary="5,952 questions, 6 classes",
    licence="MIT (of the copy)",
    embedded_alternative="languages",
    files=(
        TextFile("TREC.train.all", "c62c403d02ef12ad46da9bfb308473d4", f"{TREC_URL}TREC.train.all"),
        TextFile("TREC.test.all", "0e43dfe89110e97af7e7d5c5dbc55293", f"{TREC_URL}TREC.test.all"),
    ),
)

SICK = TextSource(
    name="sick",
    title="SICK (Marelli and others 2014): pairs of sentences, entailment and relatedness",
    folder="sick",
    summary="9,417 pairs, 3 classes",
    licence="CC BY-NC-SA 3.0",
    embedded_alternative="pairs",
    files=(  # a split of the course, made from praguna/sick_dataset: no published file has it
        TextFile("train.tsv", "52f084ca4474fc3707019115c352278a"),
        TextFile("val.tsv", "17d2da8f1543086e6eabd0a5188fadad"),
        TextFile("test.tsv", "a1cb18781782660e843d1c108460ad6b"),
    ),
)

ETT_URL = f"{RAW}zhouhaoyi/ETDataset/main/ETT-small/"
ETT = TextSource(
    name="ett",
    title="electricity transformer temperature (Zhou and others 2021), hourly",
    folder="timeseries",
    summary="2 tables of 17,420 x 7",
    licence="CC BY-ND 4.0",
    embedded_alternative="lorenz",
    files=(
        TextFile("ETTh1.csv", "8381763947c85f4be6ac456c508460d6", f"{ETT_URL}ETTh1.csv"),
        TextFile("ETTh2.csv", "51a229a3fc13579dd939364fefe9c7ab", f"{ETT_URL}ETTh2.csv"),
    ),
)

TEXT_SOURCES: dict[str, TextSource] = {
    source.name: source
    for source in (SHAKESPEARE, NAMES, NOVELS, MULTI30K, RT_POLARITY, SST2, TREC, SICK, ETT)
}


def text_folders(source: TextSource, data_dir: str | Path | None = None) -> list[Path]:
    """The folders in which the files are looked for, in this order."""
    root = data_root(data_dir)
    return [root / source.folder, root]


def packed_or_plain(folder: Path, name: str) -> Path | None:
    """The file `name` in `folder`: NAME.gz, NAME.xz or NAME, the first that is there."""
    return next((p for end in PACKED if (p := folder / (name + end)).is_file()), None)


def find_text(source: TextSource, data_dir: str | Path | None = None) -> Path | None:
    """The folder that holds all files of `source` (or its archive); None if there is none."""
    for folder in text_folders(source, data_dir):
        if source.archive:
            unpacked = all(any((folder / part).glob("*.txt")) for part in ("train", "val"))
            archive = folder / f"{source.archive}.tar.xz"
            if archive.is_file() or unpacked:
                return archive if archive.is_file() else folder
        elif all(packed_or_plain(folder, file.name) for file in source.files):
            return folder
    return None


def text_path(source: TextSource, name: str, data_dir: str | Path | None = None) -> Path:
    """The path of one file of `source`; MissingDataError says how to get it."""
    for folder in text_folders(source, data_dir):
        if path := packed_or_plain(folder, name):
            return path
    raise missing_text(source, data_dir)


def read_text_file(source: TextSource, name: str, data_dir: str | Path | None = None) -> bytes:
    """The bytes of one file of `source`, unpacked. UserError: missing, damaged, another file."""
    path = text_path(source, name, data_dir)
    content = unpacked(path)
    file = next(file for file in source.files if file.name == name)
    if md5(content) != file.content_md5:
        again = f"fetch it again with `{download_command(source, data_dir)}`"
        raise UserError(
            f"{path} is not the published file (its MD5 sum differs); remove it and "
            f"{again if source.fetchable else 'put the right one there'}."
        )
    return content


def unpacked(path: str | Path) -> bytes:
    """The bytes in a file, plain, gzip or xz. UserError names a file that is damaged."""
    try:
        content = Path(path).read_bytes()
        if content.startswith(GZIP_MAGIC):
            return gzip.decompress(content)
        return lzma.decompress(content) if content.startswith(XZ_MAGIC) else content
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{path} is a damaged packed file ({error}).") from None
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error}).") from None


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def missing_text(source: TextSource, data_dir: str | Path | None = None) -> MissingDataError:
    """The error to raise: what was looked for, where, how to get it, what to use instead."""
    origin = "--data_dir" if data_dir else "the default folder"
    if not data_dir and os.environ.get(ENVIRONMENT):
        origin = f"${ENVIRONMENT}"
    wanted = ", ".join(f"{file.name}[.gz|.xz]" for file in source.files)
    if source.archive:
        wanted = f"{source.archive}.tar.xz, or train/*.txt and val/*.txt"
    places = " and ".join(map(str, text_folders(source, data_dir)))
    get = how_to_put(source, data_dir)
    if source.fetchable:
        get = f"fetch it with `{download_command(source, data_dir)}`"
    sentence = (
        f"the data set {source.name} is not here: looked for {wanted} in {places} (from {origin}); "
        f"{get}"
    )
    return MissingDataError(sentence, (source.embedded_alternative,))


def how_to_put(source: TextSource, data_dir: str | Path | None = None) -> str:
    """What to do by hand where no address is known."""
    own = data_root(data_dir) / source.folder
    if source.archive:
        what = f"put UTF-8 text into {own} as train/*.txt and val/*.txt"
    else:
        what = f"put the course's {', '.join(file.name for file in source.files)} into {own}"
    return f"it has no official address to fetch it from: {what}"
