"""A convolution written as attention: one head for each entry of the filter, weights by place alone."""

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from worked.attention.attend import as_bias, attend


def offsets(k: int) -> list[tuple[int, int]]:
    """Rows and columns that a k x k filter reaches from its middle, row by row; k is odd.

    Known value: k = 3 gives (-1, -1), (-1, 0), ..., (1, 1). Raises ValueError if k is even or below 1.
    """
    if k < 1 or k % 2 == 0:
        raise ValueError(f"a filter with a middle has an odd side, got {k}")
    return list(product(range(-(k // 2), k // 2 + 1), repeat=2))


def neighbour_bias(h: int, w: int, k: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "heads n n"]:
    """Scores by place: head u is allowed to read one token only, the one at offset u, around the edges.

    Tokens are the h x w places row by row, n = hw; there are k^2 heads. Allowed is 0, all else -infinity.
    Known value: for k = 1 the one head reads the token itself: 0 on the diagonal.
    """
    rows, columns = torch.arange(h)[:, None], torch.arange(w)[None, :]
    here = torch.arange(h * w)
    allowed = torch.zeros(k * k, h * w, h * w, dtype=torch.bool)
    for head, (down, right) in enumerate(offsets(k)):
        there = (rows + down) % h * w + (columns + right) % w  # (h, w)
        allowed[head, here, there.flatten()] = True
    return as_bias(allowed, dtype)


def convolution_by_attention(
    x: Float[Tensor, "b c h w"], weight: Float[Tensor, "o c k k"], bias: Float[Tensor, " o"]
) -> Float[Tensor, "b o h w"]:
    r"""The convolution with circular padding and stride 1, computed by attention with k^2 heads.

    .. math:: y_i = b + \sum_u \sum_j \alpha^u_{ij}\, W_u x_j, \qquad
              \alpha^u = \operatorname{softmax}(0 + B^u)

    with :math:`W_u` = weight[:, :, u] as the values of head u and B of `neighbour_bias`. Queries and keys are
    0: what a token holds does not matter. Slow on purpose, n^2 weights for k^2 n that are not 0.

    Known value: a 1 x 1 filter of ones sums the channels.
    Raises ValueError on an even filter. Source: Cordonnier et al. 2020, arXiv:1911.03584, thm. 1 (there with
    learned relative positions and large scores in place of -infinity).
    Taught in: attention/conv-or-attention, thm-face-attention-convolves.
    """
    b, _, h, w = x.shape
    o, _, k, _ = weight.shape
    tokens = x.flatten(2).transpose(1, 2)  # (b, n, c)
    values = torch.einsum("bnc, ocu -> buno", tokens, weight.flatten(2))  # (b, heads, n, o)
    none = values.new_zeros(b, k * k, h * w, 1)
    heads, _ = attend(none, none, values, neighbour_bias(h, w, k, x.dtype).to(x.device))  # (b, heads, n, o)
    return (heads.sum(1) + bias).transpose(1, 2).reshape(b, o, h, w)
