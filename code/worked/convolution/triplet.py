"""The triplet loss with squared and with plain distances. Pure functions of embeddings; no state."""

import torch
from jaxtyping import Float
from torch import Tensor


def sides(
    anchor: Float[Tensor, "n d"], positive: Float[Tensor, "n d"], negative: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Squared distances from each anchor to its positive and to its negative, in this order.

    Known value: anchor (0, 0), positive (1, 0), negative (0, 2) give 1 and 4. Raises ValueError without
    triplets.
    """
    if len(anchor) == 0:
        raise ValueError(f"need at least one triplet, got shape {tuple(anchor.shape)}")
    near = (anchor - positive).square().sum(1)
    far = (anchor - negative).square().sum(1)
    return near, far


def triplet_loss(
    anchor: Float[Tensor, "n d"],
    positive: Float[Tensor, "n d"],
    negative: Float[Tensor, "n d"],
    margin: float,
) -> Float[Tensor, ""]:
    r"""Triplet loss with squared distances, in units of squared length; the mean over n triplets.

    .. math:: \frac1n \sum_i \max\big(0,\ \lVert a_i - p_i\rVert^2 - \lVert a_i - q_i\rVert^2 + m\big)

    Rows i of the three are the embeddings of an anchor a, of a picture of its class p (positive) and of a
    picture of another class q (negative); m is the margin. Equal embeddings have loss m and gradient zero.

    Known value: a = (0, 0), p = (1, 0), q = (0, 2) with margin 4 cost 1 - 4 + 4 = 1.
    Raises ValueError if margin <= 0 (then a constant embedding is optimal), or without triplets.
    Source: Schroff, Kalenichenko & Philbin 2015, arXiv:1503.03832. Chapter: sec-metric.
    """
    near, far = sides(anchor, positive, negative)
    return _hinge(near, far, margin)


def plain_triplet_loss(
    anchor: Float[Tensor, "n d"],
    positive: Float[Tensor, "n d"],
    negative: Float[Tensor, "n d"],
    margin: float,
) -> Float[Tensor, ""]:
    r"""The same with distances that are not squared, in units of length.

    .. math:: \frac1n \sum_i \max\big(0,\ \lVert a_i - p_i\rVert - \lVert a_i - q_i\rVert + m\big)

    The gradient of a distance zero is taken to be zero. torch.nn.TripletMarginLoss computes this, with 1e-6
    added to every coordinate of the differences.

    Known value: a = (0, 0), p = (1, 0), q = (0, 2) with margin 4 cost 1 - 2 + 4 = 3.
    Raises ValueError if margin <= 0, or without triplets.
    Source: Hermans, Beyer & Leibe 2017, arXiv:1703.07737. Chapter: sec-metric.
    """
    near, far = (_root(square) for square in sides(anchor, positive, negative))
    return _hinge(near, far, margin)


def _hinge(near: Float[Tensor, " n"], far: Float[Tensor, " n"], margin: float) -> Float[Tensor, ""]:
    if not margin > 0:
        raise ValueError(f"need margin > 0, or a constant embedding costs nothing; got {margin}")
    return (near - far + margin).relu().mean()


def _root(square: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Square roots whose gradient at 0 is 0 and not infinite."""
    zero = square == 0
    return torch.where(zero, 1.0, square).sqrt().masked_fill(zero, 0.0)


def spread(z: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    r"""How far embeddings lie from their mean, summed; 0 if and only if all are equal (collapse).

    .. math:: S(z) = \sum_i \lVert z_i - \bar z\rVert^2

    Known value: the two points (0, 0) and (0, 2) have S = 2.
    """
    return (z - z.mean(0)).square().sum()
