"""COCO patches from a synthetic folder in COCO's format; missing data say what to do."""

import json

import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from worked.data import MissingData
from worked.data.coco import CARD, CLASSES, coco_patches


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKED_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def tiny(root, rng):
    """Two photographs with a car, a dog, a crowd and a box that is too small; pixels by id."""
    pixels = {i: torch.randint(256, (60, 80, 3), generator=rng).byte() for i in (7, 9)}
    (root / "coco" / "val2017").mkdir(parents=True)
    (root / "coco" / "annotations").mkdir()
    for i, picture in pixels.items():
        Image.fromarray(picture.numpy()).save(root / "coco" / "val2017" / f"{i:012}.png")
    boxes = [  # image, category, box, crowd
        (9, 3, [20, 10, 40, 40], 0),
        (7, 3, [10, 20, 30, 40], 0),
        (7, 18, [40, 0, 40, 20], 0),
        (7, 18, [0, 0, 50, 50], 1),
        (7, 3, [0, 0, 9, 9], 0),
        (7, 77, [0, 0, 50, 50], 0),
    ]
    rows = [
        {"id": n, "image_id": i, "category_id": k, "bbox": box, "iscrowd": crowd, "area": 1.0}
        for n, (i, k, box, crowd) in enumerate(boxes, 1)
    ]
    notes = {
        "images": [{"id": i, "file_name": f"{i:012}.png", "height": 60, "width": 80} for i in pixels],
        "annotations": rows,
        "categories": [{"id": k, "name": name} for k, name in ((3, "car"), (18, "dog"), (77, "cell phone"))],
    }
    (root / "coco" / "annotations" / "instances_val2017.json").write_text(json.dumps(notes))
    return pixels


def test_patches_of_boxes(tiny):
    images, labels = coco_patches("test", per_class=5, size=40, classes=("car", "dog"))
    assert labels.tolist() == [0, 1, 0]  # in the order of the photographs' ids
    whole = {i: picture.movedim(-1, 0).float() / 255 for i, picture in tiny.items()}
    assert_close(images[0], whole[7][:, 20:60, 5:45])  # 40 x 40: as it stands, about the box's middle
    assert_close(images[2], whole[9][:, 10:50, 20:60])
    assert images[1].shape == (3, 40, 40)  # rows -10 to 30, cut at 0


def test_so_many_of_each_class(tiny):
    assert coco_patches("test", per_class=1, size=8, classes=("car", "dog"))[1].tolist() == [0, 1]
    with pytest.raises(MissingData, match="hold no box of dog"):
        coco_patches("test", per_class=1, classes=("dog",), least=60.0)


def test_unknown_class(tiny):
    with pytest.raises(ValueError, match=r"no such classes in .*: airplane, bird"):
        coco_patches("test", per_class=1)


def test_missing_says_what_to_do(root):
    with pytest.raises(
        MissingData, match=r"coco is not in .*instances_train2017.json(.|\n)*train2017.zip and annot"
    ):
        coco_patches("train", per_class=1)
    assert len(CLASSES) == 10
    assert not CARD.bundled


@pytest.mark.parametrize("arguments", [("valid", 1), ("train", 0)])
def test_rejects(arguments, root):
    split, n = arguments
    with pytest.raises(ValueError, match="split is one of train, test, per_class >= 1"):
        coco_patches(split, per_class=n)
