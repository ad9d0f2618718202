"""What a layer does with its tokens, measured: who depends on whom, is it linear, what one token is worth."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Layer = Callable[[Tensor], Tensor]


def dependence(layer: Layer, x: Float[Tensor, "n d"]) -> Float[Tensor, "m n"]:
    r"""How strongly output token i depends on input token j at x: the Frobenius norm of the Jacobian's block.

    .. math:: D_{ij} = \lVert \partial y_i / \partial x_j \rVert_F

    Known value: the identity on d features gives sqrt(d) on the diagonal and 0 elsewhere.
    Raises ValueError if the layer's output is not (m, e).
    """
    jacobian = torch.autograd.functional.jacobian(layer, x)
    if jacobian.ndim != 4:
        raise ValueError(f"want tokens (m, e) from the layer, got {tuple(jacobian.shape[:-2])}")
    return jacobian.square().sum((1, 3)).sqrt()


def additivity_gap(layer: Layer, x: Float[Tensor, "n d"], z: Float[Tensor, "n d"]) -> float:
    r"""Largest entry of f(x + z) - f(x) - f(z) + f(0): 0 for all x and z exactly if f is affine.

    Known value: the square of every entry, at x = z = 1, gives 2.
    """
    return (layer(x + z) - layer(x) - layer(z) + layer(torch.zeros_like(x))).abs().max().item()


def worth(P: Float[Tensor, "*g n m"], v: Float[Tensor, "*g m e"]) -> Float[Tensor, "*g n m e"]:
    r"""What token j is worth to query i: the output less the output had j been forbidden.

    .. math:: o_i - o_i^{(-j)} = \frac{P_{ij}}{1 - P_{ij}} (v_j - o_i), \qquad o = P v

    P has the attention weights, v the values. Known value: weights 1/2, 1/2 and values 0, 2 give o = 1; the
    second token is worth 1, the first -1.
    Raises ValueError if some weight is 1: nothing would be left to read.
    Taught in: attention/conv-or-attention, prop-face-worth.
    """
    if (P >= 1).any():
        raise ValueError("got a weight of 1; want all below 1, so that something is left to read")
    out = P @ v  # (*g, n, e)
    return (P / (1 - P))[..., None] * (v[..., None, :, :] - out[..., None, :])
