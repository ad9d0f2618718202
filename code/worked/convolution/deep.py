"""Plain, residual and dense networks that differ in nothing but how a layer's maps are handed on."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worked.convolution.densenet import DenseBlock, DenseLayer, dense_weights


class Plain(nn.Module):
    """x_l = F_l(x_(l-1)), l = 1..depth, with F = norm, ReLU, 3x3 convolution, c maps everywhere.

    ``maps(x)`` gives x_0 .. x_L, forward the last of them. Known value: depth 2, c = 8: 1,152 weights.
    """

    def __init__(self, c: int, depth: int, *, norm: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer(c, c, norm=norm) for _ in range(depth))
        self.c_out = c

    def maps(self, x: Float[Tensor, "b c h w"]) -> list[Tensor]:
        maps = [x]
        for layer in self.layers:
            maps.append(layer(maps[-1:]))
        return maps

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.maps(x)[-1]


class Residual(Plain):
    """x_l = x_(l-1) + F_l(x_(l-1)): the same layers, the same weights; each adds to what it was given.

    Source: He et al. 2016, arXiv:1603.05027, with one convolution in a branch instead of two.
    """

    def maps(self, x: Float[Tensor, "b c h w"]) -> list[Tensor]:
        maps = [x]
        for layer in self.layers:
            maps.append(maps[-1] + layer(maps[-1:]))
        return maps


class Dense(DenseBlock):
    """A dense block of equal layers; ``maps(x)`` gives x_0 .. x_L, forward all of them side by side."""

    def __init__(self, c: int, growth: int, depth: int, *, norm: bool = True) -> None:
        super().__init__(c, [growth] * depth, norm=norm)
        self.c_out = c + depth * growth


class Classifier(nn.Module):
    """A stem of one strided 3x3 convolution, a body, norm and ReLU, the mean over pixels, a linear map.

    Known value: 24 x 24 pixels reach the body as 12 x 12.
    """

    def __init__(self, c_in: int, c: int, body: Plain | Dense, k: int, *, norm: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(c_in, c, 3, stride=2, padding=1, bias=False)
        self.body = body
        self.norm = nn.BatchNorm2d(body.c_out) if norm else nn.Identity()
        self.head = nn.Linear(body.c_out, k)

    def forward(self, x: Float[Tensor, "b c_in h w"]) -> Float[Tensor, "b k"]:
        return self.head(F.relu(self.norm(self.body(self.stem(x)))).mean((2, 3)))


def growth_of_equal_size(c: int, depth: int, width: int) -> int:
    """The growth for which a dense body of c maps in has most nearly the weights of a plain one of `width`.

    Known value: c = 12, depth = 24, width 12: growth 3, with 30,132 weights against 31,104.
    Raises ValueError if depth < 1 or a width is below 1.
    """
    if min(c, depth, width) < 1:
        raise ValueError(f"need c, depth, width >= 1; got {c=}, {depth=}, {width=}")
    want = 9 * width**2 * depth
    return min(range(1, 2 * width + 1), key=lambda growth: abs(dense_weights(c, growth, depth) - want))


def gradient_by_depth(network: Plain | Dense, x: Tensor, up: Tensor) -> Float[Tensor, " depth"]:
    r"""Root mean square of the gradient of sum(up * network(x)) at the maps of each layer 1..L.

    Known value: the last layer of a plain network has that of `up`.
    Raises ValueError if `up` does not fit the output.
    """
    maps = network.maps(x)
    out = torch.cat(maps, 1) if isinstance(network, Dense) else maps[-1]
    if up.shape != out.shape:
        raise ValueError(f"up: want shape {tuple(out.shape)}, got {tuple(up.shape)}")
    gradients = torch.autograd.grad((up * out).sum(), maps[1:])
    return torch.stack([g.square().mean().sqrt() for g in gradients])
