"""Small real graphs that come with networkx: nothing to download."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from worked.data.store import Card

CARDS = (
    Card(
        name="karate_club",
        what="34 members of a karate club, 78 friendships; label: the side taken when the club split",
        source="networkx, after W. W. Zachary (1977), doi:10.1086/jar.33.4.3629752",
        licence="facts as published",
        bundled=True,
        size="in networkx",
    ),
    Card(
        name="southern_women",
        what="18 women, 14 social events, 89 attendances; label: 0 woman, 1 event",
        source="networkx, after A. Davis, B. B. Gardner, M. R. Gardner, Deep South (1941)",
        licence="facts as published",
        bundled=True,
        size="in networkx",
    ),
)


@dataclass(frozen=True)
class Graph:
    """An undirected graph on nodes 0..n-1: every edge stands twice in ``edge_index``, once in each direction.

    Raises ValueError if an edge leads to a node that does not exist, or lacks its reverse.
    """

    edge_index: Int64[Tensor, "2 e"]  # row 0: from, row 1: to
    labels: Int64[Tensor, " n"]

    def __post_init__(self) -> None:
        if self.edge_index.numel() and (self.edge_index.min() < 0 or self.edge_index.max() >= self.n):
            got = f"{self.edge_index.min()}..{self.edge_index.max()}"
            raise ValueError(f"edges between nodes {got}, but the nodes are 0..{self.n - 1}")
        there, back = (
            set(zip(*rows.tolist(), strict=True)) for rows in (self.edge_index, self.edge_index.flip(0))
        )
        if there != back:
            raise ValueError(f"edges without their reverse: {sorted(there - back)}")

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.labels)


def karate_club() -> Graph:
    """Zachary's karate club: n = 34, 78 friendships, so 156 columns; label 0 stayed with Mr. Hi (node 0)."""
    import networkx  # only needed here

    graph = networkx.karate_club_graph()
    return _graph(graph, [int(graph.nodes[node]["club"] == "Officer") for node in graph])


def southern_women() -> Graph:
    """Women and the events they attended, bipartite: n = 32 (18 women first), 89 attendances, 178 columns."""
    import networkx

    graph = networkx.davis_southern_women_graph()
    return _graph(graph, [graph.nodes[node]["bipartite"] for node in graph])


def _graph(graph, labels: list[int]) -> Graph:
    """Number the nodes in the order of the networkx graph."""
    number = {node: i for i, node in enumerate(graph)}
    edges = sorted((number[a], number[b]) for u, v in graph.edges for a, b in ((u, v), (v, u)))
    return Graph(torch.tensor(edges).T.contiguous(), torch.tensor(labels))
