"""Pictures that were turned, scaled and bent, with the truth about each: digits, and shapes."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from worked.data.cluttered_digits import TRAIN
from worked.data.digits import digits
from worked.data.scenes import scenes

KINDS = ("turned", "scaled", "bent")
SETS = {"digits": 10, "shapes": 6}  # classes of each
ANGLE, SCALE, BEND = 1.0, 1.5, 0.5  # up to one radian, 1/1.5 to 1.5 times, and a sagitta of half the width
NOISE = 0.05


@dataclass(frozen=True)
class Warped:
    """n pictures in about [0, 1] (noise is added last), their labels, and what was done to each."""

    images: Float32[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    angle: Float32[Tensor, " n"]  # radians; positive turns the y axis, which points down, towards -x
    scale: Float32[Tensor, " n"]  # 2 is twice as large
    bend: Float32[Tensor, " n"]


def warp(
    pictures: Float[Tensor, "n c h w"],
    size: int,
    *,
    angle: Float[Tensor, " n"],
    scale: Float[Tensor, " n"],
    bend: Float[Tensor, " n"],
    centre: Float[Tensor, "n 2"] | None = None,
) -> Float[Tensor, "n c size size"]:
    r"""Turn by angle, enlarge by scale, after bending by bend; what was at centre (y, x) comes to the middle.

    .. math:: \text{out}(p) = \text{picture}\big(c + q + \tfrac12\,\text{bend}\,(q_y^2, 0)\big), \qquad
              q = \frac{R^\top p}{\text{scale}}, \quad
              R = \begin{pmatrix} \cos & -\sin \\ \sin & \cos \end{pmatrix}

    in columns (x, y) and in units of half a side: p runs from -1 to 1, and so does the picture. The bend
    turns a vertical line into a parabola. Beyond its edge the picture goes on as in a mirror.

    Known value: angle pi/2 moves the middle of the right edge to the middle of the lower edge.
    Raises ValueError unless every scale is positive.
    """
    if not (scale > 0).all():
        raise ValueError(f"need scale > 0, got {scale.min():g}")
    steps = (2 * torch.arange(size, dtype=pictures.dtype, device=pictures.device) + 1) / size - 1
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    cos, sin = (f[:, None, None] / scale[:, None, None] for f in (angle.cos(), angle.sin()))
    across, down = cos * x + sin * y, cos * y - sin * x  # (n, size, size)
    across = across + bend[:, None, None] * down**2 / 2
    grid = torch.stack([across, down], -1)
    if centre is not None:
        grid = grid + centre.flip(-1)[:, None, None]
    return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def warped(
    name: str,
    n: int,
    *,
    rng: torch.Generator,
    kinds: tuple[str, ...] = KINDS,
    split: str = "train",
    size: int = 16,
) -> Warped:
    """n pictures of a set, warped in the ways named in kinds, each by an amount uniform over its range.

    "digits": grey, scikit-learn's, the last 500 for the test, about half the picture wide.
    "shapes": six white shapes on black, from worked.data.scenes, two sizes, put in the middle. Angle is
    uniform within +-1 radian, the logarithm of scale within +-log 1.5, bend within +-1; all as if kinds had
    only those named. Noise of standard deviation 0.05 comes on top.

    Known value: with kinds=() every angle is 0, every scale 1 and every bend 0.
    Raises ValueError on an unknown set, split or kind.
    """
    if name not in SETS or split not in ("train", "test") or not set(kinds) <= set(KINDS):
        raise ValueError(
            f"want one of {tuple(SETS)}, train or test, kinds of {KINDS}; got {name!r}, {split!r}, {kinds}"
        )
    if name == "digits":
        strokes, labels = digits()
        part = slice(0, TRAIN) if split == "train" else slice(TRAIN, None)
        which = torch.randint(len(labels[part]), (n,), generator=rng)
        pictures = F.pad((strokes[part][which] + 1) / 2, (4, 4, 4, 4))  # ink is 1, half of the picture
        pictures, labels, centre, zoom = (
            F.interpolate(pictures, scale_factor=2, mode="bilinear"),
            labels[part][which],
            None,
            1.1,
        )
    else:
        scene = scenes(n, rng=rng, size=2 * size, background="plain", turn=False)
        pictures, labels, zoom = scene.masks[:, None].float(), scene.shape, 1.15
        steps = (2 * torch.arange(2 * size) + 1) / (2 * size) - 1
        share = scene.masks / scene.masks.sum((1, 2), keepdim=True)
        centre = torch.stack([(share.sum(2) * steps).sum(1), (share.sum(1) * steps).sum(1)], 1)
    draw = 2 * torch.rand(3, n, generator=rng) - 1
    draw = draw * torch.tensor([kind in kinds for kind in KINDS])[:, None]
    angle, scale, bend = ANGLE * draw[0], SCALE ** draw[1], 2 * BEND * draw[2]
    images = warp(pictures, size, angle=angle, scale=zoom * scale, bend=bend, centre=centre)
    return Warped(images + NOISE * torch.randn(images.shape, generator=rng), labels, angle, scale, bend)
