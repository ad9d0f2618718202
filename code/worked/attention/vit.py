"""A vision transformer that shows its attention. Built like torchvision's vit_b_16, and tested against it."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worked.attention.multi_head import SelfAttention

Seen = dict[str, Float[Tensor, "..."] | tuple[Float[Tensor, "..."], ...]]


def interpolate_positions(
    positions: Float[Tensor, "1 n d"], grid: tuple[int, int], to: tuple[int, int]
) -> Float[Tensor, "1 m d"]:
    """Position embeddings for another grid of patches: the class token's stays, the others are resized.

    The n - 1 patch positions are read as an image of grid[0] x grid[1] pixels with d channels and
    interpolated (bicubic) to to[0] x to[1], so that a smaller picture spans the same range of positions.

    Known value: to = grid gives the embeddings back, to the last bit.
    Raises ValueError if n - 1 is not grid[0] * grid[1].
    Source: Dosovitskiy et al. 2021, arXiv:2010.11929, sec. 3.2, last paragraph.
    """
    if positions.shape[1] != 1 + grid[0] * grid[1]:
        raise ValueError(f"got {positions.shape[1]} positions, want 1 + {grid[0]} * {grid[1]}")
    if to == grid:
        return positions
    d = positions.shape[2]
    image = positions[:, 1:].transpose(1, 2).reshape(1, d, *grid)
    image = F.interpolate(image, size=to, mode="bicubic", align_corners=False)  # (1, d, *to)
    return torch.cat([positions[:, :1], image.flatten(2).transpose(1, 2)], dim=1)  # (1, 1 + to, d)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): the norm comes first (pre-norm), GELU in the MLP."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(
        self, x: Float[Tensor, "b n d"]
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b heads n n"]]:
        mixed, weights = self.attention(self.norm1(x))
        x = x + mixed
        return x + self.mlp(self.norm2(x)), weights


class ViT(nn.Module):
    """A vision transformer: an image to the features of its class token, and what was seen on the way.

    ``forward`` returns (features, {"attention", "tokens"}):

    - features, (b, width): the class token after the last block and the final norm;
    - attention, depth times (b, heads, n, n): each block's weights; n = 1 + patches, token 0 is the class.
      ``attention[-1][:, :, 0, 1:]`` is the class token's last look at the patches, row by row of the picture;
    - tokens, (b, n, width): all tokens after the final norm, so that tokens[:, 0] = features.

    Pictures of another size than ``size`` are taken too: the position embeddings are interpolated.

    Known value: a picture of 32 x 32 in patches of 4 has n = 65 tokens.
    Raises ValueError if a side is no multiple of the patch, or width no multiple of heads.
    Source: Dosovitskiy et al. 2021, arXiv:2010.11929, eqs. (1) to (4).
    """

    def __init__(
        self,
        *,
        size: int = 32,
        patch: int = 4,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        hidden: int | None = None,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if size % patch or width % heads:
            raise ValueError(
                f"patch must divide size and heads width; got size={size}, patch={patch}, "
                f"width={width}, heads={heads}"
            )
        self.patch, self.grid = patch, (size // patch, size // patch)
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + self.grid[0] * self.grid[1], width))
        self.blocks = nn.ModuleList(Block(width, heads, hidden or 4 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def embedded(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        """Class token and embedded patches, row by row of the picture, plus the positions: eq. (1)."""
        h, w = images.shape[2:]
        if h % self.patch or w % self.patch:
            raise ValueError(f"each side must be a multiple of {self.patch}, got {h} x {w}")
        patches = self.embed(images).flatten(2).transpose(1, 2)  # (b, patches, d)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), patches], dim=1)  # (b, n, d)
        positions = interpolate_positions(self.positions, self.grid, (h // self.patch, w // self.patch))
        return tokens + positions

    def forward(self, images: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Seen]:
        x = self.embedded(images)
        seen = []
        for block in self.blocks:
            x, weights = block(x)
            seen.append(weights)
        tokens = self.norm(x)
        return tokens[:, 0], {"attention": tuple(seen), "tokens": tokens}
