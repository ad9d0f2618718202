"""The Fréchet distance between two Gaussians, and between two sets of features taken as Gaussians.

Derived in the chapter sec-fid. Every covariance here is divided by n - 1, once, in `centred_rows`.
"""

import math
import warnings

import torch
from jaxtyping import Float, Float64
from torch import Tensor


def moments(features: Float[Tensor, "n d"]) -> tuple[Float64[Tensor, " d"], Float64[Tensor, "d d"]]:
    """Mean and covariance (divided by n - 1) of n feature vectors, in float64.

    Known value: the rows (0, 0), (2, 0), (1, 3) have mean (1, 1) and covariance ((1, 0), (0, 3)).
    Warns if n <= d, as `centred_rows` does, and raises what it raises.
    """
    mean, rows = centred_rows(features)
    return mean, rows.T @ rows


def centred_rows(features: Float[Tensor, "n d"]) -> tuple[Float64[Tensor, " d"], Float64[Tensor, "n d"]]:
    """Mean, and rows (x - mean) / sqrt(n - 1): their Gram matrix rows^T rows is the covariance. Float64.

    Known value: (0, 0) and (2, 0) give the mean (1, 0) and the rows (-1, 0) and (1, 0).
    Warns if n <= d: the covariance has rank n - 1 at most, and a distance computed from it is mostly bias.
    Raises ValueError if n < 2 (one vector has no covariance), or if a value is NaN or infinite.
    """
    n, d = features.shape
    if n < 2:
        raise ValueError(f"need n >= 2 feature vectors, got n={n}")
    _check_finite(features=features)
    if n <= d:
        warnings.warn(
            f"{n} samples of {d} features: the covariance is singular, and the distance mostly bias",
            stacklevel=3,
        )
    x = features.double()
    mean = x.mean(dim=0)
    return mean, (x - mean) / math.sqrt(n - 1)


