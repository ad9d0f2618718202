"""One perturbation for all pictures: how often it fools, and two searches for it within a ball."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from worked.robustness.ball import check_epsilon, check_norm, check_pixels, project_ball, steepest
from worked.robustness.deepfool import deepfool
from worked.robustness.left_as_found import left_as_found


@torch.no_grad()
def answers(model: nn.Module, x: Float[Tensor, "n c h w"], batch: int = 500) -> Int[Tensor, " n"]:
    """The class of highest score for each picture, the model in eval mode meanwhile and left as found."""
    with left_as_found(model):
        return torch.cat([model(part).argmax(1) for part in x.split(batch)])


def disturbed(x: Float[Tensor, "n c h w"], v: Float[Tensor, "c h w"]) -> Float[Tensor, "n c h w"]:
    """Every picture plus the same v, cut off at 0 and 1. Known value: 0.9 with v = 0.2 gives 1."""
    return (x + v).clamp(0, 1)


def fooling_rate(model: nn.Module, x: Float[Tensor, "n c h w"], v: Float[Tensor, "c h w"]) -> float:
    r"""The share of pictures whose answer v changes, whether it was right or wrong before.

    .. math:: \frac1n \big|\{i : \hat y(\mathrm{clip}(x_i + v)) \ne \hat y(x_i)\}\big|

    Known value: 0 for v = 0. Raises ValueError without pictures, or if pixels lie outside [0, 1].
    Source: Moosavi-Dezfooli et al. 2017, arXiv:1610.08401, its fooling rate.
    """
    if len(x) == 0:
        raise ValueError("the fooling rate of no pictures")
    return (answers(model, disturbed(check_pixels(x), v)) != answers(model, x)).double().mean().item()


def capped_loss(f: Float[Tensor, "b k"], label: Int[Tensor, " b"], cap: float) -> Float[Tensor, ""]:
    r"""Cross-entropy in nats, cut off at `cap` for each picture, averaged: what the gradient search raises.

    .. math:: \frac1b \sum_i \min\big(-\log p_{i, y_i},\ \text{cap}\big)

    Without the cap, a picture that is fooled already could be made worse without end, at the others' cost.
    Known value: equal scores over k classes give log k, if the cap is higher.
    Raises ValueError unless cap > 0.
    Source: Shafahi et al. 2020, arXiv:1811.11304, the clipped cross-entropy.
    """
    if not cap > 0:
        raise ValueError(f"need cap > 0, got {cap}")
    return cross_entropy(f, label, reduction="none").clamp(max=cap).mean()


@torch.enable_grad()
def universal_by_gradient(
    model: nn.Module,
    x: Float[Tensor, "n c h w"],
    *,
    epsilon: float,
    rng: torch.Generator,
    norm: str = "linf",
    steps: int = 100,
    batch: int = 64,
    rate: float = 0.1,
    cap: float = 5.0,
    looks: int = 5,
) -> Float[Tensor, "c h w"]:
    r"""Projected ascent of the capped loss in v, from v = 0, on batches drawn from the pictures.

    .. math:: v \leftarrow P_\epsilon\big(v + \text{rate} \cdot \epsilon \cdot u(\nabla_v L)\big)

    P is the projection onto the ball and u the steepest direction of length 1, both in the norm; the labels
    in L are the model's own answers. `looks` times, the last of them at the end, the fooling rate on all the
    pictures is measured, and the best v is kept, v = 0 included. The model is in eval mode meanwhile and left
    as found.

    Known value: epsilon = 0 gives v = 0. Raises ValueError on a bad epsilon or norm, steps or batch below 1,
    looks outside 1..steps, rate or cap not positive, no pictures, or pixels outside [0, 1].
    Source: Shafahi et al. 2020, arXiv:1811.11304, stochastic gradient steps on a universal perturbation.
    """
    check_epsilon(epsilon), check_norm(norm), check_pixels(x)
    if not 1 <= looks <= steps or batch < 1 or rate <= 0 or len(x) == 0:
        raise ValueError(
            f"need pictures, 1 <= looks <= steps, batch >= 1 and rate > 0; got {len(x)} pictures, "
            f"looks={looks}, steps={steps}, batch={batch}, rate={rate}"
        )
    label = answers(model, x)
    v, best, most = torch.zeros_like(x[0]), torch.zeros_like(x[0]), 0.0
    with left_as_found(model):
        for step in range(1, steps + 1):
            some = torch.randint(len(x), (batch,), generator=rng, device=rng.device).to(x.device)
            v = v.detach().requires_grad_()  # a tensor of its own: `best` may be the old one
            loss = capped_loss(model(disturbed(x[some], v)), label[some], cap)
            (slope,) = torch.autograd.grad(loss, v)
            v = project_ball((v.detach() + rate * epsilon * steepest(slope[None], norm)), epsilon, norm)[0]
            if step * looks // steps > (step - 1) * looks // steps:
                share = (answers(model, disturbed(x, v)) != label).double().mean().item()
                if share > most:
                    best, most = v, share
    return best


def universal_by_deepfool(
    model: nn.Module,
    x: Float[Tensor, "n c h w"],
    *,
    epsilon: float,
    rng: torch.Generator,
    norm: str = "linf",
    passes: int = 1,
    steps: int = 10,
) -> Float[Tensor, "c h w"]:
    r"""Picture by picture: where v does not fool it yet, add the short way to its border, and project.

    .. math:: v \leftarrow P_\epsilon(v + r), \qquad
              r = \mathrm{DeepFool}\big(\mathrm{clip}(x_i + v)\big) - \mathrm{clip}(x_i + v)

    The way is the shortest in the Euclidean norm, and P the projection onto the ball of the norm asked for,
    as in the paper. The pictures come in a new order in each pass; the v with the highest fooling rate on
    all of them after a pass is kept, v = 0 included. The model is in eval mode meanwhile and left as found.

    Known value: epsilon = 0 gives v = 0. Raises ValueError on a bad epsilon or norm, passes or steps below
    1, no pictures, or pixels outside [0, 1].
    Source: Moosavi-Dezfooli et al. 2017, arXiv:1610.08401, algorithm 1, which stops at a wanted rate instead.
    """
    check_epsilon(epsilon), check_norm(norm), check_pixels(x)
    if passes < 1 or len(x) == 0:
        raise ValueError(f"need pictures and passes >= 1, got {len(x)} pictures, passes={passes}")
    label = answers(model, x)
    v, best, most = torch.zeros_like(x[0]), torch.zeros_like(x[0]), 0.0
    for _ in range(passes):
        for i in torch.randperm(len(x), generator=rng, device=rng.device).tolist():
            here = disturbed(x[i : i + 1], v)
            way = deepfool(model, here, label[i : i + 1], steps=steps) - here
            v = project_ball(v[None] + way, epsilon, norm)[0]
        share = (answers(model, disturbed(x, v)) != label).double().mean().item()
        if share > most:
            best, most = v, share
    return best
