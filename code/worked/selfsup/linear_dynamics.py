"""BYOL with linear networks: its gradient flow, the flow of one mode, and their fixed points.

Online network W (k x d), predictor W_p (k x k), target W_a (k x d). A view is a vector x in d dimensions with
second moment X = E[x x^T], the same for both views; C = E[x2 x1^T] couples them. alpha is the predictor's
learning rate relative to the encoder's, beta the rate of the moving average, eta the weight decay.
Everything follows Tian, Chen & Ganguli 2021, arXiv:2102.06810. Taught in: selfsup/byol, sec-byol-linear.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Matrix = Float[Tensor, "_ _"]


def linear_loss(
    W: Float[Tensor, "k d"],
    W_p: Float[Tensor, "k k"],
    W_a: Float[Tensor, "k d"],
    X: Float[Tensor, "d d"],
    C: Float[Tensor, "d d"],
) -> Float[Tensor, ""]:
    r"""The expected squared error of the prediction, from the second moments alone; no weight decay.

    .. math:: J = \tfrac12 \mathbb E |W_p W x_1 - W_a x_2|^2
              = \tfrac12 \operatorname{tr}(W_p W X W^T W_p^T) - \operatorname{tr}(W_p W C^T W_a^T)
                + \tfrac12 \operatorname{tr}(W_a X W_a^T)

    Known value: W = W_p = W_a = X = C = 1 gives 0. Source: same, eq. (1).
    """
    prediction = W_p @ W  # (k, d)
    own = (prediction @ X * prediction).sum() + (W_a @ X * W_a).sum()
    return own / 2 - (prediction @ C.T * W_a).sum()


def flow(
    W: Float[Tensor, "k d"],
    W_p: Float[Tensor, "k k"],
    W_a: Float[Tensor, "k d"],
    *,
    X: Float[Tensor, "d d"],
    C: Float[Tensor, "d d"],
    alpha: float,
    beta: float,
    eta: float,
) -> tuple[Matrix, Matrix, Matrix]:
    r"""Time derivatives of W, W_p, W_a under gradient flow with the stop-gradient.

    .. math:: \dot W = W_p^T G - \eta W, \quad \dot W_p = \alpha G W^T - \eta W_p, \quad
              \dot W_a = \beta (W - W_a), \qquad G = W_a C - W_p W X

    Known value: all matrices and alpha equal to 1, eta = 0: nothing moves.
    Source: same, eq. (2) to (4), with X for X + X' there.
    """
    G = W_a @ C - W_p @ W @ X  # (k, d)
    return W_p.T @ G - eta * W, alpha * G @ W.T - eta * W_p, beta * (W - W_a)


def flow_without_stop(
    W: Float[Tensor, "k d"],
    W_p: Float[Tensor, "k k"],
    *,
    X: Float[Tensor, "d d"],
    C: Float[Tensor, "d d"],
    alpha: float,
    eta: float,
) -> tuple[Matrix, Matrix]:
    r"""The same with W_a = W, the gradient flowing through both branches.

    .. math:: \dot W = W_p^T G - H - \eta W, \quad \dot W_p = \alpha G W^T - \eta W_p, \qquad
              G = W C - W_p W X, \quad H = W X - W_p W C^T

    Known value: W = W_p = X = alpha = 1, C = 0, eta = 0 give -2 and -1. Source: same, section 3.1.
    """
    G = W @ C - W_p @ W @ X
    H = W @ X - W_p @ W @ C.T
    return W_p.T @ G - H - eta * W, alpha * G @ W.T - eta * W_p


def mode_flow(
    p: Float[Tensor, "*m"],
    s: Float[Tensor, "*m"],
    tau: Float[Tensor, "*m"],
    *,
    a: float,
    alpha: float,
    beta: float,
    eta: float,
) -> tuple[Float[Tensor, "*m"], Float[Tensor, "*m"], Float[Tensor, "*m"]]:
    r"""Time derivatives of one mode (X = a I, C = I): eigenvalues of W_p, of W W^T, and target over online.

    .. math:: \dot p = \alpha s (\tau - a p) - \eta p, \quad \dot s = 2 s g, \quad
              \dot \tau = \beta (1 - \tau) - \tau g, \qquad g = p (\tau - a p) - \eta

    It needs s > 0: where W passes through 0, tau is infinite, and `amplitude_flow` goes on. beta = inf holds
    tau at 1. Known value: p = s = tau = alpha = 1, a = 2, eta = 0, beta = 1 give -1, -2, 1.
    Source: same, eq. (15) to (17), where tau is one number for all modes.
    """
    g = p * (tau - a * p) - eta
    rest = beta * (1 - tau) - tau * g if math.isfinite(beta) else torch.zeros_like(tau)
    return alpha * s * (tau - a * p) - eta * p, 2 * s * g, rest


def amplitude_flow(
    p: Float[Tensor, "*m"],
    w: Float[Tensor, "*m"],
    omega: Float[Tensor, "*m"],
    *,
    a: float,
    alpha: float,
    beta: float,
    eta: float,
) -> tuple[Float[Tensor, "*m"], Float[Tensor, "*m"], Float[Tensor, "*m"]]:
    r"""Time derivatives of one mode (X = a I, C = I) by its amplitudes; w may pass through 0.

    .. math:: \dot p = \alpha w (\omega - a p w) - \eta p, \quad
              \dot w = p (\omega - a p w) - \eta w, \quad \dot \omega = \beta (w - \omega)

    p is the eigenvalue of W_p, w and omega the singular amplitudes of W and W_a with their sign. beta = inf
    puts w for omega and returns 0 for its derivative. Where w is not 0, `mode_flow` holds of s = w^2 and
    tau = omega / w. Known value: p = omega = alpha = beta = 1, w = 0, eta = 0 give 0, 1, -1.
    Source: Tian et al. 2021, eq. (2) to (4), in aligned matrices. Taught in: selfsup/byol, thm-byol-modes.
    """
    slow = math.isfinite(beta)
    target = omega if slow else w
    error = target - a * p * w
    return (
        alpha * w * error - eta * p,
        p * error - eta * w,
        beta * (w - omega) if slow else torch.zeros_like(w),
    )


def critical_decay(a: float) -> float:
    """The weight decay beyond which every mode collapses: 1 / (4 a). Known value: 1/4 at a = 1."""
    if a < 1:
        raise ValueError(f"views have second moment a = 1 + sigma^2 >= 1, got a={a}")
    return 1 / (4 * a)


def fixed_points(a: float, eta: float) -> tuple[float, float]:
    r"""p_- (unstable) and p_+ (stable): the eigenvalues of the predictor at which a mode can rest alive.

    .. math:: p_\pm = \frac{1 \pm \sqrt{1 - 4 a \eta}}{2a}

    Known value: eta = 0 gives 0 and 1/a. Raises ValueError if eta < 0 or eta > 1 / (4 a): there are none.
    Source: same, section 3.2 and fig. 4. Taught in: selfsup/byol, thm-byol-decay.
    """
    if not 0 <= eta <= critical_decay(a):
        raise ValueError(f"fixed points need 0 <= eta <= 1 / (4 a) = {critical_decay(a):.4g}, got eta={eta}")
    root = math.sqrt(1 - 4 * a * eta)
    return (1 - root) / (2 * a), (1 + root) / (2 * a)


def survives(p: Float[Tensor, "*m"], s: Float[Tensor, "*m"], *, a: float, alpha: float) -> Bool[Tensor, "*m"]:
    r"""Whether a mode that starts at (p, s), s > 0, keeps s away from 0 for ever; no weight decay, tau = 1.

    With kappa = p^2 - alpha s, which the flow conserves: kappa < 0, or p > 0 and kappa < 1 / a^2.
    Known value: p = -1 survives s = 2 and not s = 1/2 (alpha = a = 1).
    Raises ValueError unless all s > 0. Taught in: selfsup/byol, thm-byol-portrait.
    """
    if not (s > 0).all():
        raise ValueError(f"want s > 0 everywhere, got a smallest s of {float(s.min())}")
    kappa = p**2 - alpha * s
    return (kappa < 0) | ((p > 0) & (kappa < 1 / a**2))


def runge_kutta(
    derivative: Callable[..., Sequence[Tensor]], start: Sequence[Tensor], *, dt: float, steps: int
) -> list[Tensor]:
    """Integrate by the classical fourth-order method; for each variable its path, (steps + 1, *shape).

    The error at a fixed time falls as dt^4. Known value: one step of x' = x from 1 with dt = 1 gives 65/24.
    Raises ValueError unless dt > 0 and steps >= 1.
    """
    if dt <= 0 or steps < 1:
        raise ValueError(f"need dt > 0 and steps >= 1, got dt={dt}, steps={steps}")

    def moved(y: Sequence[Tensor], k: Sequence[Tensor], h: float) -> list[Tensor]:
        return [a + h * b for a, b in zip(y, k, strict=True)]

    y, path = list(start), [list(start)]
    for _ in range(steps):
        k1 = derivative(*y)
        k2 = derivative(*moved(y, k1, dt / 2))
        k3 = derivative(*moved(y, k2, dt / 2))
        k4 = derivative(*moved(y, k3, dt))
        y = [x + dt / 6 * (a + 2 * b + 2 * c + d) for x, a, b, c, d in zip(y, k1, k2, k3, k4, strict=True)]
        path.append(y)
    return [torch.stack(values) for values in zip(*path, strict=True)]
