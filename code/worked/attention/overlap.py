"""Does attention fall on the object? Mass and overlap against a true mask, on the grid of patches."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def patch_cover(masks: Bool[Tensor, "b h w"], patch: int) -> Float[Tensor, "b p"]:
    """The share of each patch that the mask covers, row by row of the picture.

    Known value: a mask that is True everywhere gives 1 for every patch.
    Raises ValueError if a side is no multiple of the patch.
    """
    if masks.shape[1] % patch or masks.shape[2] % patch:
        raise ValueError(f"sides must be multiples of {patch}, got {masks.shape[1]} x {masks.shape[2]}")
    return F.avg_pool2d(masks[:, None].float(), patch).flatten(1)  # (b, p)


def mass_on(weights: Float[Tensor, "b p"], cover: Float[Tensor, "b p"]) -> Float[Tensor, " b"]:
    r"""The share of the attention that falls on the mask; spread evenly, the mask's share of the area.

    .. math:: \sum_p \frac{w_p}{\sum_{p'} w_{p'}}\, c_p

    w: non-negative weights of the patches; c: how much of each patch the mask covers.
    Known value: equal weights give the mean of c. Raises ValueError if a row of weights has no mass.
    """
    total = weights.sum(dim=1)
    if not (total > 0).all() or (weights < 0).any():
        raise ValueError("weights must be non-negative, with a positive sum in every row")
    return (weights * cover).sum(dim=1) / total


def overlap(
    weights: Float[Tensor, "b p"], cover: Float[Tensor, "b p"], keep: float = 0.6
) -> Float[Tensor, " b"]:
    """Intersection over union of the strongest patches holding `keep` of the mass, and the object's patches.

    The first set is the smallest number of patches, strongest first, whose weights reach `keep` of the sum;
    the second the patches more than half covered, and always the most covered one.

    Known value: all mass on the one covered patch gives 1. Raises ValueError unless 0 < keep < 1.
    Source: Caron et al. 2021, arXiv:2104.14294, fig. 4 (60 % of the mass, Jaccard similarity).
    """
    if not 0 < keep < 1:
        raise ValueError(f"need 0 < keep < 1, got {keep}")
    share = weights / weights.sum(dim=1, keepdim=True)
    order = share.argsort(dim=1, descending=True, stable=True)
    before = share.gather(1, order).cumsum(dim=1) - share.gather(1, order)  # mass of the stronger ones
    chosen = torch.zeros_like(share, dtype=torch.bool).scatter(1, order, before < keep)
    best = F.one_hot(cover.argmax(dim=1), cover.shape[1]).bool()
    true = (cover > 0.5) | best
    return (chosen & true).sum(dim=1) / (chosen | true).sum(dim=1)
