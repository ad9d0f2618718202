"""The gradient of CLIP's loss as the chapter derives it: every matrix in sight, nothing saved."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from worked.multimodal.cosine import pull_back, unit_rows


class Gradient(NamedTuple):
    """The loss, its gradients, and the matrices on the way; row i of P and column j of Q sum to 1."""

    loss: Float[Tensor, ""]
    x: Float[Tensor, "n d"]
    y: Float[Tensor, "n d"]
    log_scale: Float[Tensor, ""]
    S: Float[Tensor, "n n"]  # cosines, without the temperature
    P: Float[Tensor, "n n"]  # which text belongs to image i
    Q: Float[Tensor, "n n"]  # which image belongs to text j
    G: Float[Tensor, "n n"]  # the loss's gradient with respect to the logits


def clip_gradient(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], log_scale: Float[Tensor, ""]) -> Gradient:
    r"""Loss (nats, mean of both halves) and gradients with respect to both embeddings and the log scale.

    .. math::
        G = \tfrac1{2n}(P + Q - 2I), \qquad
        \nabla_U = \gamma G V, \qquad \nabla_V = \gamma G^\top U, \qquad
        \nabla_\theta = \gamma \textstyle\sum_{ij} G_{ij} S_{ij}

    U and V are the unit rows of x (images) and y (texts), S = U V^T, and gamma = exp(log_scale) = 1/tau
    multiplies S; P is the softmax of gamma S along rows, Q along columns. pull_back leads from U to x.

    Known value: two orthonormal pairs, x = y = I_2, log_scale = 0. P = Q has e/(1+e) on the diagonal; both
    gradients are 1/(2(1+e)) off the diagonal, 0 on it: each embedding turns away from the other's text.
    Raises ValueError as worked.multimodal.clip_loss does.
    Taught in: multimodal/clip-gradient, thm-clip-gradient.
    """
    check(x, y, log_scale)
    n, scale = len(x), log_scale.exp()
    (u, x_norm), (v, y_norm) = unit_rows(x), unit_rows(y)
    S = u @ v.T  # (n, n)
    log_P, log_Q = (scale * S).log_softmax(1), (scale * S).log_softmax(0)
    loss = -(log_P.diagonal() + log_Q.diagonal()).mean() / 2
    P, Q = log_P.exp(), log_Q.exp()
    G = (P + Q - 2 * torch.eye(n, dtype=x.dtype, device=x.device)) / (2 * n)
    grad_u, grad_v = scale * G @ v, scale * G.T @ u  # (n, d)
    grad_x, grad_y = pull_back(x, x_norm, grad_u), pull_back(y, y_norm, grad_v)
    return Gradient(loss, grad_x, grad_y, scale * (G * S).sum(), S, P, Q, G)


def check(x: Tensor, y: Tensor, log_scale: Tensor) -> None:
    """Raise ValueError unless x and y are (n, d), n >= 2, all of one floating type, log_scale a number."""
    if x.ndim != 2 or x.shape != y.shape or len(x) < 2:
        raise ValueError(
            f"want two matrices of one shape (n, d), n >= 2; got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    if log_scale.ndim != 0:
        raise ValueError(f"log_scale is one number, got shape {tuple(log_scale.shape)}")
    if not x.is_floating_point() or not x.dtype == y.dtype == log_scale.dtype:
        raise ValueError(f"want one floating type, got {x.dtype}, {y.dtype} and {log_scale.dtype}")
