"""Denoising diffusion: its training loss (algorithm 1), and two samplers (algorithm 2, and DDIM).

A network is any callable (x_t, t) -> the noise it believes to be in x_t; t is an integer vector, 1..T.
Derived in the chapter generative/ddpm.
"""

from collections.abc import Callable, Collection
from itertools import pairwise

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from worked.generative.posterior import posterior_coefficients
from worked.generative.schedule import Schedule, q_sample

Network = Callable[[Tensor, Tensor], Tensor]


def simple_loss(
    network: Network,
    x0: Float[Tensor, " b *dims"],
    t: Int[Tensor, " b"],
    eps: Float[Tensor, " b *dims"],
    schedule: Schedule,
) -> Float[Tensor, ""]:
    r"""Squared error of the predicted noise, mean over samples and pixels: lines 2 to 5 of algorithm 1.

    .. math:: \big\| \epsilon - \epsilon_\theta(\sqrt{\bar\alpha_t}\, x_0
              + \sqrt{1 - \bar\alpha_t}\, \epsilon,\ t) \big\|^2 / \dim x_0

    Data, times and noise come in, drawn by the caller: t uniform on 1..T, eps standard normal.
    Known value: a network that answers 0 costs the mean of eps^2, which is near 1.
    Raises ValueError for t outside 1..T (x_0 has no noise to predict) and for shapes that do not fit.
    Source: Ho et al. 2020, arXiv:2006.11239, eq. (14).
    """
    if len(t) and int(t.min()) < 1:
        raise ValueError(f"t must lie in 1..{schedule.T}, got {int(t.min())}: x_0 has no noise to predict")
    predicted = network(q_sample(x0, t, eps, schedule), t)
    if predicted.shape != eps.shape:
        raise ValueError(f"the network must keep the shape {tuple(eps.shape)}, got {tuple(predicted.shape)}")
    return (eps - predicted).square().mean()


@torch.no_grad()
def ancestral_sample(
    network: Network,
    x: Float[Tensor, " b *dims"],
    schedule: Schedule,
    generator: torch.Generator,
    *,
    sigma: Float64[Tensor, " T"] | None = None,
    keep: Collection[int] = (),
) -> tuple[Float[Tensor, " b *dims"], dict[int, Tensor]]:
    r"""Algorithm 2: from noise x = x_T down to x_0 in T steps; also x_t for the times t in `keep`.

    .. math:: x_{t-1} = \frac{1}{\sqrt{1-\beta_t}} \Big( x_t - \frac{\beta_t}{\sqrt{1-\bar\alpha_t}}
              \epsilon_\theta(x_t, t) \Big) + \sigma_t z, \quad z \sim N(0, I), \quad z = 0 \text{ at } t = 1

    sigma[t-1] is sigma_t; by default its square is the variance of q(x_{t-1} | x_t, x_0).
    Known value: on data that are all the same point, the exact network gives this point.
    Raises ValueError if sigma is not of length T, or the schedule ends without any signal left.
    Source: Ho et al. 2020, arXiv:2006.11239, algorithm 2.
    """
    T, times = schedule.T, torch.arange(schedule.T + 1, device=x.device)
    if sigma is None:
        sigma = posterior_coefficients(torch.arange(1, T + 1), schedule)[2].sqrt()
    if sigma.shape != (T,) or not schedule.alpha_bar[-1] > 0:
        raise ValueError(
            f"need sigma of shape {(T,)} and alpha_bar_T > 0, got {tuple(sigma.shape)} and "
            f"{schedule.alpha_bar[-1].item()}"
        )
    of_eps = (schedule.beta / (1 - schedule.alpha_bar[1:]).sqrt()).tolist()  # of_eps[t-1], as all three
    scale = (1 - schedule.beta).rsqrt().tolist()
    sigma = sigma.tolist()
    path = {T: x} if T in keep else {}
    for t in range(T, 0, -1):
        eps = network(x, times[t].expand(len(x)))
        x = scale[t - 1] * (x - of_eps[t - 1] * eps)
        if t > 1:
            z = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
            x = x + sigma[t - 1] * z
        if t - 1 in keep:
            path[t - 1] = x
    return x, path


def sampling_times(T: int, steps: int) -> list[int]:
    """T = t_0 > ... > t_steps = 0, as even as whole numbers allow.

    Known value: sampling_times(10, 4) is [10, 8, 5, 2, 0] (7.5 rounds to even).
    Raises ValueError unless 1 <= steps <= T.
    """
    if not 1 <= steps <= T:
        raise ValueError(f"need 1 <= steps <= T, got steps={steps}, T={T}")
    return torch.linspace(T, 0, steps + 1, dtype=torch.float64).round().long().tolist()


@torch.no_grad()
def ddim_sample(
    network: Network,
    x: Float[Tensor, " b *dims"],
    schedule: Schedule,
    times: list[int],
    *,
    clip: float | None = None,
    keep: Collection[int] = (),
) -> tuple[Float[Tensor, " b *dims"], dict[int, Tensor]]:
    r"""DDIM: from x at the first of the times to the last, without any new noise; also x_t for t in `keep`.

    .. math:: \hat x_0 = \frac{x_t - \sqrt{1-\bar\alpha_t}\,\hat\epsilon}{\sqrt{\bar\alpha_t}}, \qquad
              x_s = \sqrt{\bar\alpha_s}\, \hat x_0 + \sqrt{1-\bar\alpha_s}\, \hat\epsilon

    With `clip`, the predicted x_0 is held within [-clip, clip], and the noise is what then remains of x_t.

    Known value: on standard normal data with its exact network, eps = sqrt(1 - alpha_bar_t) x_t, a step
    multiplies x by cos(a_t - a_s), where cos(a_t) = sqrt(alpha_bar_t).
    Raises ValueError if the times are not strictly falling within 0..T, or alpha_bar is 0 at one of them.
    Source: Song et al. 2021, arXiv:2010.02502, eq. (12) with sigma = 0.
    """
    if len(times) < 2 or times[0] > schedule.T or times[-1] < 0:
        raise ValueError(f"need two times or more within 0..{schedule.T}, got {times}")
    if any(s >= t for t, s in pairwise(times)) or not schedule.alpha_bar[times[0]] > 0:
        raise ValueError(f"times must fall strictly, from one with alpha_bar > 0; got {times}")
    signal, noise = schedule.alpha_bar.sqrt().tolist(), (1 - schedule.alpha_bar).sqrt().tolist()
    index = torch.arange(schedule.T + 1, device=x.device)
    path = {times[0]: x} if times[0] in keep else {}
    for t, s in pairwise(times):
        eps = network(x, index[t].expand(len(x)))
        x0 = (x - noise[t] * eps) / signal[t]
        if clip is not None:
            x0 = x0.clamp(-clip, clip)
            eps = (x - signal[t] * x0) / noise[t]
        x = signal[s] * x0 + noise[s] * eps
        if s in keep:
            path[s] = x
    return x, path
