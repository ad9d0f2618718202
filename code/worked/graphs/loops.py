"""Every node its own neighbour: the loops that some layers need."""

import torch

from worked.graphs.adjacency import Adjacency


def with_loops(adjacency: Adjacency) -> Adjacency:
    """The graph with the edge (v, v) at every node; loops that are there already stay single.

    The result is kept with the graph, so that a second call costs nothing.
    Known value: the path 0 - 1 - 2 has 4 directed edges; with loops it has 7, and in-degrees 2, 3, 2.
    Taught in: graphs/message-functions, def-mf-gcn.
    """
    if "with_loops" not in adjacency.kept:
        edges = adjacency.edge_index
        nodes = torch.arange(adjacency.n, device=edges.device)
        others = edges[:, edges[0] != edges[1]]
        adjacency.kept["with_loops"] = Adjacency(
            torch.cat([others, torch.stack([nodes, nodes])], 1), adjacency.n
        )
    return adjacency.kept["with_loops"]
