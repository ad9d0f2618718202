"""Sinkhorn-Knopp: scale a positive matrix until its rows and its columns have the sums that one wants."""

import math

from jaxtyping import Float
from torch import Tensor


def sinkhorn(logits: Float[Tensor, "n k"], tau: float, iterations: int = 3) -> Float[Tensor, "n k"]:
    r"""Soft assignments of n images to k outputs: every row sums to 1, and nearly every column to n/k.

    .. math:: P = \operatorname{diag}(u)\, e^{g/\tau} \operatorname{diag}(v), \qquad
              v \leftarrow \frac{n/k}{(e^{g/\tau})^\top u}, \quad u \leftarrow \frac{1}{e^{g/\tau} v}

    g: the logits. Columns are scaled first and rows last, so that the rows are exact after any number of
    iterations. Computed with logarithms, so that no temperature overflows. No gradient is wanted of a target,
    but there is one.

    Known value: equal logits give 1/k everywhere; n = k and large logits on the diagonal give the identity.
    Raises ValueError if tau <= 0 or iterations < 1.
    Source: Cuturi 2013, arXiv:1306.0895, algorithm 1; as a target of self-distillation Caron et al. 2020,
    arXiv:2006.09882, eq. (3), and Oquab et al. 2023, arXiv:2304.07193, sec. 4. Chapter: sec-dino-sinkhorn.
    """
    if tau <= 0 or iterations < 1:
        raise ValueError(f"need tau > 0 and iterations >= 1, got tau={tau}, iterations={iterations}")
    n, k = logits.shape
    log_p = logits / tau
    for _ in range(iterations):
        log_p = log_p - log_p.logsumexp(dim=0, keepdim=True) + math.log(n / k)  # columns sum to n/k
        log_p = log_p - log_p.logsumexp(dim=1, keepdim=True)  # rows sum to 1
    return log_p.exp()


def imbalance(p: Float[Tensor, "n k"]) -> float:
    """How far the columns are from n/k, relative to it: the largest deviation. 0 when balanced.

    Known value: one-hot rows that all name one of k outputs give k - 1.
    """
    n, k = p.shape
    return (p.double().sum(dim=0) * k / n - 1).abs().max().item()


def hilbert_diameter(logits: Float[Tensor, "n k"]) -> float:
    r"""Diameter Delta of exp(logits) in Hilbert's metric: the largest log cross-ratio of its 2 x 2 minors.

    .. math:: \Delta = \max_{i, i', j, j'} \big( g_{ij} + g_{i'j'} - g_{ij'} - g_{i'j} \big)

    One round of Sinkhorn's scaling contracts by tanh(Delta/4)^2 or better.
    Known value: a matrix g_ij = a_i + b_j, whose exponential has rank one, gives 0.
    Source: Birkhoff 1957, doi:10.1090/S0002-9947-1957-0087058-6.
    """
    worst = 0.0
    for row in logits.double():
        gap = row - logits.double()  # (n, k): this row against every other
        worst = max(worst, (gap.amax(dim=1) - gap.amin(dim=1)).max().item())
    return worst
