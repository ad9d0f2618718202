"""KoLeo: keep the features of a batch apart, by the logarithm of the distance to the nearest neighbour."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor


def nearest(x: Float[Tensor, "n d"]) -> Int64[Tensor, " n"]:
    """For each unit row the number of the other row closest to it; among equals the first.

    Known value: of two rows, each is the other's nearest. Raises ValueError if n < 2.
    """
    if len(x) < 2:
        raise ValueError(f"a neighbour needs n >= 2 rows, got {len(x)}")
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    return (x @ x.T).detach().masked_fill(itself, -torch.inf).argmax(dim=1)


def koleo_loss(z: Float[Tensor, "n d"], eps: float = 1e-8) -> Float[Tensor, ""]:
    r"""Minus the mean log distance to the nearest neighbour, of features scaled to length 1.

    .. math:: L = -\frac1n \sum_i \log\Big(\min_{j \ne i} |x_i - x_j| + \varepsilon\Big),
              \qquad x_i = z_i/|z_i|

    Up to a factor and a constant it is the Kozachenko-Leonenko estimate of minus the entropy of x. Two rows
    that are equal have finite loss, by eps, and no gradient: nothing says in which direction to part.

    Known value: two opposite rows are 2 apart and give -log 2.
    Raises ValueError if n < 2 or a row is zero.
    Source: Sablayrolles et al. 2019, arXiv:1806.03198, eq. (3); Oquab et al. 2023, arXiv:2304.07193, sec. 4.
    """
    if (z == 0).all(dim=1).any():
        raise ValueError("a row of zeros has no direction")
    x = F.normalize(z, dim=1, eps=0)
    apart = (x - x[nearest(x)]).norm(dim=1)  # (n,)
    return -(apart + eps).log().mean()
