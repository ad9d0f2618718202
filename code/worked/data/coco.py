"""Patches of MS COCO, one an annotated box, as a classification set: read by torchvision's loader."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from worked.data import store

SITE = "https://cocodataset.org/#download"
SPLITS = {"train": "train2017", "test": "val2017"}
CLASSES = ("person", "car", "chair", "bottle", "dog", "cat", "bird", "horse", "boat", "airplane")
CARD = store.Card(
    name="coco",
    what="118,287 + 5,000 photographs of everyday scenes with annotated boxes, read as patches",
    source=f"T.-Y. Lin et al., Microsoft COCO: Common Objects in Context (2014), arXiv:1405.0312, {SITE}",
    licence="annotations CC BY 4.0; the photographs under Flickr's terms",
    bundled=False,
    size="19 GB of photographs (val2017 alone 0.8 GB) and 0.25 GB of annotations to download",
)


def folder() -> Path:
    """WORKED_DATA/coco, which holds train2017/, val2017/ and annotations/, as the archives unpack."""
    return store.root() / "coco"


def coco_patches(
    split: str = "train",
    *,
    per_class: int,
    size: int = 32,
    classes: tuple[str, ...] = CLASSES,
    least: float = 32.0,
) -> tuple[Float32[Tensor, "n 3 size size"], Int64[Tensor, " n"]]:
    """Up to per_class patches of each class in [0, 1], and their labels 0, 1, ... in the order of classes.

    A patch is the square around an annotated box, as large as the box's longer side, cut where the photograph
    ends, and resized to size x size. Boxes of crowds, and those with a longer side below `least` pixels, are
    left out. Photographs are read in the order of their ids, so that a call always gives the same patches.

    Known value: a box (x, y, width, height) = (10, 20, 30, 40) gives columns 5 to 45 and rows 20 to 60.
    Raises ValueError on another split or per_class < 1 and on a class that the annotations do not have,
    MissingData if files are not there, ImportError without pycocotools, which torchvision's loader needs.
    """
    if split not in SPLITS or per_class < 1:
        raise ValueError(f"split is one of {', '.join(SPLITS)}, per_class >= 1; got {split!r}, {per_class}")
    pictures, notes = folder() / SPLITS[split], folder() / "annotations" / f"instances_{SPLITS[split]}.json"
    for path in (notes, pictures):
        if not path.exists():
            raise _missing(path, split)
    from torchvision.datasets import CocoDetection  # seconds to import, and only needed here
    from torchvision.transforms.functional import pil_to_tensor, resize

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress
            data = CocoDetection(pictures, str(notes))
    except ModuleNotFoundError as error:
        raise ImportError("torchvision's CocoDetection needs pycocotools: pip install pycocotools") from error
    names = {row["name"]: row["id"] for row in data.coco.loadCats(data.coco.getCatIds())}
    if unknown := set(classes) - names.keys():
        raise ValueError(f"no such classes in {notes.name}: {', '.join(sorted(unknown))}")
    label = {names[name]: k for k, name in enumerate(classes)}
    left, patches, labels = [per_class] * len(classes), [], []
    for i, image_id in enumerate(data.ids):
        if not any(left):
            break
        rows = data.coco.loadAnns(data.coco.getAnnIds(image_id))
        rows = [r for r in rows if _wanted(r, label, least)]
        if not any(left[label[r["category_id"]]] for r in rows):
            continue  # nothing here is wanted: do not decode the photograph
        image, _ = data[i]
        picture = pil_to_tensor(image)  # (3, h, w)
        for row in rows:
            k = label[row["category_id"]]
            if left[k]:
                left[k] -= 1
                patches.append(resize(_square(picture, row["bbox"]), [size, size], antialias=True))
                labels.append(k)
    if not patches:
        raise store.MissingData(f"{pictures} and {notes.name} hold no box of {', '.join(classes)}")
    return torch.stack(patches).float() / 255, torch.tensor(labels)


def _wanted(row: dict, label: dict[int, int], least: float) -> bool:
    return row["category_id"] in label and not row.get("iscrowd", 0) and max(row["bbox"][2:]) >= least


def _square(picture: Tensor, box: Sequence[float | int]) -> Tensor:
    """The square about a box (x, y, width, height), as far as the picture goes."""
    x, y, w, h = box
    side = max(w, h)
    left, top = x + (w - side) / 2, y + (h - side) / 2
    rows = slice(max(0, round(top)), max(1, round(top + side)))
    return picture[:, rows, max(0, round(left)) : max(1, round(left + side))]


def _missing(where: Path, split: str) -> store.MissingData:
    return store.MissingData(
        f"coco is not in {where}\n"
        f"  what:    {CARD.what}, {CARD.size}\n"
        f"  source:  {CARD.source}\n"
        f"  get it:  {SPLITS[split]}.zip and annotations_trainval2017.zip from {SITE}, in {folder()}\n"
        f"  or set WORKED_DATA to a folder that has them in coco (now: {store.root()})"
    )
