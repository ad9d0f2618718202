"""Data that comes inside libraries: right shapes, right ranges, the same as the library's, and offline."""

import socket

import networkx
import pytest
import torch
from skimage import data as skimage_data
from sklearn.datasets import load_digits
from torch.testing import assert_close
from worked.data import CARDS, Graph, MissingData, digits, karate_club, photograph, southern_women
from worked.data.photographs import PHOTOGRAPHS


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("bundled data asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_digits():
    images, labels = digits()
    assert images.shape == (1797, 1, 8, 8)
    assert labels[:10].tolist() == list(range(10))
    assert (images.min(), images.max()) == (-1, 1)
    assert_close(images[:, 0].double() * 8 + 8, torch.tensor(load_digits().images))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs(name):
    image = photograph(name)
    assert image.is_contiguous()
    assert 0 <= image.min() < image.max() <= 1
    assert image.max() > 0.5  # not scaled twice
    pixels = torch.tensor(getattr(skimage_data, {"hubble": "hubble_deep_field"}.get(name, name))())
    want = pixels.expand(3, *pixels.shape) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    assert_close(image, want / 255)


def test_an_unknown_photograph_names_the_choices():
    with pytest.raises(ValueError, match="no photograph 'dog'; choose one of: astronaut"):
        photograph("dog")


def test_a_photograph_that_scikit_image_does_not_carry_is_not_downloaded(monkeypatch):
    monkeypatch.setitem(PHOTOGRAPHS, "eagle", "eagle.png")
    with pytest.raises(MissingData, match=r"does not carry eagle\.png"):
        photograph("eagle")


@pytest.mark.parametrize(
    ("make", "graph", "n", "edges"),
    [
        (karate_club, networkx.karate_club_graph, 34, 78),
        (southern_women, networkx.davis_southern_women_graph, 32, 89),
    ],
)
def test_graphs_as_networkx(make, graph, n, edges):
    ours, theirs = make(), graph()
    assert ours.n == n
    assert ours.edge_index.shape == (2, 2 * edges)
    dense = torch.zeros(n, n)
    dense[ours.edge_index[0], ours.edge_index[1]] = 1
    assert_close(dense, torch.tensor(networkx.to_numpy_array(theirs, weight=None)).float())


def test_labels_of_the_karate_club():
    labels = karate_club().labels
    assert (labels[0], labels[33]) == (0, 1)  # the two who parted
    assert labels.sum() == 17


def test_southern_women_meet_only_at_events():
    graph = southern_women()
    assert graph.labels.sum() == 14
    assert (graph.labels[graph.edge_index[0]] != graph.labels[graph.edge_index[1]]).all()


@pytest.mark.parametrize(
    ("edges", "match"),
    [
        ([[0, 3], [3, 0]], "edges between nodes 0..3, but the nodes are 0..2"),
        ([[0, -1], [-1, 0]], "edges between nodes -1..0"),
        ([[0, 1], [1, 2]], r"without their reverse: \[\(1, 2\)\]|without their reverse"),
    ],
)
def test_a_graph_must_be_one(edges, match):
    with pytest.raises(ValueError, match=match):
        Graph(torch.tensor(edges), torch.zeros(3, dtype=torch.long))


def test_a_graph_without_edges():
    assert Graph(torch.zeros(2, 0, dtype=torch.long), torch.zeros(3, dtype=torch.long)).n == 3


def test_each_card_is_filled_in():
    assert len({card.name for card in CARDS}) == len(CARDS)
    for card in CARDS:
        assert all((card.name, card.what, card.source, card.licence, card.size))
