"""Three ways to make one vector of what the neighbours say: sum, mean and maximum.

Each takes the messages as rows of h, one for each node, and gives each node the aggregate over N(v). A node
without neighbours gets zeros.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from worked.graphs.adjacency import Adjacency, check_features


def sum_neighbours(h: Float[Tensor, "n d"], adjacency: Adjacency) -> Float[Tensor, "n d"]:
    r"""Row v is the sum over u in N(v) of h_u.

    Known value: on the path 0 - 1 - 2 with h = 1, 10, 100: 10, 101, 10.
    Raises ValueError for features that do not fit the graph. Taught in: graphs/message-functions.
    """
    return adjacency @ h


def mean_neighbours(h: Float[Tensor, "n d"], adjacency: Adjacency) -> Float[Tensor, "n d"]:
    r"""Row v is the sum over N(v), divided by the number of neighbours.

    Known value: on the path 0 - 1 - 2 with h = 1, 10, 100: 10, 50.5, 10.
    Raises ValueError for features that do not fit the graph. Taught in: graphs/message-functions.
    """
    total = adjacency @ h
    return total / adjacency.in_degrees().clamp(min=1)[:, None].to(h.dtype)


def max_neighbours(h: Float[Tensor, "n d"], adjacency: Adjacency) -> Float[Tensor, "n d"]:
    r"""Row v has, feature by feature, the largest value over N(v), also where all of them are negative.

    Where several neighbours have the largest value, the gradient is shared equally among them.
    Known value: on the path 0 - 1 - 2 with h = -1, -10, -100: -10, -1, -10.
    Raises ValueError for features that do not fit the graph. Taught in: graphs/message-functions.
    """
    check_features(h, adjacency)
    u, v = adjacency.edge_index
    place = v[:, None].expand(-1, h.shape[1])  # (e, d)
    return torch.zeros_like(h).scatter_reduce(0, place, h[u], "amax", include_self=False)


AGGREGATORS = {"sum": sum_neighbours, "mean": mean_neighbours, "max": max_neighbours}
