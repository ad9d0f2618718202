"""Models whose gradients lead nowhere, and the checks that a claim of robustness must pass."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from worked.metrics import accuracy
from worked.robustness.attack import Loss, cross_entropy, fgsm, input_gradient, margin_loss, pgd
from worked.robustness.ball import random_start
from worked.robustness.gradient_free import square_search
from worked.robustness.left_as_found import left_as_found

WEAKER = ("fgsm", "transfer", "square")  # should leave more than PGD does


class Quantised(nn.Module):
    """A model that sees pixels rounded to a few equal levels: its gradient is zero almost everywhere.

    Known value: 2 levels leave black and white. Raises ValueError if levels < 2.
    """

    def __init__(self, model: nn.Module, levels: int) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"want at least 2 levels, got {levels}")
        self.model, self.levels = model, levels

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        return self.model((x * (self.levels - 1)).round() / (self.levels - 1))


class Saturated(nn.Module):
    """A model whose logits are multiplied by a large number: it answers alike, but softmax rounds to 0 and 1.

    Known value: scale 1 changes nothing. Raises ValueError if scale <= 0.
    """

    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"want a positive scale, got {scale}")
        self.model, self.scale = model, scale

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        return self.model(x) * self.scale


@torch.no_grad()
def accuracy_of(model: nn.Module, x: Float[Tensor, "n *dims"], y: Int[Tensor, " n"]) -> float:
    """The share of pictures named right, in eval mode. Known value: 1 if every answer is the label."""
    with left_as_found(model):
        return accuracy(model(x), y)


def flat_share(model: nn.Module, x: Float[Tensor, "n *dims"], y: Int[Tensor, " n"]) -> float:
    """The share of pictures at which the cross-entropy's gradient is exactly zero, so that no step is made.

    Known value: 1 for a constant model.
    """
    with left_as_found(model):
        _, gradient = input_gradient(model, x, y)
    return (gradient.flatten(1).abs().amax(1) == 0).double().mean().item()


def right_so_far(
    model: nn.Module,
    x: Float[Tensor, "n *dims"],
    y: Int[Tensor, " n"],
    *,
    epsilon: float,
    step: float,
    steps: int,
    norm: str = "linf",
    loss: Loss = cross_entropy,
) -> Bool[Tensor, "counts n"]:
    """Whether each picture is named right at every point that PGD from x meets in its first k steps.

    Row k belongs to k = 0..steps, so that one walk answers for every smaller number of steps. The point of
    the highest cross-entropy may be named right while another on the way is not: here no miss is lost.

    Known value: a constant model stays right, or wrong, in all rows; rows never turn from wrong to right.
    Raises ValueError as `pgd`.
    """
    named = []

    def heard(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        named.append(logits.detach().argmax(1) == labels)
        return loss(logits, labels)

    z = x
    for _ in range(steps):
        walk = {"epsilon": epsilon, "step": step, "steps": 1, "norm": norm, "keep": "last"}
        z = pgd(model, x, y, start=z - x, loss=heard, **walk)
    with torch.no_grad(), left_as_found(model):
        heard(model(z), y)
    return torch.stack(named).cummin(0).values


def still_right(
    model: nn.Module,
    x: Float[Tensor, "n *dims"],
    y: Int[Tensor, " n"],
    *,
    epsilon: float,
    step: float,
    steps: int,
) -> Bool[Tensor, " n"]:
    """Whether each picture is named right at every point that several walks in the max-norm ball meet.

    The walks climb the cross-entropy, the margin, and then, for one wrong class after another, the difference
    between that class's logit and the label's. Each sees only pictures that none before it broke.

    Known value: a constant model answers as it does for x. Raises ValueError as `pgd`.
    Source: targets in turn as in Croce & Hein 2020, arXiv:2003.01690; a simple form.
    """
    with torch.no_grad(), left_as_found(model):
        classes = model(x[:1]).shape[1]

    def toward(shift: int) -> Loss:
        def rise(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
            aim = (labels + shift) % classes
            return (logits.gather(1, aim[:, None]) - logits.gather(1, labels[:, None]))[:, 0]

        return rise

    right = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for loss in (cross_entropy, margin_loss, *(toward(shift) for shift in range(1, classes))):
        left, walk = right.clone(), {"epsilon": epsilon, "step": step, "steps": steps}
        if left.any():
            right[left] = right_so_far(model, x[left], y[left], loss=loss, **walk)[-1]
    return right


def under_attack(
    model: nn.Module,
    x: Float[Tensor, "n c h w"],
    y: Int[Tensor, " n"],
    *,
    epsilon: float,
    surrogate: nn.Module,
    rng: torch.Generator,
    steps: int = 20,
    queries: int = 200,
) -> dict[str, float]:
    """The accuracy left by each of seven attacks on the same pictures, by none ("clean") and by "all".

    "pgd", "margin", "restarts" and "transfer" have `steps` steps of 2.5 epsilon / steps and keep the best;
    "transfer" is made against the surrogate and keeps the last; "everything" is PGD from x with budget 1,
    which allows any picture; "square" asks for no gradient. "all" counts a picture as right only if it is
    right under each of the attacks within epsilon, that is all but "everything".

    Known value: a constant model keeps its accuracy under all of them.
    """
    walk = {"epsilon": epsilon, "step": 2.5 * epsilon / steps, "steps": steps}
    starts = [random_start(x, epsilon, "linf", rng) for _ in range(3)]
    found = {
        "clean": [x],
        "fgsm": [fgsm(model, x, y, epsilon=epsilon)],
        "pgd": [pgd(model, x, y, **walk)],
        "margin": [pgd(model, x, y, loss=margin_loss, **walk)],
        "restarts": [pgd(model, x, y, start=start, **walk) for start in starts],
        "transfer": [pgd(surrogate, x, y, keep="last", **walk)],
        "square": [square_search(model, x, y, epsilon=epsilon, queries=queries, rng=rng)],
    }
    found["all"] = [z for tries in found.values() for z in tries]
    found["everything"] = [pgd(model, x, y, epsilon=1.0, step=2.5 / steps, steps=steps)]
    return {name: surviving(model, tries, y) for name, tries in found.items()}


@torch.no_grad()
def surviving(model: nn.Module, tries: list[Float[Tensor, "n *dims"]], y: Int[Tensor, " n"]) -> float:
    """The share of pictures named right in every try. Known value: one try gives its accuracy.

    Raises ValueError without tries.
    """
    if not tries:
        raise ValueError("want at least one try, got none")
    with left_as_found(model):
        return torch.stack([model(z).argmax(1) == y for z in tries]).all(0).double().mean().item()


def alarms(left: Mapping[str, float], flat: float, slack: float = 0.05) -> list[str]:
    """Which checks fail: an attack that should be weaker than PGD leaves less, or PGD is not led anywhere.

    left is what `under_attack` returns, flat the share of pictures without a gradient. FGSM, transfer and
    square search must not leave less than PGD by more than slack; budget 1 must leave at most slack; and at
    most slack of the pictures may be flat. The margin and the restarts may be stronger than PGD by right: if
    they are, PGD was not the strongest attack, but that is no sign of a mask.

    Known value: PGD 0.9 and square search 0.2 raise "square". Raises ValueError if slack is not in [0, 1].
    """
    if not 0 <= slack <= 1:
        raise ValueError(f"want slack from 0 to 1, got {slack}")
    raised = [name for name in WEAKER if left[name] < left["pgd"] - slack]
    return raised + ["everything"] * (left["everything"] > slack) + ["flat"] * (flat > slack)
