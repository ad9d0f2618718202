"""Normals of a classifier's borders near many pictures, and how much of them lies in few directions."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from worked.robustness.deepfool import deepfool
from worked.robustness.universal import answers

OVERSHOOT = 0.02
AT_ONCE = 100  # pictures; DeepFool copies each for every class


def border_normals(
    model: nn.Module, x: Float[Tensor, "n c h w"], label: Int[Tensor, " n"], *, steps: int = 50
) -> tuple[Float[Tensor, "m d"], Float[Tensor, " m"], Bool[Tensor, " n"]]:
    r"""Unit vectors along DeepFool's way from each picture to its border, and the way's Euclidean length.

    .. math:: n_i = r_i / \|r_i\|_2, \qquad \rho_i = \|r_i\|_2 / (1 + \text{overshoot})

    Nothing is clipped; DeepFool's own overshoot of 0.02 is taken off the length again. A picture that is not
    led across the border in `steps` steps is left out; the third result is True for those that are kept.

    Known value: for affine scores of two classes every n_i is (w_1 - w_0) / ||w_1 - w_0|| up to its sign, and
    rho_i = |f_1 - f_0| / ||w_1 - w_0||.
    Raises ValueError if a picture does not have its label, or if no picture is led across.
    Source: Moosavi-Dezfooli et al. 2017, arXiv:1610.08401, its matrix of normals.
    """
    if wrong := (answers(model, x) != label).sum().item():
        raise ValueError(f"want pictures that the model calls by their label; {wrong} of {len(x)} are not")
    found = torch.cat(
        [
            deepfool(model, some, theirs, steps=steps, overshoot=OVERSHOOT, clip=False)
            for some, theirs in zip(x.split(AT_ONCE), label.split(AT_ONCE), strict=True)
        ]
    )
    crossed = answers(model, found) != label
    if not crossed.any():
        raise ValueError(f"none of {len(x)} pictures crosses a border in {steps} steps")
    r = (found - x)[crossed].flatten(1)  # (m, d)
    length = r.norm(dim=1)
    return r / length[:, None], length / (1 + OVERSHOOT), crossed


def spectrum(normals: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " r"], Float[Tensor, "r d"]]:
    r"""Shares of the normals' energy along orthogonal directions, largest first, and the directions as rows.

    .. math:: N = U \Sigma V^\top, \qquad
              \text{share}_j = \sigma_j^2 / n = \tfrac1n \textstyle\sum_i (n_i \cdot v_j)^2

    They add up to 1. Known value: n equal rows have shares 1, 0, 0, …; n orthogonal rows have 1/n each.
    Raises ValueError unless the rows have length 1 (to rounding).
    Source: as border_normals; the mean-square reading: thm-uap-energy.
    """
    tolerance = 100 * torch.finfo(normals.dtype).eps
    if len(normals) == 0 or ((normals.norm(dim=1) - 1).abs() > tolerance).any():
        raise ValueError(f"want rows of length 1, got {normals.norm(dim=1).tolist()[:3]} …")
    _, sigma, v = torch.linalg.svd(normals, full_matrices=False)
    return sigma**2 / len(normals), v


def energy(normals: Float[Tensor, "n d"], directions: Float[Tensor, "m d"]) -> float:
    r"""The mean share of a normal's squared length within the span of orthonormal directions.

    .. math:: \tfrac1n \sum_i \sum_{j \le m} (n_i \cdot v_j)^2

    Known value: 1 for an orthonormal basis of the whole space; on average m/d for a random subspace.
    Raises ValueError unless the directions are orthonormal (to rounding).
    """
    gram = directions @ directions.T
    off = (gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).abs().max()
    if off > 1000 * torch.finfo(gram.dtype).eps:
        raise ValueError(f"the directions are not orthonormal: off by {off:.2g}")
    return ((normals @ directions.T) ** 2).sum(1).mean().item()


def random_normals(n: int, d: int, rng: torch.Generator) -> Float[Tensor, "n d"]:
    """n independent unit vectors, uniform over the sphere. Known value: for d = 1 each is 1 or -1."""
    if n < 1 or d < 1:
        raise ValueError(f"need n >= 1 and d >= 1, got {n}, {d}")
    g = torch.randn(n, d, generator=rng)
    return g / g.norm(dim=1, keepdim=True)


def shuffled_normals(normals: Float[Tensor, "n d"], rng: torch.Generator) -> Float[Tensor, "n d"]:
    """Each row with its entries in an order of its own: the same numbers, and no direction in common.

    Known value: a row of equal entries stays as it is.
    """
    order = torch.rand(normals.shape, generator=rng).argsort(1).to(normals.device)
    return normals.gather(1, order)
