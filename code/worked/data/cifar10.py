"""CIFAR-10 in torchvision's layout (WORKED_DATA/cifar-10-batches-py), or as class folders of pictures."""

import tarfile
from pathlib import Path

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from worked.data import store

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGES = {"train": 50_000, "test": 10_000}
BATCHES = "cifar-10-batches-py"  # as torchvision's CIFAR10 lays it out
ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256, SIZE = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce", 170_498_071
CARD = store.Card(
    name="cifar10",
    what="50,000 + 10,000 colour photographs of ten classes, 32x32",
    source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009), "
    "https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none stated by its makers",
    bundled=False,
    size="170 MB to download, 186 MB on disk",
)


def cifar10(split: str = "train") -> tuple[Float32[Tensor, "n 3 32 32"], Int64[Tensor, " n"]]:
    """All images of a split in [0, 1], and their labels 0..9 in the order of CLASSES.

    Class folders (WORKED_DATA/cifar10/train/airplane/*.png or .jpg) come sorted by class, the original in its
    own mixed order; `origin` says which of the two is read.

    Known value: the test split holds 1,000 images of each class. Raises ValueError on another split,
    MissingData if neither layout is there or class folders hold fewer images than they should.
    """
    if split not in IMAGES:
        raise ValueError(f"split is one of {', '.join(IMAGES)}; got {split!r}")
    if (store.root() / BATCHES).is_dir():
        from torchvision.datasets import CIFAR10  # seconds to import, and only needed here

        data = CIFAR10(store.root(), train=split == "train")  # compares checksums before it reads
        return torch.from_numpy(data.data).movedim(3, 1).float() / 255, torch.tensor(data.targets)
    folder = store.root() / "cifar10" / split
    if not all((folder / name).is_dir() for name in CLASSES):
        raise store.missing(CARD, store.root() / BATCHES)
    from torchvision.datasets import ImageFolder
    from torchvision.transforms.functional import pil_to_tensor

    data = ImageFolder(folder, transform=pil_to_tensor)
    if len(data) != IMAGES[split]:
        raise store.MissingData(f"{folder} holds {len(data)} images, want {IMAGES[split]}: unpack it again")
    images, labels = zip(*data, strict=True)
    return torch.stack(images).float() / 255, torch.tensor(labels)


def origin() -> str:
    """Which files `cifar10` reads, in words for a record; MissingData if there are none."""
    if (store.root() / BATCHES).is_dir():
        return "CIFAR-10, the original files"
    first = next((store.root() / "cifar10" / "test" / CLASSES[0]).glob("*"), None)
    if first is None:
        raise store.missing(CARD, store.root() / BATCHES)
    lossy = first.suffix.lower() in (".jpg", ".jpeg")
    return f"CIFAR-10 as {first.suffix} class folders" + (", re-encoded: not the original pixels" * lossy)


def download() -> Path:
    """Fetch the archive, check it, and unpack it where torchvision looks; the folder that it makes."""
    folder = store.root() / BATCHES
    if not folder.is_dir():
        packed = store.fetch(ARCHIVE, store.root() / Path(ARCHIVE).name, sha256=SHA256, size=SIZE)
        with tarfile.open(packed) as archive:
            archive.extractall(store.root(), filter="data")
        packed.unlink()
    return folder
