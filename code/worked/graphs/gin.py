"""The graph isomorphism layer: a sum that keeps the node itself apart, then a small network."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worked.graphs.adjacency import Adjacency
from worked.graphs.weights import uniform


def gin_sum(
    h: Float[Tensor, "n d"], adjacency: Adjacency, eps: float | Float[Tensor, ""] = 0.0
) -> Float[Tensor, "n d"]:
    r"""What the layer feeds to its network.

    .. math:: s_v = (1 + \epsilon) h_v + \sum_{u \in N(v)} h_u

    Known value: on the path 0 - 1 - 2 with h = 1, 10, 100 and eps = 1/2: 11.5, 116, 160.
    Raises ValueError for features that do not fit the graph.
    Source: Xu et al. 2019, arXiv:1810.00826, eq. (4.1). Taught in: graphs/message-functions, def-mf-gin.
    """
    return (1 + eps) * h + adjacency @ h


class GIN(nn.Module):
    """``gin_sum``, then a network with one hidden layer of ReLU; eps is fixed, or learnt from its start.

    Raises ValueError unless all widths are at least 1.
    """

    def __init__(
        self,
        d: int,
        k: int,
        *,
        hidden: int | None = None,
        eps: float = 0.0,
        learn_eps: bool = False,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        width = k if hidden is None else hidden
        self.W_1 = nn.Parameter(uniform(d, width, generator, dtype))
        self.b_1 = nn.Parameter(torch.zeros(width, dtype=dtype))
        self.W_2 = nn.Parameter(uniform(width, k, generator, dtype))
        self.b_2 = nn.Parameter(torch.zeros(k, dtype=dtype))
        start = torch.tensor(eps, dtype=dtype or torch.get_default_dtype())
        if learn_eps:
            self.eps = nn.Parameter(start)
        else:
            self.register_buffer("eps", start)

    def forward(self, h: Float[Tensor, "n d"], adjacency: Adjacency) -> Float[Tensor, "n k"]:
        s = gin_sum(h, adjacency, self.eps)
        return (s @ self.W_1 + self.b_1).relu() @ self.W_2 + self.b_2