def frechet_distance(
    mean1: Float64[Tensor, " d"],
    cov1: Float64[Tensor, "d d"],
    mean2: Float64[Tensor, " d"],
    cov2: Float64[Tensor, "d d"],
) -> Float64[Tensor, ""]:
    r"""Squared 2-Wasserstein distance of N(mean1, cov1) and N(mean2, cov2), in squared feature units.

    .. math:: |\mu_1 - \mu_2|^2 + \operatorname{tr} \Sigma_1 + \operatorname{tr} \Sigma_2
              - 2 \operatorname{tr} \big(\Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2}\big)^{1/2}

    Any S with S S^T = Sigma_1 will do for the root: S^T Sigma_2 S has the nonzero eigenvalues of the matrix
    under the last root, and is symmetric, so they are real, and at least 0 but for rounding. The product of
    the two covariances is not symmetric, and its root is what makes other implementations slow, and complex.
    "FID" is this distance in the features of one particular Inception network; in other features it is
    another number, and has no right to the name.

    Known value: N(0, 1) and N(3, 4) are 9 + 1 + 4 - 2 * 2 = 10 apart.
    Raises ValueError if the shapes do not fit, a value is NaN or infinite, or a covariance is not symmetric
    or has a negative eigenvalue. Rounding, and gradients of singular covariances: `overlap`.
    Source: Dowson & Landau 1982, doi:10.1016/0047-259X(82)90077-X, eq. (4); Heusel et al. 2017,
    arXiv:1706.08500, eq. (6).
    """
    d = len(mean1)
    if mean2.shape != (d,) or cov1.shape != (d, d) or cov2.shape != (d, d):
        shapes = [tuple(x.shape) for x in (mean1, cov1, mean2, cov2)]
        raise ValueError(f"want means (d,) and covariances (d, d) of one d, got {shapes}")
    _check_finite(mean1=mean1, cov1=cov1, mean2=mean2, cov2=cov2)
    for cov in (cov1, cov2):
        off = float((cov - cov.T).abs().max().detach())
        if off > 1e-8 * float(cov.detach().abs().max()):
            raise ValueError(f"a covariance is symmetric; this one is off by {off:.3g}")
    return (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * overlap(cov1, cov2)


def overlap(cov1: Float64[Tensor, "d d"], cov2: Float64[Tensor, "d d"]) -> Float64[Tensor, ""]:
    r"""tr (Sigma_1^{1/2} Sigma_2 Sigma_1^{1/2})^{1/2}: the roots of the eigenvalues of S^T Sigma_2 S, summed.

    S is the Cholesky factor of cov1, a fraction of the work of its eigenvectors; if cov1 is singular, its
    scaled eigenvectors with eigenvalues above rounding. The root of an eigenvalue near 0 is wrong by up to
    sqrt(2^-53 |Sigma_1| |Sigma_2|); `frechet_from_features` never squares, and avoids that. The gradient is
    finite if S^T Sigma_2 S has no eigenvalue 0: give the fixed one of the two first.

    Known value: for diagonal covariances, the sum of the geometric means of the variances.
    Raises ValueError if an eigenvalue is negative beyond rounding.
    """
    factor, failed = torch.linalg.cholesky_ex(cov1)
    root = factor_of(cov1) if failed else factor
    inner = root.T @ cov2 @ root  # (r, r)
    values = torch.linalg.eigvalsh((inner + inner.T) / 2)
    scale = float((cov1.trace() * cov2.trace()).detach().abs())
    if len(values) and float(values.detach().min()) < -1e-10 * scale:
        raise ValueError("a covariance has no negative eigenvalue; one of these has")
    return values.clamp(min=0).sqrt().sum()


def frechet_from_features(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float64[Tensor, ""]:
    r"""The Fréchet distance of two sets of features, straight from their rows; no covariance is formed.

    .. math:: |\bar x - \bar y|^2 + \|X\|_F^2 + \|Y\|_F^2 - 2 \|X Y^\top\|_*

    X and Y are the centred rows over sqrt(n - 1) and sqrt(m - 1), and the last term is the sum of the
    singular values of a matrix of n rows and m columns: with few samples it is small, however many features
    there are. A set of more than d rows is first brought to d rows by X = Q R, which leaves X^T X as it is.
    Singular values are not squared on the way, so the error is some 2^-53 of the traces even where the
    covariances are singular.

    Known value: the rows 0, 2 and 3, 7 have means 1, 5 and variances 2, 8: 16 + 2 + 8 - 2 * 4 = 18.
    Warns if n <= d or m <= d; raises ValueError if n < 2 or m < 2, if the sets differ in width, or if a value
    is NaN or infinite.
    """
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"want features of one width, got {x.shape[1]} and {y.shape[1]}")
    (mean1, rows1), (mean2, rows2) = centred_rows(x), centred_rows(y)
    cross = _at_most_d_rows(rows1) @ _at_most_d_rows(rows2).T
    traces = rows1.square().sum() + rows2.square().sum()
    return (mean1 - mean2).square().sum() + traces - 2 * torch.linalg.svdvals(cross).sum()


def _at_most_d_rows(rows: Float64[Tensor, "n d"]) -> Float64[Tensor, "r d"]:
    """Rows with the same Gram matrix rows^T rows, at most d of them."""
    return rows if len(rows) <= rows.shape[1] else torch.linalg.qr(rows).R


def factor_of(cov: Float64[Tensor, "d d"]) -> Float64[Tensor, "d r"]:
    """S with S S^T = cov, one column for each eigenvalue above rounding.

    Known value: diag(4, 0) has the factor (2, 0)^T, up to its sign.
    Raises ValueError if an eigenvalue is negative beyond rounding.
    """
    values, vectors = torch.linalg.eigh(cov)
    if float(values.detach()[0]) < -1e-10 * float(values.detach().abs().max()):
        raise ValueError(f"a covariance has no negative eigenvalue, got {float(values.detach()[0]):.3g}")
    kept = values > len(cov) * torch.finfo(cov.dtype).eps * values[-1]
    return vectors[:, kept] * values[kept].sqrt()


def _check_finite(**tensors: Tensor) -> None:
    for name, x in tensors.items():
        if not x.isfinite().all():
            bad = int((~x.isfinite()).sum())
            raise ValueError(f"want finite values, got {bad} of {x.numel()} NaN or infinite in {name}")
