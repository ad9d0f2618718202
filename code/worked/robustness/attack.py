"""White-box attacks: a picture near the given one, within a stated norm and budget, with a higher loss.

Pixels lie in [0, 1], and every example has its own loss, budget and answer: nothing depends on the rest of
the batch. Models are evaluated in eval mode and left as found: parameters, buffers, modes, and every .grad.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked.robustness.ball import check_epsilon, check_norm, check_pixels, per_example, project, steepest
from worked.robustness.left_as_found import left_as_found

Loss = Callable[[Tensor, Tensor], Tensor]  # (logits (n, k), labels (n,)) -> (n,)
KEEPS = ("best", "last")


def cross_entropy(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Minus the logarithm of the probability given to the label, in nats, example by example.

    Known value: k equal logits give log k.
    """
    return F.cross_entropy(logits, y, reduction="none")


def margin_loss(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    r"""How far the best wrong logit lies above the right one: positive just where the picture is misnamed.

    .. math:: \max_{j \ne y} z_j - z_y

    Unlike the cross-entropy it does not saturate: its gradient is that of a difference of two logits.

    Known value: logits (1, 3, 0) with label 0 give 2. Source: Carlini & Wagner 2017, arXiv:1608.04644.
    """
    right = logits.gather(1, y[:, None])[:, 0]
    others = logits.scatter(1, y[:, None], -torch.inf)
    return others.amax(1) - right


def input_gradient(
    model: nn.Module, x: Float[Tensor, "n *dims"], y: Int[Tensor, " n"], loss: Loss = cross_entropy
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n *dims"]]:
    """The loss of each example and its gradient with respect to that example's pixels.

    The sum over the batch is differentiated, not the mean: gradients do not shrink with the batch. The model
    is taken in the mode in which it is; gradients reach no parameter's .grad.

    Known value: for a linear model with weights w and loss = output it is w, whatever n.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        values = loss(model(x), y)
        (gradient,) = torch.autograd.grad(values.sum(), x)
    return values.detach(), gradient


def pgd(
    model: nn.Module,
    x: Float[Tensor, "n *dims"],
    y: Int[Tensor, " n"],
    *,
    epsilon: float,
    step: float,
    steps: int,
    norm: str = "linf",
    start: Float[Tensor, "n *dims"] | None = None,
    loss: Loss = cross_entropy,
    keep: str = "best",
    layout: torch.memory_format = torch.contiguous_format,
) -> Float[Tensor, "n *dims"]:
    r"""Projected gradient ascent on the loss, from x, or from x + start brought into the budget.

    .. math:: x^{(i+1)} = \Pi\big(x^{(i)} + \alpha\, u(\nabla_x \ell(x^{(i)}))\big)

    u is the steepest direction under the norm (its sign, or its unit vector), alpha is `step`, and Pi is
    `ball.project`. keep="best" returns for each example the point with the highest loss among x, the start
    and all iterates, so that the loss is never below that of x; keep="last" returns the last iterate, as the
    original and torchattacks do. Pictures (n, c, h, w) are handed to the model in `layout`:
    torch.channels_last makes convolutions on a CPU faster, sums in another order (so that float32 signs of
    tiny gradients may differ), and does not suit models that call .view on feature maps.

    Known value: steps = 1, step = epsilon and keep = "last", without start, is FGSM.
    Raises ValueError for an unknown norm or keep, a bad epsilon, step <= 0, steps < 1, or pixels outside
    [0, 1]. Source: Madry et al. 2018, arXiv:1706.06083. Taught in: robustness/attacks, alg-attack-pgd.
    """
    check_norm(norm)
    check_epsilon(epsilon)
    check_pixels(x)
    if step <= 0 or steps < 1 or keep not in KEEPS:
        raise ValueError(f"want step > 0, steps >= 1, keep in {KEEPS}; got {step}, {steps}, {keep!r}")
    x = x.detach().contiguous(memory_format=layout) if x.ndim == 4 else x.detach()
    z = x if start is None else project(x + start.detach(), x, epsilon, norm)
    best, highest = x, None
    with left_as_found(model):
        if keep == "best" and start is not None:
            with torch.no_grad():
                highest = loss(model(x), y)
        for _ in range(steps):
            values, gradient = input_gradient(model, z, y, loss)
            if keep == "best":
                best, highest = _better(best, highest, z, values)
            z = project(z + step * steepest(gradient, norm), x, epsilon, norm)
        if keep == "last":
            return z
        with torch.no_grad():
            return _better(best, highest, z, loss(model(z), y))[0]


def _better(best: Tensor, highest: Tensor | None, z: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    if highest is None:
        return z, values
    higher = values > highest
    return torch.where(per_example(higher, z), z, best), torch.where(higher, values, highest)


def fgsm(
    model: nn.Module,
    x: Float[Tensor, "n *dims"],
    y: Int[Tensor, " n"],
    *,
    epsilon: float,
    norm: str = "linf",
    loss: Loss = cross_entropy,
    keep: str = "last",
) -> Float[Tensor, "n *dims"]:
    r"""The fast gradient sign method: one step to the edge of the budget along the steepest direction.

    .. math:: x' = \operatorname{clip}_{[0, 1]}\big(x + \epsilon \operatorname{sign} \nabla_x \ell(x)\big)

    Under "l2" the unit gradient takes the sign's place. The step can lower the loss of a network, as the loss
    is not linear; keep="best" then returns x.

    Known value: logits (0, x) with label 0 push every pixel up by epsilon.
    Raises ValueError as `pgd`. Source: Goodfellow, Shlens & Szegedy 2015, arXiv:1412.6572.
    Taught in: robustness/attacks, thm-attack-dual.
    """
    step = epsilon if epsilon else 1.0  # a step of any length is projected back to nothing
    return pgd(model, x, y, epsilon=epsilon, step=step, steps=1, norm=norm, loss=loss, keep=keep)
