"""Noise schedules, indexed as in the text: t = 0..T, with alpha_bar[0] = 1 (no noise yet).

Proved and pictured in the chapter generative/closed-form.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Schedule:
    """Cumulative signal variances alpha_bar_0..alpha_bar_T, float64, strictly decreasing from 1, never < 0.

    Strict decrease lets only the last entry be 0: then x_T is pure noise ("zero terminal SNR").

    Known value: Schedule(torch.tensor([1, 0.75, 0.25], dtype=torch.float64)).beta is [1/4, 2/3].
    Raises ValueError where the noise level 1 - alpha_bar does not grow, naming the first such t. NaN never
    passes.
    """

    alpha_bar: Float64[Tensor, " times"]  # times = T + 1

    def __post_init__(self) -> None:
        a = self.alpha_bar
        if a.ndim != 1 or len(a) < 2 or a.dtype != torch.float64:
            raise ValueError(
                f"alpha_bar: want a float64 vector of T + 1 >= 2 entries, got {a.dtype} {tuple(a.shape)}"
            )
        if not a[0] == 1:
            raise ValueError(f"alpha_bar must start at 1 (no noise at t = 0), got {a[0].item()}")
        ok = (a[1:] < a[:-1]) & (a[1:] >= 0)
        if not ok.all():
            t = int((~ok).nonzero()[0]) + 1
            raise ValueError(
                f"alpha_bar must strictly decrease and stay >= 0: alpha_bar[{t - 1}] = {a[t - 1].item()}, "
                f"alpha_bar[{t}] = {a[t].item()}"
            )

    @property
    def T(self) -> int:
        """Number of noising steps; t runs over 0..T."""
        return len(self.alpha_bar) - 1

    @property
    def beta(self) -> Float64[Tensor, " T"]:
        """One-step variances beta_1..beta_T; note beta[0] is beta_1."""
        return 1 - self.alpha_bar[1:] / self.alpha_bar[:-1]

    @property
    def snr(self) -> Float64[Tensor, " times"]:
        """Signal-to-noise ratio alpha_bar / (1 - alpha_bar) for data of unit variance; infinite at t = 0."""
        return self.alpha_bar / (1 - self.alpha_bar)


def linear(T: int, beta_1: float = 1e-4, beta_T: float = 0.02) -> Schedule:
    """beta_t rises linearly from beta_1 to beta_T.

    Known value: linear(2, 0.25, 0.5).alpha_bar is [1, 3/4, 3/8].
    Raises ValueError unless T >= 1 and 0 < beta_1 <= beta_T <= 1.
    Source: Ho et al. 2020, arXiv:2006.11239, sec. 4 (there T = 1000).
    """
    if T < 1 or not 0 < beta_1 <= beta_T <= 1:
        raise ValueError(f"need T >= 1 and 0 < beta_1 <= beta_T <= 1, got {T=}, {beta_1=}, {beta_T=}")
    beta = torch.linspace(beta_1, beta_T, T, dtype=torch.float64)
    return Schedule(torch.cat([beta.new_ones(1), (1 - beta).cumprod(0)]))


def cosine(T: int, s: float = 0.008, beta_max: float = 0.999) -> Schedule:
    """Squared-cosine alpha_bar, each beta_t held at beta_max or below.

    Known value: cosine(2, s=0.0).alpha_bar is [1, 1/2, 1/2000]; the second step meets beta_max.
    Raises ValueError unless T >= 1, s >= 0 and 0 < beta_max <= 1.
    Source: Nichol & Dhariwal 2021, arXiv:2102.09672, eq. (17).
    """
    if T < 1 or not (0 <= s < math.inf and 0 < beta_max <= 1):
        raise ValueError(f"need T >= 1, finite s >= 0 and 0 < beta_max <= 1, got {T=}, {s=}, {beta_max=}")
    t = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=beta_max)
    return Schedule(torch.cat([beta.new_ones(1), (1 - beta).cumprod(0)]))


def q_sample(
    x0: Float[Tensor, " b *dims"], t: Int[Tensor, " b"], eps: Float[Tensor, " b *dims"], schedule: Schedule
) -> Float[Tensor, " b *dims"]:
    """Draw x_t given x_0 in one jump: sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps.

    The noise comes in as an argument, so the function is deterministic. The coefficients are computed in
    float64 and rounded once, to the dtype of x0. A ``t`` kept on the CPU spares a wait for the GPU.

    Known value: with alpha_bar_1 = 0.64, x0 = 1 and eps = 1 give x_1 = 0.8 + 0.6.
    Raises ValueError for t outside 0..T and for shapes that do not fit.
    Source: Ho et al. 2020, arXiv:2006.11239, eq. (4); theorem thm-closed-form of the book.
    """
    if eps.shape != x0.shape:
        raise ValueError(f"eps must have the shape of x0, {tuple(x0.shape)}, got {tuple(eps.shape)}")
    times = at_times(t, x0, 0, schedule.T)
    a = schedule.alpha_bar[times]  # (b,)
    return fit_to(a.sqrt(), x0) * x0 + fit_to((1 - a).sqrt(), x0) * eps


def at_times(t: Int[Tensor, " b"], x: Float[Tensor, " b *dims"], first: int, last: int) -> Int[Tensor, " b"]:
    """Give t back as an index on the CPU, one time per sample of x.

    Raises ValueError unless x is floating, t an integer vector as long as the batch, and every t in
    first..last (a negative index would wrap around in silence).
    """
    if not x.is_floating_point():
        raise ValueError(f"samples must be floating, got {x.dtype}")
    if t.is_floating_point() or t.is_complex() or t.dtype == torch.bool or t.shape != x.shape[:1]:
        raise ValueError(f"t: want an integer vector of length {len(x)}, got {t.dtype} {tuple(t.shape)}")
    times = t.long().cpu()
    if len(times) and not (first <= (low := int(times.min())) and (high := int(times.max())) <= last):
        outside = low if low < first else high
        raise ValueError(f"t must lie in {first}..{last}, got {outside}")
    return times


def fit_to(values: Float64[Tensor, " b"], x: Float[Tensor, " b *dims"]) -> Float[Tensor, " b *ones"]:
    """Give one value per sample the dtype and device of x, and the shape (b, 1, ..., 1) to multiply it."""
    return values.to(x).reshape(-1, *[1] * (x.ndim - 1))
