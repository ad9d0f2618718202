"""Multi-crop: a few large views of a picture and several small ones."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def random_boxes(
    n: int, scale: tuple[float, float], rng: torch.Generator, ratio: tuple[float, float] = (3 / 4, 4 / 3)
) -> Float[Tensor, "n 4"]:
    """n boxes (left, top, width, height) inside the unit square, of random area, shape and place.

    The area is uniform in `scale`, the logarithm of width/height in that of `ratio`; sides are cut to 1.

    Known value: scale (1, 1) with ratio (1, 1) gives the whole square.
    Raises ValueError unless 0 < scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1].
    """
    if not (0 < scale[0] <= scale[1] <= 1 and 0 < ratio[0] <= ratio[1]):
        raise ValueError(f"need 0 < scale <= 1 and 0 < ratio, both from small to large; got {scale}, {ratio}")
    u, v, x, y = torch.rand(4, n, generator=rng)
    area = scale[0] + (scale[1] - scale[0]) * u
    lo, hi = math.log(ratio[0]), math.log(ratio[1])
    shape = torch.exp(lo + (hi - lo) * v)
    width, height = (area * shape).sqrt().clamp(max=1), (area / shape).sqrt().clamp(max=1)
    return torch.stack([x * (1 - width), y * (1 - height), width, height], dim=1)


def crop(
    images: Float[Tensor, "n c h w"], boxes: Float[Tensor, "m 4"], size: int
) -> Float[Tensor, "n c size size"]:
    """The box of each image, resized (bilinear) to size x size.

    Known value: the box (0, 0, 1, 1) at the image's own size gives the image back.
    Raises ValueError if there is not one box for each image.
    """
    if len(boxes) != len(images):
        raise ValueError(f"got {len(boxes)} boxes for {len(images)} images")
    left, top, width, height = boxes.to(images).T
    theta = torch.zeros(len(boxes), 2, 3, dtype=images.dtype, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1] = width, height
    theta[:, 0, 2], theta[:, 1, 2] = 2 * left + width - 1, 2 * top + height - 1  # centres, in [-1, 1]
    grid = F.affine_grid(theta, [len(boxes), images.shape[1], size, size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def random_views(
    images: Float[Tensor, "v n c h w"],
    rng: torch.Generator,
    *,
    size: int,
    scale: tuple[float, float],
    change: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> Float[Tensor, "v n c size size"]:
    """One random crop of each of v x n images, mirrored with probability 1/2, then changed (colours, blur).

    Known value: scale (1, 1) at the image's own size gives each image or its mirror image.
    """
    flat = images.flatten(0, 1)
    cut = crop(flat, random_boxes(len(flat), scale, rng), size)
    mirrored = (torch.rand(len(flat), generator=rng) < 0.5).to(images.device)[:, None, None, None]
    cut = torch.where(mirrored, cut.flip(-1), cut)
    cut = cut if change is None else change(cut, rng)
    return cut.unflatten(0, images.shape[:2])


def multi_crop(
    images: Float[Tensor, "n c h w"],
    rng: torch.Generator,
    *,
    size: int = 32,
    small: int = 16,
    locals: int = 4,
    scale: tuple[float, float] = (0.4, 1.0),
    small_scale: tuple[float, float] = (0.05, 0.4),
    change: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> tuple[Float[Tensor, "globals n c size size"], Float[Tensor, "locals n c small small"]]:
    """Two global views of each image, and `locals` small views of small parts of it.

    Known value: the defaults turn 8 images into views of shapes (2, 8, c, 32, 32) and (4, 8, c, 16, 16).
    Source: Caron et al. 2020, arXiv:2006.09882, sec. 3.2; Caron et al. 2021, arXiv:2104.14294, sec. 3.1.
    """
    n, c = images.shape[:2]
    big = random_views(images.expand(2, -1, -1, -1, -1), rng, size=size, scale=scale, change=change)
    if locals == 0:
        return big, images.new_zeros(0, n, c, small, small)
    many = images.expand(locals, -1, -1, -1, -1)
    return big, random_views(many, rng, size=small, scale=small_scale, change=change)
