"""The Fréchet distance between two Gaussians, and between two sets of features taken as Gaussians."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor


def moments(features: Float[Tensor, "n d"]) -> tuple[Float64[Tensor, " d"], Float64[Tensor, "d d"]]:
    """Mean and covariance (divided by n - 1) of n feature vectors, in float64.

    Known value: the rows (0, 0) and (2, 0) have mean (1, 0) and covariance ((2, 0), (0, 0)).
    Raises ValueError if n < 2: one vector has no covariance.
    """
    if len(features) < 2:
        raise ValueError(f"need n >= 2 feature vectors, got n={len(features)}")
    x = features.double()
    centred = x - x.mean(dim=0)
    return x.mean(dim=0), centred.T @ centred / (len(x) - 1)


def frechet_distance(
    mean1: Float64[Tensor, " d"],
    cov1: Float64[Tensor, "d d"],
    mean2: Float64[Tensor, " d"],
    cov2: Float64[Tensor, "d d"],
) -> Float64[Tensor, ""]:
    r"""Squared 2-Wasserstein distance of N(mean1, cov1) and N(mean2, cov2), in squared feature units.

    .. math:: |\mu_1 - \mu_2|^2 + \operatorname{tr} \Sigma_1 + \operatorname{tr} \Sigma_2
              - 2 \operatorname{tr} \big(\Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2}\big)^{1/2}

    The matrix under the last root is symmetric, so its eigenvalues are real and at least 0 but for rounding;
    their roots sum to the trace. The product of the two covariances is not symmetric, and its root is what
    makes other implementations return complex numbers. "FID" is this distance in the features of one
    particular Inception network; in other features it is another number, and has no right to the name.

    Known value: N(0, 1) and N(3, 4) are 9 + 1 + 4 - 2 * 2 = 10 apart.
    Raises ValueError if the shapes do not fit or a covariance is not symmetric.
    Source: Dowson & Landau 1982, doi:10.1016/0047-259X(82)90077-X, eq. (4); Heusel et al. 2017,
    arXiv:1706.08500, eq. (6).
    """
    d = len(mean1)
    if mean2.shape != (d,) or cov1.shape != (d, d) or cov2.shape != (d, d):
        shapes = [tuple(x.shape) for x in (mean1, cov1, mean2, cov2)]
        raise ValueError(f"want means (d,) and covariances (d, d) of one d, got {shapes}")
    for cov in (cov1, cov2):
        off = float((cov - cov.T).abs().max().detach())
        if not off <= 1e-8 * float(cov.detach().abs().max()):
            raise ValueError(f"a covariance is symmetric; this one is off by {off:.3g}")
    values, vectors = torch.linalg.eigh(cov1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # (d, d), symmetric: root @ root = cov1
    overlap = torch.linalg.eigvalsh(root @ cov2 @ root).clamp(min=0).sqrt().sum()
    return (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * overlap
