"""LARS: a step for each layer in proportion to the length of its weights, not of its gradient."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn


def trust_ratio(
    w: Float[Tensor, " *shape"], grad: Float[Tensor, " *shape"], trust: float = 1e-3, decay: float = 0.0
) -> Float[Tensor, ""]:
    r"""What LARS multiplies a layer's step by; 1 if the weights or the gradient are zero.

    .. math:: \lambda = \eta \frac{\lVert w \rVert}{\lVert g \rVert + \beta \lVert w \rVert}

    eta is ``trust``, beta the weight decay, g the gradient without the decay.
    Known value: w = (3, 4), g = (0, 10), eta = 0.001 and no decay give 0.0005. Raises ValueError if trust
    <= 0 or decay < 0.
    Source: You et al. 2017, arXiv:1708.03888, eq. (6). Taught in: selfsup/contrastive, prop-lars.
    """
    if trust <= 0 or decay < 0:
        raise ValueError(f"need trust > 0 and decay >= 0, got trust={trust}, decay={decay}")
    size, slope = w.norm(), grad.norm()
    ratio = trust * size / (slope + decay * size)
    return torch.where((size > 0) & (slope > 0), ratio, torch.ones_like(ratio))


class LARS(torch.optim.Optimizer):
    r"""SGD with momentum in which every weight matrix has its own rate, by `trust_ratio`.

    .. math:: v \leftarrow \mu v + \lambda (g + \beta w), \qquad w \leftarrow w - \gamma v

    Groups with ``adapt=False`` take lambda = 1 and beta = 0: `split_parameters` puts biases and norms
    there, as SimCLR does. The rate gamma stands outside the momentum, as in SimCLR's code; in You et al.'s
    algorithm 1 it stands inside, which differs only while gamma changes.

    Known value: the first step moves a layer by gamma * eta times its own length (no decay).
    Raises ValueError if lr < 0, momentum is outside [0, 1), trust <= 0 or decay < 0.
    Source: You et al. 2017, arXiv:1708.03888, algorithm 1; Chen et al. 2020, arXiv:2002.05709, appendix B.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict],
        lr: float,
        *,
        momentum: float = 0.9,
        decay: float = 0.0,
        trust: float = 1e-3,
    ) -> None:
        if lr < 0 or not 0 <= momentum < 1 or trust <= 0 or decay < 0:
            got = f"lr={lr}, momentum={momentum}, trust={trust}, decay={decay}"
            raise ValueError(f"need lr >= 0, 0 <= momentum < 1, trust > 0, decay >= 0; got {got}")
        defaults = {"lr": lr, "momentum": momentum, "decay": decay, "trust": trust, "adapt": True}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                step = w.grad
                if group["adapt"]:
                    ratio = trust_ratio(w, w.grad, group["trust"], group["decay"])
                    step = ratio * (w.grad + group["decay"] * w)
                velocity = self.state[w].get("velocity")
                velocity = step.clone() if velocity is None else velocity.mul_(group["momentum"]).add_(step)
                self.state[w]["velocity"] = velocity
                w.sub_(group["lr"] * velocity)


def split_parameters(network: nn.Module) -> list[dict]:
    """Two groups: weights with two axes or more; biases, scales and shifts of norms, with adapt=False.

    Known value: a linear layer gives its matrix to the first and its bias to the second.
    """
    weights = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": weights}, {"params": rest, "adapt": False}]
