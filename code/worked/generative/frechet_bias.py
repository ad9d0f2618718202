"""How far the Fréchet distance of n samples lies above that of infinitely many: derived, and fitted.

Derived in the chapter sec-fid. The reference is known exactly; samples are drawn from the other law.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from worked.generative.frechet import factor_of, frechet_distance, moments

TINY = 1e-12  # of the largest eigenvalue: what lies below is rounding


def bias_coefficient(reference: Float64[Tensor, "d d"], cov: Float64[Tensor, "d d"]) -> Float64[Tensor, ""]:
    r"""c in E[distance of n Gaussian samples] = distance + c/n + O(1/n^2), in squared feature units.

    .. math:: c = \operatorname{tr} \Sigma
              + \tfrac12 \sum_{ij} \frac{s_i s_j}{s_i + s_j} + \tfrac14 \sum_i s_i

    s_i are the roots of the nonzero eigenvalues of Sigma_0^{1/2} Sigma Sigma_0^{1/2}; Sigma_0 belongs to the
    reference. The samples have the covariance Sigma (which is estimated with n - 1).

    Known value: Sigma = Sigma_0 = v I in d dimensions gives v d (d + 5) / 4.
    Source: sec-fid, thm-fid-bias.
    """
    s = _roots_and_frame(reference, cov)[0]
    pairs = s[:, None] * s / (s[:, None] + s)  # (r, r)
    return cov.trace() + pairs.sum() / 2 + s.sum() / 4


def bias_coefficient_of_samples(
    reference: Float64[Tensor, "d d"], features: Float64[Tensor, "n d"]
) -> Float64[Tensor, ""]:
    r"""The same c without the assumption that features are Gaussian: for draws from the rows given.

    .. math:: c = \operatorname{tr} \Sigma + \tfrac12 \sum_{ij}
              \frac{\operatorname{Var}(z_i z_j)}{s_i s_j (s_i + s_j)}

    z is the centred feature in the frame in which Sigma_0^{1/2} Sigma Sigma_0^{1/2} is diagonal, times
    Sigma_0^{1/2}: E z_i z_j = s_i^2 if i = j, else 0. For Gaussian features Var(z_i z_j) is s_i^2 s_j^2,
    twice that if i = j. Sigma is the covariance of the rows themselves, divided by n: they are the law.

    Known value: the rows -1 and 1 with reference 1: z^2 never varies, and c = tr Sigma = 1.
    Source: sec-fid, thm-fid-bias.
    """
    y = features - features.mean(dim=0)
    cov = y.T @ y / len(y)
    s, frame = _roots_and_frame(reference, cov)
    z = y @ frame  # (n, r)
    variance = (z**2).T @ z**2 / len(z) - (s**4).diag()  # (r, r): of z_i z_j
    return cov.trace() + (variance / (s[:, None] * s * (s[:, None] + s))).sum() / 2


def sampled_distances(
    features: Float[Tensor, "n d"],
    reference: tuple[Float64[Tensor, " d"], Float64[Tensor, "d d"]],
    sizes: Sequence[int],
    rng: torch.Generator,
    *,
    again: bool,
) -> Float64[Tensor, " k"]:
    """The distance of a random sample of each size from the reference (mean, covariance), in that order.

    again=True draws with replacement: independent samples of the law that the rows are. again=False takes
    subsets of the rows: what one does who has n samples and no more.

    Known value: again=False and size n is the distance of all rows.
    Raises ValueError if a subset would be larger than the set.
    """
    n = len(features)
    if not again and max(sizes) > n:
        raise ValueError(f"want subsets of at most {n} rows, got sizes {list(sizes)}")
    found = []
    for size in sizes:
        rows = torch.randint(n, (size,), generator=rng) if again else torch.randperm(n, generator=rng)[:size]
        found.append(frechet_distance(*reference, *moments(features[rows])))
    return torch.stack(found)


def extrapolate(
    sizes: Sequence[int] | Float[Tensor, " k"], distances: Float64[Tensor, "... k"]
) -> tuple[Float64[Tensor, "..."], Float64[Tensor, "..."]]:
    r"""Intercept and slope of the least-squares line of distances over 1/n: distance at n = infinity, and c.

    Leading axes are separate fits. Known value: 5 + 20/n at n = 10, 20, 40 gives 5 and 20.
    Raises ValueError unless there are two different sizes and a distance for each.
    Source: Chong & Forsyth 2020, arXiv:1911.07023, sec. 4.
    """
    x = 1 / torch.as_tensor(sizes, dtype=torch.float64)
    if distances.shape[-1] != len(x) or len(x.unique()) < 2:
        raise ValueError(
            f"want a distance for each of two or more different sizes, got sizes {list(sizes)} "
            f"and distances of shape {tuple(distances.shape)}"
        )
    u = x - x.mean()
    slope = (distances * u).sum(-1) / u.square().sum()
    return distances.mean(-1) - slope * x.mean(), slope


def _roots_and_frame(reference: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """The s_i above rounding, and the matrix that takes a centred feature (a row) to its z."""
    root = factor_of(reference)  # (d, r)
    values, vectors = torch.linalg.eigh(root.T @ cov @ root)
    kept = values > TINY * values[-1]
    return values[kept].sqrt(), root @ vectors[:, kept]
