"""Dense connections: every layer reads all maps made before it and adds its own to the collection."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class DenseLayer(nn.Module):
    """growth new maps from all maps before: norm, ReLU, [1x1 convolution, norm, ReLU,] 3x3 convolution.

    bottleneck: width of the 1x1 convolution (the paper's DenseNet-B: 4 * growth), or None for none.
    frugal: keep nothing of norm, ReLU and the 1x1 convolution for the way back, but compute them again.
    The maps come as a list, as they are stored. No biases, as norm has them.

    Known value: 32 maps in, growth 24, no bottleneck: 9 * 32 * 24 = 6,912 weights, and 64 of norm.
    Raises ValueError if a width is below 1.
    Source: Huang et al. 2017, arXiv:1608.06993; frugal: Pleiss et al. 2017, arXiv:1707.06990.
    """

    def __init__(
        self,
        c_in: int,
        growth: int,
        *,
        bottleneck: int | None = None,
        norm: bool = True,
        frugal: bool = False,
    ) -> None:
        super().__init__()
        if min(c_in, growth, 1 if bottleneck is None else bottleneck) < 1:
            raise ValueError(f"widths are at least 1; got {c_in=}, {growth=}, {bottleneck=}")

        def normed(c: int) -> nn.Module:
            return nn.BatchNorm2d(c) if norm else nn.Identity()

        self.frugal = frugal
        self.norm1 = normed(c_in)
        self.conv1 = None if bottleneck is None else nn.Conv2d(c_in, bottleneck, 1, bias=False)
        self.norm2 = None if bottleneck is None else normed(bottleneck)
        self.conv2 = nn.Conv2d(c_in if bottleneck is None else bottleneck, growth, 3, padding=1, bias=False)

    def _before(self, *maps: Tensor) -> Tensor:
        """All that precedes the 3x3 convolution: cheap to compute, dear to keep."""
        x = F.relu(self.norm1(torch.cat(maps, dim=1)))  # (b, c_in, h, w)
        return x if self.conv1 is None else F.relu(self.norm2(self.conv1(x)))

    def forward(self, maps: Sequence[Tensor]) -> Float[Tensor, "b growth h w"]:
        if self.frugal and torch.is_grad_enabled():
            return checkpoint(lambda *maps: self.conv2(self._before(*maps)), *maps, use_reentrant=False)
        return self.conv2(self._before(*maps))


class DenseBlock(nn.Module):
    """Layers that make growth[0], growth[1], ... maps, each from the input and all maps made before it.

    The output is the input and all new maps, one after another: c_in + sum(growth) maps.

    Known value: 32 maps in, growth (24, 24, 24): the third layer receives 80 maps, 104 come out.
    Raises ValueError without layers.
    Source: Huang et al. 2017, arXiv:1608.06993, eq. (2). Taught in: convolution/unet-and-densenet, def-dense.
    """

    def __init__(
        self,
        c_in: int,
        growth: Sequence[int],
        *,
        bottleneck: int | None = None,
        norm: bool = True,
        frugal: bool = False,
    ) -> None:
        super().__init__()
        if not growth:
            raise ValueError("a block needs at least one layer, got none")
        self.received = [c_in + sum(growth[:i]) for i in range(len(growth))]
        self.layers = nn.ModuleList(
            DenseLayer(c, k, bottleneck=bottleneck, norm=norm, frugal=frugal)
            for c, k in zip(self.received, growth, strict=True)
        )

    def maps(self, x: Float[Tensor, "b c_in h w"]) -> list[Tensor]:
        """The input and what each layer made of all before it."""
        maps = [x]
        for layer in self.layers:
            maps.append(layer(maps))
        return maps

    def forward(self, x: Float[Tensor, "b c_in h w"]) -> Float[Tensor, "b c_out h w"]:
        return torch.cat(self.maps(x), dim=1)


class Transition(nn.Sequential):
    """Between blocks: norm, ReLU, 1x1 convolution to c_out maps (the paper: half of c_in), 2x2 mean.

    Known value: 104 maps of 8 x 8 pixels become 52 maps of 4 x 4.
    Source: Huang et al. 2017, arXiv:1608.06993 (compression 1/2 is the C of DenseNet-BC).
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(
            nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), nn.AvgPool2d(2)
        )


def dense_weights(c_in: int, growth: int, layers: int) -> int:
    r"""Weights of the 3x3 convolutions of a block without bottleneck.

    .. math:: 9k \sum_{l=1}^{L} \big(c_0 + (l-1)k\big) = 9k\Big(Lc_0 + k\frac{L(L-1)}{2}\Big)

    Known value: c_0 = 32, k = 24, L = 3 gives 216 (96 + 72) = 36,288.
    Taught in: convolution/unet-and-densenet, prop-dense-counts.
    """
    return 9 * growth * (layers * c_in + growth * layers * (layers - 1) // 2)
