"""Adversarial training: each batch is attacked, and the network learns from what the attack found.

Each function makes a `perturb` for `classifier.train`. The budget grows in a line from 0 to epsilon over the
first share `ramp` of the training: a network that has learnt nothing learns nothing from attacked pictures.
"""

import torch
from torch import Tensor, nn

from worked.robustness.attack import fgsm, pgd
from worked.robustness.ball import check_epsilon, random_start
from worked.robustness.classifier import Perturb


def grown(epsilon: float, progress: float, ramp: float) -> float:
    """The budget at this share of the training. Known value: half of epsilon at progress = ramp / 2.

    Raises ValueError unless 0 <= ramp <= 1 and epsilon is finite and not negative.
    """
    if not 0 <= ramp <= 1:
        raise ValueError(f"want a ramp from 0 to 1, got {ramp}")
    return check_epsilon(epsilon) * (min(1.0, progress / ramp) if ramp else 1.0)


def against_fgsm(epsilon: float, ramp: float = 0.3) -> Perturb:
    """One step to the edge from the picture itself. Source: Goodfellow et al. 2015, arXiv:1412.6572."""

    def perturb(model: nn.Module, x: Tensor, y: Tensor, progress: float) -> Tensor:
        return fgsm(model, x, y, epsilon=grown(epsilon, progress, ramp))

    return perturb


def against_pgd(
    epsilon: float, steps: int, rng: torch.Generator, ramp: float = 0.3, norm: str = "linf"
) -> Perturb:
    """`steps` steps of 2 epsilon / steps from a random start: far enough to cross the ball once.

    Source: Madry et al. 2018, arXiv:1706.06083.
    """

    def perturb(model: nn.Module, x: Tensor, y: Tensor, progress: float) -> Tensor:
        now = grown(epsilon, progress, ramp)
        if now == 0:
            return x
        start = random_start(x, now, norm, rng)
        step = 2 * now / steps
        return pgd(model, x, y, epsilon=now, step=step, steps=steps, norm=norm, start=start, keep="last")

    return perturb
