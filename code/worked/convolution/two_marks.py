"""Pictures with two marks, one near the middle and one far from it, each bright or dark at random.

One set of pictures makes two tasks, which differ in nothing but where to look: tell the sign of the near
mark, or that of the far one.
"""

import math

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

NEAR, FAR = (0.0, 4.0), (12.0, 15.5)  # distances of a mark's centre from the picture's, in pixels


def two_marks(
    n: int, *, rng: torch.Generator, size: int = 36, noise: float = 0.3
) -> tuple[Float32[Tensor, "n 1 h w"], Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """n pictures of noise with two marks of 3x3 pixels, and the signs (0 dark, 1 bright) of near and far.

    A mark adds or subtracts 1. Distances and directions are uniform, signs fair and independent; so the one
    mark says nothing of the other. Known value: without noise the sum of a picture is -18, 0 or 18.
    Raises ValueError if n < 1 or the far mark does not fit into the size.
    """
    if n < 1 or size < 2 * FAR[1] + 4:
        raise ValueError(f"want n >= 1 and a size of at least {2 * FAR[1] + 4:g}, got n={n}, size={size}")
    images = noise * torch.randn(n, 1, size, size, generator=rng)
    signs = torch.randint(2, (2, n), generator=rng)
    rows = torch.arange(n)
    for sign, (least, most) in zip(signs, (NEAR, FAR), strict=True):
        distance = least + (most - least) * torch.rand(n, generator=rng)
        angle = 2 * math.pi * torch.rand(n, generator=rng)
        y = ((size - 1) / 2 + distance * angle.sin()).round().long()
        x = ((size - 1) / 2 + distance * angle.cos()).round().long()
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                images[rows, 0, y + dy, x + dx] += 2.0 * sign - 1
    return images, signs[0], signs[1]
