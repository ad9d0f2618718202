"""The posterior q(x_{t-1} | x_t, x_0) of the forward process: one noising step undone, when x_0 is known.

Derived in the chapter generative/closed-form.
"""

from jaxtyping import Float, Float64, Int
from torch import Tensor

from worked.generative.schedule import Schedule, at_times, fit_to


def posterior_coefficients(
    t: Int[Tensor, " b"], schedule: Schedule
) -> tuple[Float64[Tensor, " b"], Float64[Tensor, " b"], Float64[Tensor, " b"]]:
    r"""Weights of x_0 and of x_t in the posterior mean, and the posterior variance, in float64.

    .. math::
        \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}, \quad
        \frac{\sqrt{1-\beta_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}, \quad
        \tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\,\beta_t

    Known value: t = 1 gives 1, 0, 0 whatever the schedule, for x_0 is known.
    Source: Ho et al. 2020, arXiv:2006.11239, eq. (7).
    """
    alpha_bar, before = schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
    beta = schedule.beta[t - 1]  # beta[0] is beta_1
    variance = (1 - before) / (1 - alpha_bar) * beta
    return (
        before.sqrt() * beta / (1 - alpha_bar),
        (1 - beta).sqrt() * (1 - before) / (1 - alpha_bar),
        variance,
    )


def posterior(
    x0: Float[Tensor, " b *dims"], xt: Float[Tensor, " b *dims"], t: Int[Tensor, " b"], schedule: Schedule
) -> tuple[Float[Tensor, " b *dims"], Float[Tensor, " b *ones"]]:
    """Mean and variance of x_{t-1} given x_t and x_0, for t in 1..T; the variance has shape (b, 1, ..., 1).

    The coefficients are computed in float64 and rounded once, to the dtype of x0.

    Known value: with alpha_bar = [1, 3/4, 3/8] and t = 2, x0 = sqrt(3) and xt = sqrt(2) give mean 1.2 + 0.4
    and variance 0.2.
    Raises ValueError for t outside 1..T (there is nothing before t = 0) and for shapes that do not fit.
    Source: Ho et al. 2020, arXiv:2006.11239, eqs. (6) and (7); theorem thm-posterior of the book.
    """
    if xt.shape != x0.shape:
        raise ValueError(f"xt must have the shape of x0, {tuple(x0.shape)}, got {tuple(xt.shape)}")
    of_x0, of_xt, variance = posterior_coefficients(at_times(t, x0, 1, schedule.T), schedule)
    return fit_to(of_x0, x0) * x0 + fit_to(of_xt, x0) * xt, fit_to(variance, x0)
