"""GraphSAGE: the node itself and an aggregate of its neighbours, each with its own weight."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worked.graphs.adjacency import Adjacency, check_features
from worked.graphs.aggregate import AGGREGATORS
from worked.graphs.weights import check_weight, uniform


def sage(
    h: Float[Tensor, "n d"],
    adjacency: Adjacency,
    W: Float[Tensor, "d k"],
    W_prime: Float[Tensor, "d k"],
    aggregator: str = "mean",
) -> Float[Tensor, "n k"]:
    r"""One layer of GraphSAGE before its activation. With the mean it is function (a) of the question.

    .. math:: s_v = h_v W + \operatorname{agg}\{\{h_u : u \in N(v)\}\} \, W'

    aggregator: "mean", "max" or "sum". The paper writes one weight for both vectors put end to end: the same.
    Known value: on the path 0 - 1 - 2 with h = 1, 10, 100, W = 2, W' = 3: 32, 171.5, 230.
    Raises ValueError for shapes that do not fit or another aggregator.
    Source: Hamilton et al. 2017, arXiv:1706.02216, algorithm 1. Taught in: graphs/message-functions.
    """
    check_features(h, adjacency)
    check_weight("W", W, h)
    check_weight("W_prime", W_prime, h)
    if aggregator not in AGGREGATORS:
        raise ValueError(f"aggregator: want one of {', '.join(AGGREGATORS)}, got {aggregator!r}")
    return h @ W + AGGREGATORS[aggregator](h, adjacency) @ W_prime


class SAGE(nn.Module):
    """The layer with its own W and W' (d x k), uniform within +-sqrt(3/d), and a bias that starts at 0."""

    def __init__(
        self,
        d: int,
        k: int,
        *,
        aggregator: str = "mean",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.W = nn.Parameter(uniform(d, k, generator, dtype))
        self.W_prime = nn.Parameter(uniform(d, k, generator, dtype))
        self.bias = nn.Parameter(torch.zeros(k, dtype=dtype))
        self.aggregator = aggregator

    def forward(self, h: Float[Tensor, "n d"], adjacency: Adjacency) -> Float[Tensor, "n k"]:
        return sage(h, adjacency, self.W, self.W_prime, self.aggregator) + self.bias
