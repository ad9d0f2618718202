"""MNIST in torchvision's layout: four files in WORKED_DATA/MNIST/raw, checked on every reading."""

import gzip
import os
import shutil
from pathlib import Path

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from worked.data import store

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
CARD = store.Card(
    name="mnist",
    what="60,000 + 10,000 handwritten digits, 28x28, grey",
    source=f"Y. LeCun, C. Cortes, C. J. C. Burges, from {MIRRORS[0]}",
    licence="CC BY-SA 3.0",
    bundled=False,
    size="four files, 12 MB to download and 55 MB on disk",
)

# file -> (sha256 of the file, sha256 of the .gz that is downloaded, bytes of the .gz)
FILES = {
    "train-images-idx3-ubyte": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        9_912_422,
    ),
    "train-labels-idx1-ubyte": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        28_881,
    ),
    "t10k-images-idx3-ubyte": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        1_648_877,
    ),
    "t10k-labels-idx1-ubyte": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        4_542,
    ),
}
PREFIX = {"train": "train", "test": "t10k"}


def folder() -> Path:
    """Where torchvision looks for the four files."""
    return store.root() / "MNIST" / "raw"


def mnist(split: str = "train") -> tuple[Float32[Tensor, "n 1 28 28"], Int64[Tensor, " n"]]:
    """The 60,000 training or 10,000 test images, scaled from 0..255 to [-1, 1], and their labels 0..9.

    Known value: the first training label is 5, the first test label is 7. Raises ValueError on another split,
    MissingData if a file is absent, ChecksumError if one has been changed.
    """
    if split not in PREFIX:
        raise ValueError(f"split is one of {', '.join(PREFIX)}; got {split!r}")
    for name, (checksum, _, _) in FILES.items():
        if not (folder() / name).is_file():
            raise store.missing(CARD, folder() / name)
        if name.startswith(PREFIX[split]):
            store.verify(folder() / name, checksum)
    from torchvision.datasets import MNIST  # seconds to import, and only needed here

    data = MNIST(store.root(), train=split == "train")
    return data.data[:, None].to(torch.float32) / 127.5 - 1, data.targets.to(torch.int64)


def download() -> Path:
    """Fetch what is missing, unpack it, and check it; the folder that holds the four files."""
    for name, (checksum, checksum_gz, size) in FILES.items():
        target = folder() / name
        if target.is_file() and store.sha256(target) == checksum:
            continue
        packed = _from_a_mirror(name + ".gz", checksum_gz, size)
        part = target.with_name(name + ".part")
        with gzip.open(packed) as source, open(part, "wb") as unpacked:
            shutil.copyfileobj(source, unpacked)
        os.replace(store.verify(part, checksum), target)
        packed.unlink()
    return folder()


def _from_a_mirror(name: str, checksum: str, size: int) -> Path:
    path = folder() / name
    if path.is_file() and store.sha256(path) == checksum:
        return path
    failures = []
    for mirror in MIRRORS:
        try:
            return store.fetch(mirror + name, path, sha256=checksum, size=size)
        except (OSError, store.ChecksumError) as error:  # URLError, HTTPError, ConnectionError are OSErrors
            failures.append(f"{mirror}: {error}")
    raise ConnectionError("no mirror gave the file:\n  " + "\n  ".join(failures))
