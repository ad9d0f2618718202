"""What the layers of this part share: how weights are drawn, and that they fit."""

import torch
from jaxtyping import Float
from torch import Tensor


def uniform(
    d: int, k: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
) -> Float[Tensor, "d k"]:
    """Numbers drawn uniformly within +-sqrt(3/d): of variance 1/d, so h W keeps the size of h's entries.

    Known value: d = 3 draws within +-1. Raises ValueError unless d and k are at least 1.
    """
    if d < 1 or k < 1:
        raise ValueError(f"need at least one feature in and out, got d={d}, k={k}")
    return (torch.rand(d, k, generator=generator, dtype=dtype) * 2 - 1) * (3 / d) ** 0.5


def check_weight(name: str, weight: Tensor, h: Tensor) -> None:
    """Raise ValueError unless the rows of h can be multiplied by the weight from the right."""
    if weight.ndim != 2 or len(weight) != h.shape[1]:
        raise ValueError(f"{name}: want shape ({h.shape[1]}, k), got {tuple(weight.shape)}")
    if weight.dtype != h.dtype:
        raise ValueError(f"{name}: want {h.dtype}, the type of h, got {weight.dtype}")
