"""CIFAR-10 from both layouts, small copies of which are made here; missing data say what to do."""

import pickle
import tarfile

import pytest
import torch
import torchvision
from PIL import Image
from torch.testing import assert_close
from worked.data import MissingData, cifar10, store
from worked.data.cifar10 import BATCHES, CLASSES, IMAGES, download, origin


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKED_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def folders(root, monkeypatch, rng):
    """Two pictures of each class in each split, as PNG; the pixels by split."""
    pixels = {}
    for split in IMAGES:
        monkeypatch.setitem(IMAGES, split, 20)
        pixels[split] = torch.randint(256, (20, 32, 32, 3), generator=rng).byte()
        for i, picture in enumerate(pixels[split]):
            folder = root / "cifar10" / split / CLASSES[i // 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.numpy()).save(folder / f"{i:04}.png")
    return pixels


@pytest.mark.parametrize("split", ["train", "test"])
def test_class_folders(split, folders):
    images, labels = cifar10(split)
    assert_close(images, folders[split].movedim(3, 1).float() / 255)
    assert labels.tolist() == [i // 2 for i in range(20)]
    assert origin() == "CIFAR-10 as .png class folders"


def test_jpeg_folders_say_that_they_are_not_the_original(folders, root):
    for file in (root / "cifar10" / "test" / CLASSES[0]).iterdir():
        file.rename(file.with_suffix(".jpg"))
    assert origin() == "CIFAR-10 as .jpg class folders, re-encoded: not the original pixels"


def test_torchvisions_layout_comes_first(root, monkeypatch, rng, folders):
    pixels = torch.randint(256, (10, 3072), generator=rng).byte()
    batch = {"data": pixels.numpy(), "labels": list(range(10))}
    (root / BATCHES).mkdir()
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        (root / BATCHES / name).write_bytes(pickle.dumps(batch))
    (root / BATCHES / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CLASSES)}))
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda path, md5=None: True)
    images, labels = cifar10("test")
    assert_close(images, pixels.reshape(10, 3, 32, 32).float() / 255)
    assert labels.tolist() == list(range(10))
    assert len(cifar10("train")[0]) == 50
    assert origin() == "CIFAR-10, the original files"


def test_changed_batches_are_not_read(root):
    """torchvision compares checksums before it unpickles anything."""
    (root / BATCHES).mkdir()
    (root / BATCHES / "test_batch").write_bytes(b"something else")
    with pytest.raises(RuntimeError, match="not found or corrupted"):
        cifar10("test")


def test_missing_says_what_to_do(root):
    for call in (cifar10, origin):
        with pytest.raises(MissingData, match=r"python -m worked\.data download cifar10"):
            call()


def test_too_few_pictures_are_an_error(folders, root):
    next((root / "cifar10" / "train" / "frog").iterdir()).unlink()
    with pytest.raises(MissingData, match="holds 19 images, want 20"):
        cifar10("train")


def test_another_split_is_rejected():
    with pytest.raises(ValueError, match="split is one of train, test; got 'valid'"):
        cifar10("valid")


def test_download_unpacks_what_it_has_checked_and_nothing_else(root, monkeypatch):
    def fetched(url, path, *, sha256, size):
        (root / "inside").write_text("x")
        with tarfile.open(path, "w:gz") as archive:
            archive.add(root / "inside", f"{BATCHES}/data_batch_1")
        return path

    monkeypatch.setattr(store, "fetch", fetched)
    assert download() == root / BATCHES
    assert (root / BATCHES / "data_batch_1").read_text() == "x"
    assert not list(root.glob("*.tar.gz"))
    monkeypatch.setattr(store, "fetch", None)  # it is there: nothing is fetched again
    assert download() == root / BATCHES
