"""Do two maps order the patches alike? Spearman's rank correlation, row by row."""

import torch
from jaxtyping import Float, Float64
from scipy.stats import rankdata
from torch import Tensor


def ranks(x: Float[Tensor, "b p"]) -> Float64[Tensor, "b p"]:
    """Each value's rank within its row, 1 for the smallest; equal values share the mean of their ranks.

    Known value: (5, 7, 7) has the ranks 1, 2.5, 2.5.
    """
    return torch.from_numpy(rankdata(x.detach().cpu().numpy(), axis=1))


def rank_correlation(a: Float[Tensor, "b p"], b: Float[Tensor, "b p"]) -> Float64[Tensor, " b"]:
    r"""Spearman's correlation of each row of a with that of b: 1 for the same order, -1 for the opposite one.

    .. math:: \rho = \frac{\sum_p (r_p - \bar r)(s_p - \bar s)}
                          {\sqrt{\sum_p (r_p - \bar r)^2 \sum_p (s_p - \bar s)^2}}

    r, s: the ranks of both rows. Any increasing function of a row changes nothing.
    Known value: (1, 2, 3) and (1, 3, 2) give 1/2.
    Raises ValueError on a row without two different finite values: it has no order.
    Source: Spearman 1904, doi:10.2307/1412159. Taught in: attention/vit.
    """
    for x in (a, b):
        if not x.isfinite().all() or (x == x[:, :1]).all(1).any():
            raise ValueError("every row needs finite values, and two different ones")
    r, s = (ranks(x) - (x.shape[1] + 1) / 2 for x in (a, b))
    return (r * s).sum(1) / (r.square().sum(1) * s.square().sum(1)).sqrt()
