"""The reverse step q(x_{t-1} | x_t) of mixtures of Gaussians on the line, exactly, and how Gaussian it is.

Used in the chapter generative/ddpm, section "When is the reverse step Gaussian?".
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from worked.generative.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of k Gaussians on the line that share one variance; or a batch of b such mixtures.

    Raises ValueError unless the weights are positive and sum to 1, and the variance is positive.
    """

    weights: Float64[Tensor, "*b k"]
    means: Float64[Tensor, "*b k"]
    variance: float

    def __post_init__(self) -> None:
        off = float((self.weights.sum(-1) - 1).abs().max())
        if not (off < 1e-9 and bool((self.weights >= 0).all()) and self.variance > 0):
            raise ValueError(f"need weights >= 0 that sum to 1 and variance > 0, got {self}")

    def density(self, y: Float64[Tensor, "*b n"]) -> Float64[Tensor, "*b n"]:
        """The density at y. Known value: one component N(0, 1) has 1/sqrt(2 pi) at 0."""
        z = (y[..., :, None] - self.means[..., None, :]).square() / self.variance  # (*b, n, k)
        return (torch.exp(-z / 2) * self.weights[..., None, :]).sum(-1) / (
            2 * torch.pi * self.variance
        ) ** 0.5

    def moments(self) -> tuple[Float64[Tensor, "*b"], Float64[Tensor, "*b"]]:
        """Mean and variance. Known value: means -1 and 1 with equal weights have 0 and 1 + variance."""
        mean = (self.weights * self.means).sum(-1)
        return mean, self.variance + (self.weights * (self.means - mean[..., None]).square()).sum(-1)

    def noised(self, alpha_bar: float) -> "Mixture":
        """The law of sqrt(alpha_bar) x + sqrt(1 - alpha_bar) eps, for x of this law."""
        return Mixture(self.weights, alpha_bar**0.5 * self.means, alpha_bar * self.variance + 1 - alpha_bar)

    def reversed(self, xt: Float64[Tensor, " b"], beta: float) -> "Mixture":
        r"""The law of y given x_t = sqrt(1 - beta) y + sqrt(beta) eps, for y of this law, at b values of x_t.

        .. math:: v' = \Big(\frac1v + \frac{1-\beta}{\beta}\Big)^{-1}, \quad
                  m'_k = v' \Big(\frac{m_k}{v} + \frac{\sqrt{1-\beta}}{\beta} x_t\Big), \quad
                  w'_k \propto w_k\, N(x_t;\ \sqrt{1-\beta}\, m_k,\ (1-\beta) v + \beta)

        Known value: one component N(0, 1) gives N(sqrt(1 - beta) x_t, beta).
        Raises ValueError unless 0 < beta < 1.
        """
        if not 0 < beta < 1:
            raise ValueError(f"need 0 < beta < 1, got {beta}")
        keep = (1 - beta) ** 0.5
        variance = 1 / (1 / self.variance + (1 - beta) / beta)
        means = variance * (self.means / self.variance + keep * xt[:, None] / beta)  # (b, k)
        spread = (1 - beta) * self.variance + beta
        logits = self.weights.log() - (xt[:, None] - keep * self.means).square() / (2 * spread)
        return Mixture(logits.softmax(-1), means, variance)


def normal(
    y: Float64[Tensor, "*b n"], mean: Float64[Tensor, "*b"], variance: Float64[Tensor, "*b"]
) -> Tensor:
    """The density of N(mean, variance) at y."""
    z = (y - mean[..., None]).square() / variance[..., None]
    return torch.exp(-z / 2) / (2 * torch.pi * variance[..., None]).sqrt()


def gap_to_gaussian(law: Mixture, points: int = 1001, reach: float = 9.0) -> Float64[Tensor, " b"]:
    """Total variation distance of each of b mixtures to the Gaussian with the same mean and variance.

    Half the integral of |p - q| by the trapezium rule, over `reach` standard deviations either side.
    Known value: 0 for a single component; two far components of equal weight are about 0.2 away or more.
    """
    mean, variance = law.moments()
    u = torch.linspace(-reach, reach, points, dtype=torch.float64)
    y = mean[:, None] + variance.sqrt()[:, None] * u  # (b, points)
    return 0.5 * torch.trapezoid((law.density(y) - normal(y, mean, variance)).abs(), y)


def mean_gap(data: Mixture, schedule: Schedule, t: int, s: int, points: int = 201, grid: int = 1001) -> float:
    """`gap_to_gaussian` of q(x_s | x_t), s < t, averaged over x_t: what a Gaussian reverse step costs.

    The average takes `points` values of x_t, each gap an integral over `grid` values of x_s.
    """
    before, after = (float(schedule.alpha_bar[i]) for i in (s, t))
    arrives = data.noised(after)
    mean, variance = (float(x) for x in arrives.moments())
    xt = mean + variance**0.5 * torch.linspace(-5, 5, points, dtype=torch.float64)
    share = arrives.density(xt)
    gaps = gap_to_gaussian(data.noised(before).reversed(xt, 1 - after / before), points=grid)
    return float((share * gaps).sum() / share.sum())
