"""Data for the chapters: bundled sets that work offline, and MNIST under WORKED_DATA."""

from worked.data import digits as _digits
from worked.data import graphs as _graphs
from worked.data import mnist as _mnist
from worked.data import photographs as _photographs
from worked.data.digits import digits
from worked.data.graphs import Graph, karate_club, southern_women
from worked.data.mnist import mnist
from worked.data.photographs import photograph
from worked.data.store import Card, ChecksumError, MissingData

CARDS: tuple[Card, ...] = (_digits.CARD, _photographs.CARD, *_graphs.CARDS, _mnist.CARD)
DOWNLOADS = {"mnist": _mnist.download}

__all__ = [
    "CARDS",
    "DOWNLOADS",
    "Card",
    "ChecksumError",
    "Graph",
    "MissingData",
    "digits",
    "karate_club",
    "mnist",
    "photograph",
    "southern_women",
]
