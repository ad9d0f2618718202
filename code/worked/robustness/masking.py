"""Models whose gradients lead nowhere, and the checks that a claim of robustness must pass."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked.metrics import accuracy
from worked.robustness.attack import cross_entropy, fgsm, input_gradient, margin_loss, pgd
from worked.robustness.ball import random_start
from worked.robustness.gradient_free import square_search
from worked.robustness.left_as_found import left_as_found


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
    """The accuracy left by each of seven attacks on the same pictures, and clean.

    "pgd", "margin", "restarts" and "transfer" have `steps` steps of 2.5 epsilon / steps and keep the best;
    "transfer" is made against the surrogate and keeps the last; "everything" is PGD with budget 1,
    which allows any picture; "square" asks for no gradient.

    Known value: a constant model keeps its accuracy under all of them.
    """
    walk = {"epsilon": epsilon, "step": 2.5 * epsilon / steps, "steps": steps}
    starts = [random_start(x, epsilon, "linf", rng) for _ in range(3)]
    wide = random_start(x, 1.0, "linf", rng)
    found = {
        "clean": [x],
        "fgsm": [fgsm(model, x, y, epsilon=epsilon)],
        "pgd": [pgd(model, x, y, **walk)],
        "margin": [pgd(model, x, y, loss=margin_loss, **walk)],
        "restarts": [pgd(model, x, y, start=start, **walk) for start in starts],
        "everything": [
            pgd(model, x, y, epsilon=1.0, step=2.5 / steps, steps=steps, start=wide, loss=cross_entropy)
        ],
        "transfer": [pgd(surrogate, x, y, keep="last", **walk)],
        "square": [square_search(model, x, y, epsilon=epsilon, queries=queries, rng=rng)],
    }
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
    """Which checks fail: an attack that should be weaker leaves an accuracy lower by more than slack.

    left is what `under_attack` returns, flat the share of pictures without a gradient. FGSM, the margin,
    restarts, transfer and square search must not leave less than PGD by more than slack; budget 1 must leave
    at most slack; and at most slack of the pictures may be flat.

    Known value: PGD 0.9 and square search 0.2 raise "square". Raises ValueError if slack is not in [0, 1].
    """
    if not 0 <= slack <= 1:
        raise ValueError(f"want slack from 0 to 1, got {slack}")
    raised = [
        name
        for name in ("fgsm", "margin", "restarts", "transfer", "square")
        if left[name] < left["pgd"] - slack
    ]
    raised += ["everything"] * (left["everything"] > slack) + ["flat"] * (flat > slack)
    return raised
