"""Digits of varying size, colour and place on plain ground: what can be learnt in seconds."""

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from torch import Tensor

from worked.data import digits

TRAIN = 1_297  # digits of the training split; the last 500 are the test split's
NOISE = 0.05  # standard deviation of a pixel


def coloured_digits(
    n: int, *, rng: torch.Generator, size: int = 16, split: str = "train"
) -> tuple[Float32[Tensor, "n 3 size size"], Int64[Tensor, " n"]]:
    """n pictures in [0, 1] and their labels 0..9: each shows one of scikit-learn's digits.

    A digit is 50 % to 90 % of the picture wide, anywhere inside it, bright on dark or dark on bright, each
    in a random colour, with a little noise in every pixel. Pixels are thus a poor guide to the digit, while
    crops and other colours leave it what it is. `worked.data.cluttered_digits`, on photographs, take longer
    to learn than a page has.

    Known value: the ground, up to noise, lies in 0..0.5 under a bright digit and in 0.5..1 under a dark one.
    Raises ValueError on another split, n < 1, or size < 12.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split is train or test; got {split!r}")
    if n < 1 or size < 12:
        raise ValueError(f"need n >= 1 and size >= 12, got n={n}, size={size}")
    strokes, labels = digits()
    part = slice(0, TRAIN) if split == "train" else slice(TRAIN, None)
    strokes, labels = (strokes[part] + 1) / 2, labels[part]  # 1 is ink
    which = torch.randint(len(labels), (n,), generator=rng)
    width = 0.5 + 0.4 * torch.rand(n, 1, generator=rng)  # of the picture
    centre = (2 * torch.rand(n, 2, generator=rng) - 1) * (1 - width)
    steps = (2 * torch.arange(size) + 1) / size - 1
    x, y = ((steps - centre[:, [axis]]) / width for axis in (0, 1))  # (n, size) each: -1..1 over the digit
    grid = torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], -1)
    ink = F.grid_sample(strokes[which], grid, mode="bicubic", align_corners=False).clamp(
        0, 1
    )  # (n, 1, size, size)
    low, high = 0.5 * torch.rand(2, n, 3, 1, 1, generator=rng)
    high, dark = high + 0.5, torch.rand(n, 1, 1, 1, generator=rng) < 0.5
    ground, colour = torch.where(dark, high, low), torch.where(dark, low, high)
    noise = NOISE * torch.randn(n, 3, size, size, generator=rng)
    return (ground + ink * (colour - ground) + noise).clamp(0, 1), labels[which]
