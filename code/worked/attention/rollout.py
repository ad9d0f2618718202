"""Attention rollout: the attention of all blocks multiplied along the paths from the last to the first."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def rollout(attention: Sequence[Float[Tensor, "b heads n n"]], keep: float = 0.5) -> Float[Tensor, "b n n"]:
    r"""How much each last token (row) would hold of each first one (column), if blocks only mixed tokens.

    .. math:: R = \bar A_L \cdots \bar A_2 \bar A_1, \qquad
              \bar A_l = \text{keep} \cdot I + (1 - \text{keep})\,\frac1H\sum_h A_{lh}

    A_lh: weights of head h in block l, row i for token i; ``attention`` begins with the first block. ``keep``
    stands for the residual connection. The last block stands on the left. Row 0, without its column 0, is the
    class token's map over the patches.

    Known value: one block that attends evenly, n = 2, keep 1/2, gives rows (3/4, 1/4) and (1/4, 3/4).
    Raises ValueError unless 0 <= keep <= 1, or if there is no block.
    Source: Abnar & Zuidema 2020, arXiv:2005.00928. Taught in: attention/vit, thm-vit-rollout.
    """
    if not 0 <= keep <= 1:
        raise ValueError(f"need 0 <= keep <= 1, got {keep}")
    if len(attention) == 0:
        raise ValueError("want the attention of one block or more, got none")
    first = attention[0]
    identity = torch.eye(first.shape[-1], dtype=first.dtype, device=first.device)
    product = identity.expand(len(first), -1, -1)  # (b, n, n)
    for weights in attention:
        product = (keep * identity + (1 - keep) * weights.mean(dim=1)) @ product
    return product
