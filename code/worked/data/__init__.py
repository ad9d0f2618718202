"""Data for the chapters: bundled and drawn sets work offline; MNIST, CIFAR-10, COCO under WORKED_DATA."""

from worked.data import cifar10 as _cifar10
from worked.data import cluttered_digits as _cluttered_digits
from worked.data import coco as _coco
from worked.data import digits as _digits
from worked.data import faces as _faces
from worked.data import graphs as _graphs
from worked.data import mnist as _mnist
from worked.data import photographs as _photographs
from worked.data import scenes as _scenes
from worked.data.cifar10 import cifar10
from worked.data.cluttered_digits import cluttered_digits
from worked.data.coco import coco_patches
from worked.data.digits import digits
from worked.data.faces import Faces, faces
from worked.data.graphs import Graph, karate_club, southern_women
from worked.data.mnist import mnist
from worked.data.photographs import photograph
from worked.data.scenes import Scenes, scenes
from worked.data.store import Card, ChecksumError, MissingData

CARDS: tuple[Card, ...] = (
    _digits.CARD,
    _photographs.CARD,
    _scenes.CARD,
    _cluttered_digits.CARD,
    _faces.CARD,
    *_graphs.CARDS,
    _mnist.CARD,
    _cifar10.CARD,
    _coco.CARD,
)
DOWNLOADS = {"mnist": _mnist.download, "cifar10": _cifar10.download}

__all__ = [
    "CARDS",
    "DOWNLOADS",
    "Card",
    "ChecksumError",
    "Faces",
    "Graph",
    "MissingData",
    "Scenes",
    "cifar10",
    "cluttered_digits",
    "coco_patches",
    "digits",
    "faces",
    "karate_club",
    "mnist",
    "photograph",
    "scenes",
    "southern_women",
]
