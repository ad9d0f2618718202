"""The graph convolution of Kipf and Welling: a sum over neighbours and itself, weighted by degrees."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worked.graphs.adjacency import Adjacency, check_features
from worked.graphs.loops import with_loops
from worked.graphs.weights import check_weight, uniform


def degree_scale(adjacency: Adjacency, dtype: torch.dtype) -> Float[Tensor, "n 1"]:
    """1 / sqrt(d_v) with d_v the number of neighbours that v listens to, itself included: never 0.

    Known value: the path 0 - 1 - 2 gives 1/sqrt(2), 1/sqrt(3), 1/sqrt(2).
    """
    degree = with_loops(adjacency).in_degrees().to(dtype)
    return degree.rsqrt()[:, None]


def gcn(h: Float[Tensor, "n d"], adjacency: Adjacency, W: Float[Tensor, "d k"]) -> Float[Tensor, "n k"]:
    r"""One graph convolution before its activation. Linear in h and in W.

    .. math:: \hat A H W, \quad \hat A = D^{-1/2} (A + I) D^{-1/2}, \qquad
              s_v = \frac1{\sqrt{d_v}} \sum_{u \in N(v) \cup \{v\}} \frac{h_u W}{\sqrt{d_u}}

    D has the row sums d_v of A + I on its diagonal. Loops of the graph itself are not counted twice. The
    sparse product is taken on the side where rows are shorter.

    Known value: on two nodes joined by an edge, h = 1, 3 and W = 2: both get (1 + 3) / 2 * 2 = 4.
    Raises ValueError for shapes that do not fit.
    Source: Kipf & Welling 2017, arXiv:1609.02907. Taught in: graphs/message-functions, def-mf-gcn.
    """
    check_features(h, adjacency)
    check_weight("W", W, h)
    scale, a = degree_scale(adjacency, h.dtype), with_loops(adjacency)
    if W.shape[0] <= W.shape[1]:
        return (scale * (a @ (scale * h))) @ W
    return scale * (a @ (scale * (h @ W)))


class GCN(nn.Module):
    """The layer with its own W (d x k), uniform within +-sqrt(3/d), and a bias that starts at 0."""

    def __init__(
        self, d: int, k: int, *, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.W = nn.Parameter(uniform(d, k, generator, dtype))
        self.bias = nn.Parameter(torch.zeros(k, dtype=dtype))

    def forward(self, h: Float[Tensor, "n d"], adjacency: Adjacency) -> Float[Tensor, "n k"]:
        return gcn(h, adjacency, self.W) + self.bias
