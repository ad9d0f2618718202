"""A small Swin transformer: patches, stages of blocks with windows in turn, patch merging in between."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worked.attention.swin import SwinBlock


class PatchMerging(nn.Module):
    """Join 2 x 2 tokens into one: concatenate their features, normalise, map 4d to 2d features, no bias.

    The four stand in the order (0, 0), (1, 0), (0, 1), (1, 1) of (row, column). An odd map is padded with
    zeros. Known value: a 7 x 7 map of 96 features becomes a 4 x 4 map of 192. Source: Liu et al. 2021,
    arXiv:2103.14030, sec. 3.1.
    """

    def __init__(self, d: int) -> None:
        super().__init__()
        self.norm, self.reduce = nn.LayerNorm(4 * d), nn.Linear(4 * d, 2 * d, bias=False)

    def forward(self, x: Float[Tensor, "b h w d"]) -> Float[Tensor, "b h2 w2 d2"]:
        h, w = x.shape[1:3]
        if h % 2 or w % 2:
            x = F.pad(x, (0, 0, 0, w % 2, 0, h % 2))
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduce(self.norm(torch.cat(parts, -1)))


class Swin(nn.Module):
    """From images to a map of tokens. Every second block of a stage is shifted by M // 2 if `shift`.

    Patches of p x p pixels become tokens of d features; stage i has depths[i] blocks of heads[i] heads, and
    before every stage but the first the map shrinks by 2 and the features double. With and without shift the
    parameters are the same, in number and in shape.

    Known value: p = 2, depths (2, 2), d = 8 make of a 16 x 16 picture a 4 x 4 map of 16 features.
    Raises ValueError unless there are as many numbers of heads as of blocks and the patches fill the picture.
    Source: Liu et al. 2021, arXiv:2103.14030, figure 3. Taught in: attention/swin, sec-swin-task.
    """

    def __init__(
        self,
        channels: int,
        d: int,
        *,
        patch: int,
        window: int,
        depths: Sequence[int],
        heads: Sequence[int],
        shift: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if len(depths) != len(heads) or not depths:
            raise ValueError(f"need a number of heads for every stage, got depths={depths}, heads={heads}")
        self.patch = patch
        self.embed = nn.Conv2d(channels, d, patch, stride=patch)
        self.embed_norm = nn.LayerNorm(d)
        self.stages = nn.ModuleList()
        for i, (depth, n_heads) in enumerate(zip(depths, heads, strict=True)):
            width = d * 2**i
            shifts = [window // 2 if shift and turn % 2 else 0 for turn in range(depth)]
            blocks = [SwinBlock(width, n_heads, window, s) for s in shifts]
            self.stages.append(nn.Sequential(*([PatchMerging(width // 2)] if i else []), *blocks))
        self.norm = nn.LayerNorm(d * 2 ** (len(depths) - 1))
        initialise(self, generator)

    def forward(self, images: Float[Tensor, "b c height width"]) -> Float[Tensor, "b h w d"]:
        if images.shape[2] % self.patch or images.shape[3] % self.patch:
            raise ValueError(f"patches of {self.patch} do not fill pictures of {tuple(images.shape[2:])}")
        x = self.embed_norm(self.embed(images).movedim(1, -1))
        for stage in self.stages:
            x = stage(x)
        return self.norm(x)


@torch.no_grad()
def initialise(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw the weights of all linear maps and convolutions anew (Glorot's uniform law), biases zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(part.weight, generator=generator)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
