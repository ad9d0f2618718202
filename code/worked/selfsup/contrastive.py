"""Losses that compare embeddings of two views: NT-Xent, InfoNCE, alignment, uniformity. No state."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def nt_xent(z1: Float[Tensor, "n d"], z2: Float[Tensor, "n d"], tau: float = 0.5) -> Float[Tensor, ""]:
    r"""NT-Xent (SimCLR), in nats, averaged over all 2n anchors.

    .. math:: \ell_i = -\log \frac{e^{s_{i,p(i)}/\tau}}{\sum_{k \ne i} e^{s_{ik}/\tau}}

    Row i of ``z1`` and row i of ``z2`` embed two views of image i; of the 2n rows together, p(i) is the
    other view of the image of row i. s is cosine similarity, so rescaling a row changes nothing.

    Known value: identical embeddings give log(2n - 1). Raises ValueError if tau <= 0, n < 2 (no negatives:
    the loss is 0 whatever z is), or the two shapes differ.
    Source: Chen et al. 2020, arXiv:2002.05709, eq. (1). Taught in: selfsup/contrastive, def-ntxent.
    """
    _check(z1, z2, tau)
    if len(z1) < 2:
        raise ValueError(f"need at least two images, got {len(z1)}: one has no negatives")
    return _NTXent.apply(torch.cat([z1, z2]), tau)


class _NTXent(torch.autograd.Function):
    """The loss of 2n rows z, row i and row i + n being partners, and its gradient by prop-ntxent-gradient:

    with P_ik the softmax of s_ik / tau over k != i, u the unit rows and p(i) the partner,
    g_i = 1/(2 n tau) (sum_k (P_ik + P_ki) u_k - 2 u_p(i)), and z_i gets (g_i - (g_i . u_i) u_i) / |z_i|.

    One matrix of 2n x 2n serves the loss and the gradient, which is taken while it is at hand.
    """

    @staticmethod
    def forward(ctx, z, tau):
        rows = len(z)  # 2n
        norm = z.norm(dim=1, keepdim=True).clamp_min(1e-12)
        u = z / norm
        partner = u.roll(rows // 2, 0)
        s = u @ u.T  # (2n, 2n)
        s.fill_diagonal_(-torch.inf)  # k = i is no candidate
        s.mul_(1 / tau)
        top = s.amax(1, keepdim=True)
        p = s.sub_(top).exp_()
        total = p.sum(1, keepdim=True)
        loss = (total.log() + top - (u * partner).sum(1, keepdim=True) / tau).mean()
        if ctx.needs_input_grad[0]:
            p.div_(total)
            g = (p + p.T) @ u - 2 * partner  # (2n, d)
            g = (g - (g * u).sum(1, keepdim=True) * u) / (norm * (rows * tau))
            ctx.save_for_backward(g)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0], None


def candidate_weights(
    z1: Float[Tensor, "n d"], z2: Float[Tensor, "n d"], tau: float = 0.5
) -> Float[Tensor, "rows rows"]:
    r"""What each of 2n anchors (rows) makes of each of 2n candidates: P of the gradient of `nt_xent`.

    .. math:: P_{ik} = \frac{e^{s_{ik}/\tau}}{\sum_{l \ne i} e^{s_{il}/\tau}} \ (k \ne i), \qquad P_{ii} = 0

    Known value: identical embeddings give 1/(2n - 1) off the diagonal. Raises ValueError as `nt_xent` does.
    Source: Wang & Liu 2021, arXiv:2012.09740, eq. (5). Taught in: selfsup/contrastive, prop-ntxent-gradient.
    """
    _check(z1, z2, tau)
    u = F.normalize(torch.cat([z1, z2]), dim=1)  # (2n, d)
    itself = torch.eye(len(u), dtype=torch.bool, device=u.device)
    return (u @ u.T / tau).masked_fill(itself, -torch.inf).softmax(1)


def info_nce(
    query: Float[Tensor, "n d"],
    key: Float[Tensor, "n d"],
    negatives: Float[Tensor, "m d"] | None = None,
    tau: float = 0.1,
) -> Float[Tensor, ""]:
    r"""InfoNCE in nats, averaged over n queries; row i of ``key`` is the match of row i of ``query``.

    .. math::
        \ell_i = -\log \frac{e^{q_i \cdot k_i/\tau}}{e^{q_i \cdot k_i/\tau} + \sum_j e^{q_i \cdot k^-_j/\tau}}

    All rows are normalised first. The k^- are the m rows of ``negatives`` (MoCo's queue), the same for
    every query; without them, the keys of the other n - 1 queries. log(candidates) - loss is what it says
    about the mutual information, and never more than log(candidates).

    Known value: identical rows give log(m + 1), or log(n) without negatives. Raises ValueError if tau <= 0,
    if the shapes differ, or if there is no negative.
    Source: van den Oord et al. 2018, arXiv:1807.03748, eq. (4); He et al. 2020, arXiv:1911.05722, eq. (1).
    """
    _check(query, key, tau)
    if (len(query) - 1 if negatives is None else len(negatives)) < 1:
        raise ValueError(f"no negatives: {len(query)} queries and negatives={negatives}")
    q, k = F.normalize(query, dim=1), F.normalize(key, dim=1)
    if negatives is None:
        return F.cross_entropy(q @ k.T / tau, torch.arange(len(q), device=q.device))
    positive = (q * k).sum(1, keepdim=True)  # (n, 1)
    logits = torch.cat([positive, q @ F.normalize(negatives, dim=1).T], 1) / tau  # (n, 1 + m)
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))


def alignment(z1: Float[Tensor, "n d"], z2: Float[Tensor, "n d"], alpha: float = 2.0) -> Float[Tensor, ""]:
    r"""Mean distance of unit embeddings of two views of an image, to the power alpha; 0 when they coincide.

    .. math:: \mathbb E\, \lVert u - u^+ \rVert^\alpha \quad (= 2 - 2\,\mathbb E \cos \text{ for } \alpha = 2)

    Known value: opposite embeddings give 2^alpha. Raises ValueError if alpha <= 0 or the shapes differ.
    Source: Wang & Isola 2020, arXiv:2005.10242, sec. 4.1.1.
    """
    _check(z1, z2, alpha, "alpha")
    u, v = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    return (u - v).square().sum(1).pow(alpha / 2).mean()


def uniformity(z: Float[Tensor, "n d"], t: float = 2.0) -> Float[Tensor, ""]:
    r"""Log of the mean Gaussian potential of two different rows; 0 at collapse, smaller when spread.

    .. math:: \log \frac{1}{n(n-1)} \sum_{i \ne j} e^{-t \lVert u_i - u_j \rVert^2}

    Known value: two opposite embeddings give -4t. Raises ValueError if n < 2 or t <= 0.
    Source: Wang & Isola 2020, arXiv:2005.10242, sec. 4.1.2.
    """
    n = len(z)
    if n < 2 or t <= 0:
        raise ValueError(f"need n >= 2 and t > 0, got n={n}, t={t}")
    u = F.normalize(z, dim=1)
    upper = torch.triu_indices(n, n, 1, device=z.device)
    square = (2 - 2 * (u @ u.T))[upper[0], upper[1]]  # (n (n - 1) / 2)
    return (-t * square).logsumexp(0) - math.log(n * (n - 1) / 2)


def _check(z1: Tensor, z2: Tensor, positive: float, name: str = "tau") -> None:
    if z1.shape != z2.shape:
        raise ValueError(
            f"row i of both must belong to image i: got shapes {tuple(z1.shape)}, {tuple(z2.shape)}"
        )
    if positive <= 0:
        raise ValueError(f"need {name} > 0, got {positive}")
