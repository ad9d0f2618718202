"""Digits of varying size, colour and place on crops of photographs: too hard for raw pixels."""

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from torch import Tensor

from worked.data.digits import digits
from worked.data.scenes import photograph_crops
from worked.data.store import Card

CARD = Card(
    name="cluttered-digits",
    what="handwritten digits of varying size, colour and place on crops of photographs",
    source="put together by worked.data.cluttered_digits from the digits and the photographs",
    licence="CC BY 4.0, as the digits",
    bundled=True,
    size="made when asked for",
)
TRAIN = 1_297  # digits of the training split; the last 500 are the test split's


def cluttered_digits(
    n: int, *, rng: torch.Generator, size: int = 32, split: str = "train", clutter: float = 0.3
) -> tuple[Float32[Tensor, "n 3 size size"], Int64[Tensor, " n"]]:
    """n pictures in [0, 1] and their labels 0..9, drawn with replacement from the 8x8 digits.

    A digit is 50 % to 90 % of the picture wide, turned by up to 0.4 radians, anywhere inside the picture, in
    one colour of channels 0.4 to 1, on a crop of a photograph whose brightness is multiplied by clutter (0:
    black). Training and test pictures come from different digits and from different halves of the
    photographs.

    Known value: where there is no ink, no pixel is above clutter. Raises ValueError on another split, n < 1,
    size < 16, or clutter outside [0, 1].
    """
    if split not in ("train", "test"):
        raise ValueError(f"split is train or test; got {split!r}")
    if n < 1 or size < 16 or not 0 <= clutter <= 1:
        raise ValueError(
            f"need n >= 1, size >= 16 and clutter in [0, 1]; got n={n}, size={size}, clutter={clutter}"
        )
    strokes, labels = digits()
    part = slice(0, TRAIN) if split == "train" else slice(TRAIN, None)
    strokes, labels = (strokes[part] + 1) / 2, labels[part]  # 1 is ink
    which = torch.randint(len(labels), (n,), generator=rng)
    width = 0.5 + 0.4 * torch.rand(n, generator=rng)  # of the picture
    centre = (2 * torch.rand(n, 2, generator=rng) - 1) * (1 - width)[:, None]
    angle = 0.4 * (2 * torch.rand(n, 1, 1, generator=rng) - 1)
    steps = (2 * torch.arange(size) + 1) / size - 1
    x = ((steps - centre[:, :1]) / width[:, None])[:, None, :]  # (n, 1, size): -1..1 over the digit
    y = ((steps - centre[:, 1:]) / width[:, None])[:, :, None]
    grid = torch.stack([angle.cos() * x + angle.sin() * y, angle.cos() * y - angle.sin() * x], -1)
    ink = F.grid_sample(strokes[which], grid, mode="bicubic", align_corners=False).clamp(0, 1)
    colour = 0.4 + 0.6 * torch.rand(n, 3, 1, 1, generator=rng)
    ground = clutter * photograph_crops(n, size, rng=rng, half="left" if split == "train" else "right")
    return ground + ink * (colour - ground), labels[which]
