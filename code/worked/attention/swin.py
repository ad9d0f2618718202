"""Multi-head self-attention on a map of tokens: over the whole map, in windows, in shifted windows."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked.attention.multi_head import SelfAttention
from worked.attention.window import arrange, relative_place


class GlobalAttention(SelfAttention):
    """MSA: every token of the map attends every token, whatever the distance.

    Raises ValueError unless the heads divide the d features. Source: Vaswani et al. 2017, arXiv:1706.03762.
    """

    def within(
        self, x: Float[Tensor, "b g n d"], bias: Float[Tensor, "..."] | None = None
    ) -> Float[Tensor, "b g n d"]:
        """Multi-head attention within each of the g groups; the bias broadcasts to (b, g, heads, n, n)."""
        return SelfAttention.forward(self, x, bias)[0]

    def forward(self, x: Float[Tensor, "b h w d"]) -> Float[Tensor, "b h w d"]:
        return self.within(x.flatten(1, 2)[:, None]).reshape(x.shape)  # one group: the whole map


class WindowAttention(GlobalAttention):
    r"""W-MSA and, with a shift s > 0, SW-MSA: attention within windows of M x M tokens.

    Query i and key j of a window meet with the bias ``table[relative_place(M)[i, j]]`` of their head; tokens
    that only the cyclic shift brought together do not meet at all. A map that M does not divide is padded
    below and on the right with zeros, and these are attended too, as in the original.

    Raises ValueError unless 0 <= s < M and the heads divide d.
    Source: Liu et al. 2021, arXiv:2103.14030, sec. 3.2. Taught in: attention/swin, def-swin-window.
    """

    place: Int[Tensor, "n n"]

    def __init__(self, d: int, heads: int, window: int, shift: int = 0) -> None:
        super().__init__(d, heads)
        if not 0 <= shift < window:
            raise ValueError(f"need 0 <= shift < window, got shift={shift}, window={window}")
        self.window, self.shift = window, shift
        self.table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("place", relative_place(window), persistent=False)

    def forward(self, x: Float[Tensor, "b h w d"]) -> Float[Tensor, "b h w d"]:
        b, h, w, d = x.shape
        below, right = -h % self.window, -w % self.window
        if below or right:
            x = F.pad(x, (0, 0, 0, right, 0, below))
        at = arrange(h + below, w + right, self.window, self.shift, x.device)
        bias = self.table[self.place].movedim(-1, 0)  # (heads, n, n)
        if at.allowed is not None:
            bias = torch.where(at.allowed[:, None], bias, -torch.inf)  # (windows, heads, n, n)
        groups = _Reorder.apply(x.flatten(1, 2), at.order, at.inverse)  # (b, tokens, d)
        out = self.within(groups.reshape(b, at.windows, -1, d), bias).reshape(b, -1, d)
        out = _Reorder.apply(out, at.inverse, at.order).reshape(b, h + below, w + right, d)
        return out[:, :h, :w] if below or right else out


class SwinBlock(nn.Module):
    """x + W-MSA(LN(x)), then x + MLP(LN(x)), the MLP token by token with 4 d hidden features and GELU.

    Source: Liu et al. 2021, arXiv:2103.14030, eq. (3); shift = 0 and shift = M // 2 take turns.
    """

    def __init__(self, d: int, heads: int, window: int, shift: int = 0, ratio: int = 4) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = WindowAttention(d, heads, window, shift)
        self.mlp = nn.Sequential(nn.Linear(d, ratio * d), nn.GELU(), nn.Linear(ratio * d, d))

    def forward(self, x: Float[Tensor, "b h w d"]) -> Float[Tensor, "b h w d"]:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class _Reorder(torch.autograd.Function):
    """Tokens in a new order: one copy, and one back in the backward pass, by the known inverse."""

    @staticmethod
    def forward(ctx, x, order, inverse):
        ctx.order, ctx.inverse = order, inverse
        return x.index_select(1, order)

    @staticmethod
    def backward(ctx, grad):
        return _Reorder.apply(grad, ctx.inverse, ctx.order), None, None
