"""Attention with several heads: of tokens to themselves, and of one sequence to another."""

from jaxtyping import Float
from torch import Tensor, nn

from worked.attention.attend import attend


def split_heads(x: Float[Tensor, "*g n hd"], heads: int) -> Float[Tensor, "*g heads n d"]:
    """Features as heads: the first d belong to the first head, the next to the second. A view.

    Known value: (1, 2, 3, 4) in two heads gives (1, 2) and (3, 4).
    Raises ValueError unless the heads divide the features.
    """
    if heads < 1 or x.shape[-1] % heads:
        raise ValueError(f"{heads} heads do not divide {x.shape[-1]} features")
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def join_heads(x: Float[Tensor, "*g heads n d"]) -> Float[Tensor, "*g n hd"]:
    """The heads' features one after the other: `split_heads` undone."""
    return x.transpose(-2, -3).flatten(-2)


class MultiHeadAttention(nn.Module):
    r"""Multi-head attention with all widths free: head h has its own W_Q, W_K, W_V, and W_O joins the heads.

    .. math:: O_h = \operatorname{attend}(X W_Q^h, Y W_K^h, Y W_V^h), \qquad [O_1, \dots, O_H]\, W_O

    ``d`` is the width of the tokens X, ``d_k`` of a head's queries and keys, ``d_v`` of its values, ``d_out``
    of the output (default d), ``d_context`` of the tokens Y that are read (default d). The heads' matrices
    stand side by side in one, as in every implementation.

    Known value: d = 100, 3 heads, d_k = 10, d_v = 20, d_out = 50 without biases has 15,000 parameters.
    Raises ValueError unless all are at least 1. Source: Vaswani et al. 2017, arXiv:1706.03762, sec. 3.2.2.
    Taught in: attention/multi-head, def-multi-heads.
    """

    def __init__(
        self,
        d: int,
        heads: int,
        *,
        d_k: int,
        d_v: int,
        d_out: int | None = None,
        d_context: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        d_out, d_context = (d if width is None else width for width in (d_out, d_context))
        if min(d, heads, d_k, d_v, d_out, d_context) < 1:
            raise ValueError(
                f"need all at least 1, got {d=}, {heads=}, {d_k=}, {d_v=}, {d_out=}, {d_context=}"
            )
        self.heads = heads
        self.q = nn.Linear(d, heads * d_k, bias=bias)
        self.k = nn.Linear(d_context, heads * d_k, bias=bias)
        self.v = nn.Linear(d_context, heads * d_v, bias=bias)
        self.project = nn.Linear(heads * d_v, d_out, bias=bias)

    def forward(
        self,
        x: Float[Tensor, "*g n d"],
        context: Float[Tensor, "*g m c"] | None = None,
        bias: Float[Tensor, "..."] | None = None,
    ) -> tuple[Float[Tensor, "*g n o"], Float[Tensor, "*g heads n m"]]:
        """Output and weights; tokens read themselves without context. The bias fits (*g, heads, n, m)."""
        y = x if context is None else context
        q, k, v = (split_heads(part, self.heads) for part in (self.q(x), self.k(y), self.v(y)))
        out, weights = attend(q, k, v, bias)
        return self.project(join_heads(out)), weights


class SelfAttention(nn.Module):
    """Multi-head self-attention as most networks have it: heads of d / heads features, biases, one product.

    The rows of ``qkv`` are all heads' queries, then all keys, then all values. Returns the output and the
    weights of every head. Raises ValueError unless the heads divide the d features.
    Source: Vaswani et al. 2017, arXiv:1706.03762, sec. 3.2.2.
    Taught in: attention/multi-head, prop-multi-sum.
    """

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or d % heads:
            raise ValueError(f"{heads} heads do not divide {d} features")
        self.heads = heads
        self.qkv, self.project = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(
        self, x: Float[Tensor, "*g n d"], bias: Float[Tensor, "..."] | None = None
    ) -> tuple[Float[Tensor, "*g n d"], Float[Tensor, "*g heads n n"]]:
        """Output and weights of tokens that read themselves; the bias fits (*g, heads, n, n)."""
        parts = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)  # q, k, v: (*g, n, heads, d)
        out, weights = attend(*(part.transpose(-2, -3) for part in parts), bias)
        return self.project(join_heads(out)), weights
