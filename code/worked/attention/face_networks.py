"""Small networks that look at faces: convolutions over windows, and attention over patches.

All end alike: a linear map of the features at every place, summed over places. So the score is a sum of
evidence, place by place, and the evidence can be read.
"""

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from worked.attention.multi_head import SelfAttention

CELLS = 3  # the evidence is given in 3 x 3 cells, as the pictures of worked.data.faces are built
Seen = dict[str, Float[Tensor, "..."]]


class WindowNet(nn.Module):
    r"""Two 3 x 3 convolutions (the first of stride 2), then a linear head on every place of the map.

    With dilation :math:`\delta` in the second, a place of the map sees a window of :math:`3 + 4\delta` pixels
    a side; the number of parameters does not depend on it. The head has the same weights at all places
    (pooled=True: global average pooling and a linear map, in whichever order), or its own for every 6 x 6
    pixels (pooled=False: local average pooling, flattened). padding: "circular" or "zeros".

    ``forward`` returns the scores (b,) and {"evidence": (b, 3, 3)}: what each third of rows and columns
    adds; scores are the sums, plus a bias.

    Known value: 3 colours, widths 12 and 16, pooled: 12 * 28 + 16 * 109 + 17 = 2097 parameters.
    Raises ValueError if the size is no multiple of 12, or the dilation less than 1.
    Taught in: attention/conv-or-attention, thm-face-bag.
    """

    def __init__(
        self,
        *,
        size: int = 36,
        widths: tuple[int, int] = (12, 16),
        dilation: int = 1,
        pooled: bool = True,
        padding: str = "circular",
    ) -> None:
        super().__init__()
        if size % 12 or dilation < 1:
            raise ValueError(f"need 12 to divide the size and dilation >= 1, got {size=}, {dilation=}")
        self.pooled, self.window = pooled, 3 + 4 * dilation
        self.first = nn.Conv2d(3, widths[0], 3, stride=2, padding=1, padding_mode=padding)
        self.second = nn.Conv2d(*widths, 3, padding=dilation, dilation=dilation, padding_mode=padding)
        for layer in (
            self.first,
            self.second,
        ):  # under a mean over many places the default start trains badly
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        places = 1 if pooled else size // 6
        self.head = nn.Parameter(0.1 * torch.randn(widths[1], places, places))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, " b"], Seen]:
        z = F.relu(self.second(F.relu(self.first(x))))  # (b, d, h/2, w/2)
        side = z.shape[-1] // CELLS if self.pooled else 3  # places whose features are averaged first
        z = 4 * F.avg_pool2d(z, side)  # 4: brings the sum to the size of the inputs
        evidence = (z * self.head).sum(1)  # (b, places, places)
        cells = reduce(evidence, "b (i p) (j q) -> b i j", "sum", i=CELLS, j=CELLS)
        return cells.sum((1, 2)) + self.bias, {"evidence": cells}


class UsualNet(nn.Module):
    r"""Convolution, largest of 2 x 2 places, and both once more; then the mean over places and a linear map.

    Zeros stand around the picture, as is usual, and both convolutions are those of `WindowNet` but for the
    stride: equally many parameters. A place of the last map sees 10 pixels a side, places are 4 pixels apart.

    ``forward`` returns what that of `WindowNet` returns; the size is a multiple of 12.

    Known value: 3 colours, widths 12 and 16: 12 * 28 + 16 * 109 + 17 = 2097 parameters.
    Taught in: attention/conv-or-attention, obs-face-unseen.
    """

    def __init__(self, *, widths: tuple[int, int] = (12, 16)) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, widths[0], 3, padding=1)
        self.second = nn.Conv2d(*widths, 3, padding=1)
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.head = nn.Parameter(0.1 * torch.randn(widths[1], 1, 1))
        self.bias = nn.Parameter(torch.zeros(()))
        self.to(memory_format=torch.channels_last)  # largest of 2 x 2 is several times faster so

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, " b"], Seen]:
        if x.shape[-1] % 12 or x.shape[-2] % 12:
            raise ValueError(f"need pictures whose sides 12 divides, got {tuple(x.shape)}")
        z = x.contiguous(memory_format=torch.channels_last)
        for layer in (self.first, self.second):
            z = F.relu(F.max_pool2d(layer(z), 2))  # (b, d, h/4, w/4) in the end
        z = 4 * F.avg_pool2d(z, (z.shape[-2] // CELLS, z.shape[-1] // CELLS))  # 4: as in WindowNet
        cells = (z * self.head).sum(1)  # (b, 3, 3)
        return cells.sum((1, 2)) + self.bias, {"evidence": cells}


class PatchNet(nn.Module):
    r"""One transformer block over patches, then a linear map of every token, summed over tokens.

    Position embeddings are drawn normal with standard deviation ``positions``; None means that there are
    none. The block is x + attention(norm(x)), then x + mlp(norm(x)).

    ``forward`` returns the scores (b,) and {"evidence": (b, 3, 3), "attention": (b, heads, n, n)}; scores
    are the sums of the evidence, plus a bias.

    Known value: 36 pixels in patches of 6 are n = 36 tokens.
    Raises ValueError if patches do not fit into the cells, a third of the picture each.
    Source of the block: Dosovitskiy et al. 2021, arXiv:2010.11929, eqs. (1) to (3), without class token.
    Taught in: attention/conv-or-attention, thm-face-permute.
    """

    def __init__(
        self,
        *,
        size: int = 36,
        patch: int = 6,
        width: int = 32,
        heads: int = 2,
        positions: float | None = 1.0,
    ) -> None:
        super().__init__()
        if size % (CELLS * patch):
            raise ValueError(f"patches of {patch} do not fit into the thirds of {size} pixels")
        self.side = size // patch
        self.embed = nn.Conv2d(3, width, patch, stride=patch)
        start = None if positions is None else positions * torch.randn(1, self.side**2, width)
        self.positions = None if start is None else nn.Parameter(start)
        self.norm1, self.norm2, self.norm = (nn.LayerNorm(width) for _ in range(3))
        self.attention = SelfAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.head = nn.Parameter(0.1 * torch.randn(width))
        self.bias = nn.Parameter(torch.zeros(()))

    def tokens(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """What enters the block: embedded patches, row by row, plus their positions."""
        x = rearrange(self.embed(x), "b d h w -> b (h w) d")
        return x if self.positions is None else x + self.positions

    def judge(
        self, x: Float[Tensor, "b n d"], bias: Float[Tensor, "..."] | None = None
    ) -> tuple[Float[Tensor, " b"], Seen]:
        """Block and head on tokens; the bias, if any, is added to the scores of the attention."""
        mixed, weights = self.attention(self.norm1(x), bias)
        x = x + mixed
        x = self.norm(x + self.mlp(self.norm2(x)))  # (b, n, d)
        evidence = rearrange(4 * (x @ self.head) / x.shape[1], "b (h w) -> b h w", h=self.side)
        cells = reduce(evidence, "b (i p) (j q) -> b i j", "sum", i=CELLS, j=CELLS)
        return cells.sum((1, 2)) + self.bias, {"evidence": cells, "attention": weights}

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, " b"], Seen]:
        return self.judge(self.tokens(x))
