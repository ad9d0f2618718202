"""What a neuron reads, measured on the network itself: by its gradient, and by raising pixels."""

import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def monotone(network: nn.Module) -> nn.Module:
    """A copy whose weights are made positive and its biases zero: on pictures that are nowhere negative,
    no output falls when a pixel rises, and no two paths cancel.

    Known value: a convolution with weights 1, -2 has weights 1, 2 here. The copy is in eval mode.
    Raises ValueError if a weight is zero, which would cut a path, or if there is batch norm, which subtracts
    a mean. Taught in: convolution/shapes-and-fields, thm-fields-measure.
    """
    out = copy.deepcopy(network).eval()
    for module in out.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise ValueError(f"want no batch norm, which subtracts a mean; got {module}")
    with torch.no_grad():
        for name, parameter in out.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif (parameter == 0).any():
                raise ValueError(f"{name}: want no weight that is zero, got {int((parameter == 0).sum())}")
            else:
                parameter.abs_()
    return out


def gradient(
    network: nn.Module, x: Float[Tensor, "b c h w"], at: tuple[int, int], channel: int = 0
) -> Float[Tensor, "b c h w"]:
    """The derivative of one output neuron, network(x)[:, channel, i, j] with (i, j) = at, by the pixels.

    Known value: a 3x3 convolution of ones without padding gives nine ones. The network is left as found.
    Raises ValueError if there is no such neuron.
    """
    x = x.detach().requires_grad_()
    out = _neuron(network, x, at, channel)
    return torch.autograd.grad(out.sum(), x)[0]


@torch.no_grad()
def raised(
    network: nn.Module,
    x: Float[Tensor, "1 c h w"],
    at: tuple[int, int],
    channel: int = 0,
    amount: float = 2.0**30,
    batch: int = 32,
) -> Bool[Tensor, "h w"]:
    """The pixels that change one output neuron when raised by ``amount``, one pixel at a time.

    For a network and a picture as in `monotone`. Then a block of pixels that changes nothing when raised
    together holds no pixel that would alone, so the picture is searched by halving blocks: no part of it is
    left out, and no knowledge of the answer goes in. Sums of positive numbers keep the relative accuracy of
    each term, so a rise by less than the root of the type's precision is rounding, and counts as none.

    Known value: 3x3 convolution, padding 1, neuron (0, 0): four pixels, a corner of 2x2.
    Raises ValueError if there is no such neuron.
    """
    before = _neuron(network, x, at, channel) * (1 + torch.finfo(x.dtype).eps ** 0.5)
    h, w = x.shape[2:]
    found = torch.zeros(h, w, dtype=torch.bool)
    blocks = [(0, h, 0, w)]
    while blocks:
        halves = []
        for some in (blocks[i : i + batch] for i in range(0, len(blocks), batch)):
            pictures = x.repeat(len(some), 1, 1, 1)
            for picture, (top, bottom, left, right) in zip(pictures, some, strict=True):
                picture[:, top:bottom, left:right] += amount
            changed = _neuron(network, pictures, at, channel) > before
            for block, hit in zip(some, changed.tolist(), strict=True):
                if hit:
                    halves += _halve(block)
                    top, bottom, left, right = block
                    if (bottom - top) * (right - left) == 1:
                        found[top, left] = True
        blocks = halves
    return found


def _halve(block: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """The block in two, across its longer side; nothing if it is one pixel."""
    top, bottom, left, right = block
    if bottom - top >= right - left:
        middle = (top + bottom) // 2
        return [(top, middle, left, right), (middle, bottom, left, right)] if bottom - top > 1 else []
    middle = (left + right) // 2
    return [(top, bottom, left, middle), (top, bottom, middle, right)]


def _neuron(network: nn.Module, x: Tensor, at: tuple[int, int], channel: int) -> Float[Tensor, " b"]:
    out = network(x)
    for what, index, size in zip(("channel", "row", "column"), (channel, *at), out.shape[1:], strict=True):
        if not 0 <= index < size:
            raise ValueError(f"{what}: want 0..{size - 1}, got {index}")
    return out[:, channel, at[0], at[1]]


def energy(gradients: Float[Tensor, "b c h w"]) -> Float[Tensor, "h w"]:
    """The effective field: squared derivatives, averaged over pictures and added over channels; sums to 1.

    In float64. Raises ValueError where all derivatives are zero. Source: Luo et al. 2016, arXiv:1701.04128
    (they average the derivative itself; squares cannot cancel).
    """
    total = gradients.detach().double().square().sum((0, 1))  # (h, w)
    if not total.sum() > 0:
        raise ValueError("want a derivative that is somewhere not zero, got none")
    return total / total.sum()


def radius(weight: Float[Tensor, "h w"]) -> float:
    r"""Root mean square distance, in pixels along one axis, from the middle of the picture.

    .. math:: \rho^2 = \frac12 \sum_q w_q |q - m|^2 \Big/ \sum_q w_q

    Known value: all weight a pixels from the middle along both axes gives a; uniform weight on a square of
    side r gives sqrt((r^2 - 1)/12). Raises ValueError if the weight is nowhere or somewhere negative.
    """
    if not (weight.sum() > 0 and (weight >= 0).all()):
        raise ValueError("want weights that are nowhere negative and not all zero")
    h, w = weight.shape
    y = torch.arange(h, dtype=torch.float64, device=weight.device) - (h - 1) / 2
    x = torch.arange(w, dtype=torch.float64, device=weight.device) - (w - 1) / 2
    square = y[:, None] ** 2 + x**2
    return float(((weight.double() * square).sum() / weight.double().sum() / 2).sqrt())
