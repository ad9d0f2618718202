"""Which of a batch's negatives carry the gradient of a contrastive loss."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def shared_attributes(attributes: Int64[Tensor, "n a"]) -> Int64[Tensor, "n n"]:
    """In how many of a attributes two rows agree. Known value: on the diagonal it is a.

    Equal in all of them off the diagonal: a *false negative*, with the same caption.
    """
    return (attributes[:, None] == attributes[None]).sum(2)  # (n, n)


def shares(
    weights: Float[Tensor, "n n"], level: Int64[Tensor, "n n"], levels: int
) -> Float[Tensor, " levels"]:
    """Each level's share of the off-diagonal weight; 0 where no pair has that level.

    Known value: with all weights equal it is the share of the pairs at each level.
    Raises ValueError if there is no off-diagonal weight to share.
    """
    off = ~torch.eye(len(weights), dtype=torch.bool, device=weights.device)
    total = weights[off].sum()
    if not total > 0:
        raise ValueError(f"the off-diagonal weights sum to {total.item()}, want more than 0")
    return torch.zeros(levels, dtype=weights.dtype).index_add_(0, level[off], weights[off]) / total


def effective_negatives(P: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    r"""How many negatives an anchor really has: exp of the entropy of its softmax over them, mean over rows.

    .. math:: N_i = \exp\Big(-\sum_{j \ne i} p_{ij} \log p_{ij}\Big), \quad p_{ij} = \frac{P_{ij}}{1 - P_{ii}}

    Known value: a uniform P gives n - 1; all the rest on one negative gives 1. Raises ValueError if n < 2.
    Taught in: multimodal/clip-gradient.
    """
    n = len(P)
    if n < 2:
        raise ValueError(f"no negatives in a batch of {n}")
    off = ~torch.eye(n, dtype=torch.bool, device=P.device)
    rest = P[off].reshape(n, n - 1)
    p = rest / rest.sum(1, keepdim=True)
    return torch.special.entr(p).sum(1).exp().mean()
