import gzip
import hashlib
import os
from importlib import import_module
from pathlib import Path

import pytest
import torch
from worked.data import CARDS, ChecksumError, MissingData, mnist, store
from worked.data.__main__ import main

module = import_module("worked.data.mnist")  # `worked.data.mnist` is the function

RAW = Path(os.environ.get("WORKED_DATA", "/nowhere")) / "MNIST" / "raw"
real = pytest.mark.skipif(
    not (RAW / "t10k-labels-idx1-ubyte").is_file(),
    reason="WORKED_DATA has no MNIST: the real files are not checked here",
)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def idx(array: torch.Tensor) -> bytes:
    """The format of the four files: magic (type, dimensions), sizes, bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.to(torch.uint8).numpy().tobytes()


@pytest.fixture
def tiny(monkeypatch, tmp_path, rng):
    """Four small files in place of MNIST's, with their own checksums; the mirror is a dict."""
    monkeypatch.setenv("WORKED_DATA", str(tmp_path))
    contents = {}
    for prefix, n in (("train", 5), ("t10k", 3)):
        images = torch.randint(256, (n, 28, 28), generator=rng)
        images[0, 0, 0], images[0, 0, 1] = 0, 255
        contents[f"{prefix}-images-idx3-ubyte"] = idx(images)
        contents[f"{prefix}-labels-idx1-ubyte"] = idx(torch.arange(n))
    packed = {name: gzip.compress(content) for name, content in contents.items()}
    files = {name: (sha(contents[name]), sha(packed[name]), len(packed[name])) for name in contents}
    monkeypatch.setattr(module, "FILES", files)
    fetched = []

    def fetch(url, path, *, sha256, size):
        fetched.append(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed[path.name.removesuffix(".gz")])
        return store.verify(path, sha256)

    monkeypatch.setattr(store, "fetch", fetch)
    return contents, fetched


def test_download_then_read(tiny):
    contents, fetched = tiny
    folder = module.download()
    assert {path.name for path in folder.iterdir()} == set(contents)
    assert len(fetched) == 4
    assert all(url.startswith("https://") for url in fetched)
    images, labels = mnist("train")
    assert images.shape == (5, 1, 28, 28)
    assert labels.tolist() == [0, 1, 2, 3, 4]
    assert (images[0, 0, 0, 0], images[0, 0, 0, 1]) == (-1, 1)
    raw = torch.frombuffer(bytearray(contents["train-images-idx3-ubyte"][16:]), dtype=torch.uint8)
    torch.testing.assert_close((images + 1) * 127.5, raw.reshape(5, 1, 28, 28).float(), rtol=0, atol=1e-4)
    assert mnist("test")[0].shape == (3, 1, 28, 28)


def test_what_is_there_is_not_fetched_again(tiny):
    contents, fetched = tiny
    module.download()
    (module.folder() / "t10k-labels-idx1-ubyte").unlink()
    (module.folder() / "t10k-images-idx3-ubyte").write_bytes(b"damaged")
    fetched.clear()
    module.download()
    names = [url.rsplit("/", 1)[1] for url in fetched]
    assert names == ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    assert (module.folder() / "t10k-images-idx3-ubyte").read_bytes() == contents["t10k-images-idx3-ubyte"]


def test_the_second_mirror_steps_in(tiny, monkeypatch):
    _, fetched = tiny
    fetch = store.fetch

    def flaky(url, path, **rest):
        if url.startswith(module.MIRRORS[0]):
            raise ConnectionError("gone")
        return fetch(url, path, **rest)

    monkeypatch.setattr(store, "fetch", flaky)
    module.download()
    assert all(url.startswith(module.MIRRORS[1]) for url in fetched)


def test_no_mirror(tiny, monkeypatch):
    def broken(url, path, **_):
        raise ConnectionError("gone")

    monkeypatch.setattr(store, "fetch", broken)
    with pytest.raises(ConnectionError, match=r"no mirror gave the file:\n.*gone\n.*gone"):
        module.download()


def test_what_is_unpacked_is_checked_too(tiny, monkeypatch):
    name = "t10k-labels-idx1-ubyte"
    monkeypatch.setitem(module.FILES, name, (sha(b"other"), *module.FILES[name][1:]))
    with pytest.raises(ChecksumError, match=f"want {sha(b'other')}"):
        module.download()
    assert not (module.folder() / name).exists()


def test_missing_files_say_how_to_get_them(tiny):
    with pytest.raises(MissingData, match=r"mnist is not in (.|\n)*12 MB(.|\n)*worked.data download mnist"):
        mnist()
    module.download()
    (module.folder() / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(MissingData, match="train-labels-idx1-ubyte"):
        mnist("train")


def test_a_changed_file_is_refused(tiny):
    module.download()
    path = module.folder() / "train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ChecksumError, match="train-images-idx3-ubyte is not the file it should be"):
        mnist("train")
    mnist("test")


def test_an_unknown_split(tiny):
    with pytest.raises(ValueError, match="one of train, test; got 'valid'"):
        mnist("valid")


@real
def test_the_real_files():
    images, labels = mnist("test")
    assert images.shape == (10_000, 1, 28, 28)
    assert labels[:4].tolist() == [7, 2, 1, 0]
    assert labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@real
def test_the_real_training_files():
    images, labels = mnist("train")
    assert images.shape == (60_000, 1, 28, 28)
    assert labels[:4].tolist() == [5, 0, 4, 1]
    assert abs(((images + 1) / 2).mean() - 0.1307) < 1e-4  # the mean that everyone normalises by


def run(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["worked.data", *words])
    main()


def test_the_command_lists_every_card(monkeypatch, capsys):
    run(monkeypatch, "list")
    out = capsys.readouterr().out
    for card in CARDS:
        assert f"\n{card.name}\n  {card.what}\n  {card.source}\n" in out


def test_the_command_downloads(tiny, monkeypatch, capsys):
    run(monkeypatch, "download", "mnist")
    assert capsys.readouterr().out == f"mnist: complete in {module.folder()}\n"


@pytest.mark.parametrize(
    ("error", "match"),
    [(ConnectionError("gone"), "mnist: no mirror"), (KeyboardInterrupt(), "the same command continues")],
)
def test_the_command_says_what_went_wrong(tiny, monkeypatch, error, match):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(store, "fetch", fail)
    with pytest.raises(SystemExit, match=match):
        run(monkeypatch, "download", "mnist")
    with pytest.raises(SystemExit):
        run(monkeypatch, "download", "stars")
