"""A convolution whose map is pooled over all places: one template a class, wherever it fits best."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Pool = Callable[[Float[Tensor, "b k h w"]], Float[Tensor, "b k"]]


def global_max(maps: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k"]:
    """The largest value of each map. Known value: the map (1, 4; 2, 3) gives 4."""
    return maps.amax((2, 3))


def global_mean(maps: Float[Tensor, "b k h w"]) -> Float[Tensor, "b k"]:
    """The mean of each map. Known value: the map (1, 4; 2, 3) gives 2.5."""
    return maps.mean((2, 3))


class Templates(nn.Module):
    r"""k filters of size x size at every place of the padded picture, then one number for each map.

    .. math:: f_k(x) = \operatorname{pool}_{i,j} \Big( b_k + \sum_{c,u,v} W_{k,c,u,v} x_{c,i+u-p,j+v-p} \Big)

    padding is p; p = size - 1 lets every filter meet every pixel with every one of its entries. The filters
    are drawn as PyTorch draws a convolution's: uniformly within +-1/sqrt(c size^2).

    Known value: with size = 10, c = 1, k = 5 there are 505 parameters, whatever the padding and the picture.
    Raises ValueError unless 0 <= padding < size.
    Taught in: convolution/connected-or-convolved, thm-cnn-shift.
    """

    def __init__(
        self, c: int, k: int, size: int, *, padding: int, pool: Pool, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if not 0 <= padding < size:
            raise ValueError(f"want 0 <= padding < {size}, the side of the filters, got {padding}")
        reach = (c * size**2) ** -0.5
        self.weight = nn.Parameter((2 * torch.rand(k, c, size, size, generator=generator) - 1) * reach)
        self.bias = nn.Parameter((2 * torch.rand(k, generator=generator) - 1) * reach)
        self.padding, self.pool = padding, pool

    def maps(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k i j"]:
        """The score of every class at every place."""
        return nn.functional.conv2d(x, self.weight, self.bias, padding=self.padding)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        return self.pool(self.maps(x))
