"""A U-Net: a way down that widens and halves, a way up that doubles, and skip connections across."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Skip = Callable[[Tensor, Tensor, int], Tensor]  # what was seen on the way down, what came up, cell -> maps


def copied(
    seen: Float[Tensor, "b c h w"], up: Float[Tensor, "b c h2 w2"], cell: int
) -> Float[Tensor, "b c h2 w2"]:
    """The U-Net's own skip connection: the maps of the way down, cut to the middle where they are larger.

    Known value: a 6 x 6 map for a 4 x 4 one loses one row and one column on each side.
    Raises ValueError if the maps seen are smaller, or larger by an odd number of rows or columns.
    Source: Ronneberger et al. 2015, arXiv:1505.04597, fig. 1.
    """
    dy, dx = seen.shape[2] - up.shape[2], seen.shape[3] - up.shape[3]
    if min(dy, dx) < 0 or dy % 2 or dx % 2:
        raise ValueError(f"cannot cut {tuple(seen.shape[2:])} to the middle {tuple(up.shape[2:])}")
    return seen[:, :, dy // 2 : seen.shape[2] - dy // 2, dx // 2 : seen.shape[3] - dx // 2]


def cell_means(
    seen: Float[Tensor, "b c h w"], up: Float[Tensor, "b c h w"], cell: int
) -> Float[Tensor, "b c h w"]:
    """A skip connection that has lost the place: in every cell x cell square, the mean of what was seen.

    One pixel of the bottom covers one cell, so these maps know where things are no better than the bottom.
    Known value: cell = 1 copies. Raises ValueError if cells do not fill the map.
    """
    if seen.shape[2] % cell or seen.shape[3] % cell:
        raise ValueError(f"cells of {cell} do not fill a map of {tuple(seen.shape[2:])}")
    return F.avg_pool2d(seen, cell).repeat_interleave(cell, 2).repeat_interleave(cell, 3)


def own_again(
    seen: Float[Tensor, "b c h w"], up: Float[Tensor, "b c h2 w2"], cell: int
) -> Float[Tensor, "b c h2 w2"]:
    """No skip connection at all: the decoder's own maps stand in its place, a second time."""
    return up


class Convolutions(nn.Sequential):
    """`repeats` times 3x3 convolution, then batch norm if wanted, then ReLU; c_in -> c_out -> c_out ...

    Known value: two of 64 -> 64, without norm, hold 2 (9 * 64 * 64 + 64) = 73,856 parameters; valid padding
    takes a pixel from each side each time.
    """

    def __init__(
        self, c_in: int, c_out: int, *, repeats: int = 2, valid: bool = False, norm: bool = False
    ) -> None:
        layers: list[nn.Module] = []
        for i in range(repeats):
            layers.append(
                nn.Conv2d(c_in if i == 0 else c_out, c_out, 3, padding=0 if valid else 1, bias=not norm)
            )
            layers += [nn.BatchNorm2d(c_out), nn.ReLU()] if norm else [nn.ReLU()]
        super().__init__(*layers)


class UNet(nn.Module):
    """k scores at every pixel. Level i works at 1/2^i of the resolution with widths[i] maps.

    Down: convolutions, then 2x2 max-pooling. Up: a transposed convolution doubles the map and halves the
    width, what the way down saw at this level is put beside it by `skip`, and convolutions follow. The last
    layer is a 1x1 convolution. With valid=True convolutions do not pad, as in the paper, and the output is
    smaller than the input. ``down(x)`` gives the maps of the way down, the bottom last.

    Known value: widths (64, 128, 256, 512, 1024), valid, 572 x 572 pixels: the bottom ends with 28 x 28, the
    output has 388 x 388.
    Raises ValueError if widths do not double, or if a level has an odd number of rows or columns to halve, or
    if nothing is left.
    Source: Ronneberger et al. 2015, arXiv:1505.04597 (there without norm). Taught in:
    convolution/unet-and-densenet, def-unet.
    """

    def __init__(
        self,
        c_in: int,
        k: int,
        *,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        repeats: int = 2,
        valid: bool = False,
        norm: bool = False,
        skip: Skip = copied,
    ) -> None:
        super().__init__()
        if any(b != 2 * a for a, b in pairwise(widths)):
            raise ValueError(f"every level doubles the width of the one above it; got {tuple(widths)}")
        self.skip, self.levels, self.lost = skip, len(widths) - 1, 2 * repeats if valid else 0

        def block(a: int, b: int) -> Convolutions:
            return Convolutions(a, b, repeats=repeats, valid=valid, norm=norm)

        self.encoder = nn.ModuleList(
            block(a, b) for a, b in zip([c_in, *widths[:-1]], widths, strict=True)
        )  # the last of them is the bottom
        self.rise = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[:-1])
        self.decoder = nn.ModuleList(block(2 * w, w) for w in widths[:-1])
        self.head = nn.Conv2d(widths[0], k, 1)

    def down(self, x: Float[Tensor, "b c h w"]) -> list[Tensor]:
        """The maps at the end of every level of the way down, largest first."""
        seen: list[Tensor] = []
        for i, block in enumerate(self.encoder):
            if i > 0:
                if seen[-1].shape[2] % 2 or seen[-1].shape[3] % 2:
                    raise ValueError(f"level {i}: cannot halve {tuple(seen[-1].shape[2:])}")
                x = F.max_pool2d(seen[-1], 2)
            if min(x.shape[2:]) <= self.lost:
                raise ValueError(f"level {i}: nothing is left of {tuple(x.shape[2:])}")
            seen.append(block(x))
        return seen

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h2 w2"]:
        *seen, x = self.down(x)
        for i in reversed(range(self.levels)):
            up = self.rise[i](x)  # (b, widths[i], 2h, 2w)
            if min(up.shape[2:]) <= self.lost:
                raise ValueError(f"way up, level {i}: nothing is left of {tuple(up.shape[2:])}")
            beside = self.skip(seen[i], up, 2 ** (self.levels - i))
            x = self.decoder[i](torch.cat([beside, up], dim=1))  # (b, widths[i], h2, w2)
        return self.head(x)


def unet_sizes(n: int, levels: int, repeats: int = 2) -> tuple[int, int]:
    r"""Sides (bottom, output) of a U-Net with valid 3x3 convolutions on n x n pixels.

    .. math:: m = \frac{n + 2r}{2^L} - 4r, \qquad n_{\text{out}} = n - 2r(3 \cdot 2^L - 2)

    with L levels, r convolutions each: m is the side at the end of the bottom.
    Known value: n = 572, L = 4 gives 28 and 388.
    Raises ValueError if a level cannot be halved or nothing is left.
    Taught in: convolution/unet-and-densenet, prop-unet-sizes.
    """
    e = 2 * repeats  # what the convolutions of a level take
    if (n + e) % 2**levels:
        raise ValueError(f"need n + {e} divisible by {2**levels}, got n={n}")
    bottom, out = (n + e) // 2**levels - 2 * e, n - e * (3 * 2**levels - 2)
    if bottom < 1 or out < 1:
        raise ValueError(f"nothing is left of n={n} after {levels} levels")
    return bottom, out
