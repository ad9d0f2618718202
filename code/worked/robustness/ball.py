"""Budgets of an attack: balls under the max norm ("linf") and the Euclidean norm ("l2"), and the pixel range.

The first axis runs over examples, and every example has a ball of its own. Pixels lie in [0, 1], so epsilon
is a share of the whole range: 8/255 is eight steps of an 8-bit picture.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

NORMS = ("linf", "l2")


def check_norm(norm: str) -> str:
    """The norm itself. Raises ValueError unless it is one of NORMS."""
    if norm not in NORMS:
        raise ValueError(f"the norm is one of {', '.join(NORMS)}; got {norm!r}")
    return norm


def check_epsilon(epsilon: float) -> float:
    """The radius itself. Raises ValueError unless it is finite and not negative."""
    if not 0 <= epsilon < float("inf"):
        raise ValueError(f"want a finite epsilon >= 0, got {epsilon}")
    return epsilon


def check_pixels(x: Float[Tensor, "n *dims"]) -> Float[Tensor, "n *dims"]:
    """The pictures themselves. Raises ValueError unless all pixels lie in [0, 1] (nan does not)."""
    if x.numel() and not (x.amin() >= 0 and x.amax() <= 1):
        raise ValueError(f"want pixels in [0, 1], got {x.amin().item():.4g} to {x.amax().item():.4g}")
    return x


def per_example(value: Shaped[Tensor, " n"], like: Float[Tensor, "n *dims"]) -> Shaped[Tensor, "n *ones"]:
    """One number (or truth value) an example, shaped so that it multiplies or selects examples of `like`."""
    return value.reshape(-1, *[1] * (like.ndim - 1))


def length(delta: Float[Tensor, "n *dims"], norm: str) -> Float[Tensor, " n"]:
    r"""The norm of each example's perturbation.

    .. math:: \|\delta\|_\infty = \max_j |\delta_j|, \qquad \|\delta\|_2 = \sqrt{\textstyle\sum_j \delta_j^2}

    Known value: (3, -4) has 4 under linf and 5 under l2. Raises ValueError on another norm.
    """
    flat = delta.flatten(1)
    return flat.abs().amax(1) if check_norm(norm) == "linf" else flat.norm(dim=1)


def project_ball(delta: Float[Tensor, "n *dims"], epsilon: float, norm: str) -> Float[Tensor, "n *dims"]:
    r"""The nearest point (in Euclidean distance) of the ball of radius epsilon around 0, for each example.

    .. math:: P_\infty(\delta)_j = \min(\max(\delta_j, -\epsilon), \epsilon), \qquad
              P_2(\delta) = \delta \min(1, \epsilon / \|\delta\|_2)

    Known value: (3, -4) at epsilon 2.5 gives (2.5, -2.5) under linf and (1.5, -2) under l2.
    Raises ValueError on another norm, or an epsilon that is negative or not finite.
    Taught in: robustness/attacks, prop-attack-projection.
    """
    check_epsilon(epsilon)
    if check_norm(norm) == "linf":
        return delta.clamp(-epsilon, epsilon)
    scale = (epsilon / length(delta, "l2")).clamp(max=1)  # x / 0 is inf or, for epsilon = 0, nan
    return delta * per_example(scale.nan_to_num(nan=1.0), delta)


def project(
    z: Float[Tensor, "n *dims"], x: Float[Tensor, "n *dims"], epsilon: float, norm: str
) -> Float[Tensor, "n *dims"]:
    r"""A point within epsilon of x and within the pixel range: first into the ball, then into [0, 1].

    .. math:: \operatorname{clip}_{[0, 1]}\big(x + P(z - x)\big)

    Under linf it is the nearest such point; under l2 it is such a point, but not always the nearest
    (`nearest` finds that one).

    Known value: x = (0, 0), z = (-0.3, 0.4), epsilon 0.25 gives (0, 0.25) under linf, (0, 0.2) under l2.
    Raises ValueError on another norm, a bad epsilon, or pixels of x outside [0, 1] (clipping might then leave
    the ball). Taught in: robustness/attacks, prop-attack-projection.
    """
    check_pixels(x)
    return (x + project_ball(z - x, epsilon, norm)).clamp(0, 1)


def nearest(
    z: Float[Tensor, "n *dims"], x: Float[Tensor, "n *dims"], epsilon: float, halvings: int = 60
) -> Float[Tensor, "n *dims"]:
    r"""The nearest point to z of the Euclidean ball around x and the pixel range together, by bisection.

    .. math:: p(t) = \operatorname{clip}_{[0, 1]}\big(x + t (z - x)\big), \qquad
              t = \max \{ t \in [0, 1] : \|p(t) - x\|_2 \le \epsilon \}

    Slower than `project`, and what an exact projection costs; attacks do without.

    Known value: x = (0, 0), z = (-0.3, 0.4), epsilon 0.25 gives (0, 0.25), where `project` gives (0, 0.2).
    Raises ValueError on a bad epsilon or pixels of x outside [0, 1]. Source: the Lagrange condition, derived
    in robustness/attacks, ex-attack-nearest.
    """
    check_pixels(x)
    check_epsilon(epsilon)
    low, high = torch.zeros(len(x), dtype=x.dtype, device=x.device), x.new_ones(len(x))

    def point(t: Float[Tensor, " n"]) -> Float[Tensor, "n *dims"]:
        return (x + per_example(t, x) * (z - x)).clamp(0, 1)

    fits = length(point(high) - x, "l2") <= epsilon
    for _ in range(halvings):
        middle = (low + high) / 2
        inside = length(point(middle) - x, "l2") <= epsilon
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return point(torch.where(fits, 1.0, low))


def steepest(gradient: Float[Tensor, "n *dims"], norm: str) -> Float[Tensor, "n *dims"]:
    r"""The direction of length 1 along which a linear function with this gradient grows most.

    .. math:: u_\infty = \operatorname{sign} g, \qquad u_2 = g / \|g\|_2

    Where the gradient of an example is zero no direction is better than another, and the answer is zero.

    Known value: g = (3, -4) gives (1, -1) under linf (growth 7) and (0.6, -0.8) under l2 (growth 5).
    Raises ValueError on another norm. Taught in: robustness/attacks, thm-attack-dual.
    """
    if check_norm(norm) == "linf":
        return gradient.sign()
    size = length(gradient, "l2")
    return gradient / per_example(torch.where(size > 0, size, 1.0), gradient)


def random_start(
    x: Float[Tensor, "n *dims"], epsilon: float, norm: str, rng: torch.Generator
) -> Float[Tensor, "n *dims"]:
    """A random perturbation within the ball (not yet within the pixel range), one for each example.

    linf: every pixel uniform in [-epsilon, epsilon]. l2: a uniform direction, and a radius uniform in
    [0, epsilon]; that is not uniform in the ball, whose volume lies near its surface. Both draw their numbers
    in the order of torchattacks, so equal seeds give equal starts, whatever the device of x.

    Known value: epsilon 0 gives 0. Raises ValueError on another norm or a bad epsilon.
    Source: Madry et al. 2018, arXiv:1706.06083 (linf); torchattacks 3.5.1 (l2).
    """
    check_epsilon(epsilon)
    drawn = torch.empty(x.shape, dtype=x.dtype, device=rng.device)
    if check_norm(norm) == "linf":
        return drawn.uniform_(-epsilon, epsilon, generator=rng).to(x.device)
    drawn.normal_(generator=rng)
    size = per_example(length(drawn, "l2"), drawn)
    radius = torch.empty_like(size).uniform_(0, 1, generator=rng)
    return (drawn * (radius / size * epsilon)).to(x.device)
