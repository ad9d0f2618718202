"""A small graph network: layers of message passing with a ReLU between them."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worked.graphs.adjacency import Adjacency
from worked.graphs.layer import MessagePassing


class GraphNetwork(nn.Module):
    r"""L layers of message passing on one graph; the last one gives scores, without a ReLU.

    .. math:: H^{(l)} = \max(0, H^{(l-1)} W_l + A H^{(l-1)} W'_l)

    widths: d_0 (features in), hidden widths, d_L (scores out); L = len(widths) - 1.
    Known value: widths (34, 16, 2) have 2 * (34 * 16 + 16 * 2) = 1152 weights.
    Raises ValueError for fewer than two widths. Taught in: graphs/equivariance, sec-karate.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"need the widths of input and output at least, got {tuple(widths)}")
        pairs = pairwise(widths)
        self.layers = nn.ModuleList(MessagePassing(d, e, generator=generator, dtype=dtype) for d, e in pairs)

    def forward(self, h: Float[Tensor, "n d"], adjacency: Adjacency) -> Float[Tensor, "n k"]:
        *hidden, last = self.layers
        for layer in hidden:
            h = layer(h, adjacency).relu()  # (n, width)
        return last(h, adjacency)  # (n, k)
