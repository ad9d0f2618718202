"""From node features to one vector for the whole graph: a readout may not depend on the order of the rows."""

from jaxtyping import Float
from torch import Tensor


def sum_readout(h: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """Sum over the nodes. Known value: rows (1, 2), (3, 4) give (4, 6)."""
    return h.sum(0)


def mean_readout(h: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """Mean over the nodes. Known value: rows (1, 2), (3, 4) give (2, 3)."""
    return h.mean(0)


def max_readout(h: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """Largest value over the nodes, for each feature. Known value: rows (1, 4), (3, 2) give (3, 4)."""
    return h.amax(0)
