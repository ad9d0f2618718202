"""Has a representation collapsed? Two numbers that say so, of which only the first is to be trusted."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def spread(z: Float[Tensor, "n d"]) -> float:
    r"""Spread of the unit embeddings: the mean over coordinates of their standard deviation, times sqrt(d).

    .. math:: \frac{\sqrt d}{d} \sum_{k=1}^{d} \Big(\frac1n \sum_i \big(u_{ik} - \bar u_k\big)^2\Big)^{1/2},
              \qquad u_i = z_i / \lVert z_i \rVert

    0 when all embeddings point the same way, at most 1, and near 1 when they are spread evenly over the
    sphere. Known value: the 2d points plus and minus e_k give exactly 1. Raises ValueError if n < 2.
    Source: Chen & He 2021, arXiv:2011.10566, sec. 4.1 (there without the factor, and 1/sqrt(d) is spread).
    """
    if len(z) < 2:
        raise ValueError(f"need at least two embeddings, got {len(z)}")
    u = F.normalize(z.double(), dim=1)
    return (u.std(0, correction=0).mean() * z.shape[1] ** 0.5).item()


def effective_rank(z: Float[Tensor, "n d"]) -> float:
    r"""exp of the entropy of the centred embeddings' normalised singular values; from 1 to min(n - 1, d).

    .. math:: \exp\Big(-\sum_k p_k \log p_k\Big), \qquad p_k = \sigma_k / \sum_l \sigma_l

    It does not see scale: embeddings that differ by rounding alone can have full rank. Read it beside
    `spread`. Known value: the 2d points plus and minus e_k give d; points on a line give 1. Raises ValueError
    if n < 2 or all embeddings are equal.
    Source: Roy & Vetterli 2007, The Effective Rank, EUSIPCO, doi:10.5281/zenodo.40386.
    """
    if len(z) < 2:
        raise ValueError(f"need at least two embeddings, got {len(z)}")
    sigma = torch.linalg.svdvals((z - z.mean(0)).double())
    if sigma.sum() == 0:
        raise ValueError("all embeddings are equal: their rank is not defined")
    p = sigma / sigma.sum()
    return torch.special.entr(p).sum().exp().item()
