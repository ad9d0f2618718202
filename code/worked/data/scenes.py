"""Procedural scenes: one object of known shape, colour, size and place on a background of known kind.

Nothing is loaded, and the truth is known to the pixel: which shape, which colour, where, and its mask. The
background has the same colours as the objects, so that no single pixel, and no histogram, gives the shape
away.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from worked.data.photographs import photograph
from worked.data.store import Card

SHAPES = ("disc", "square", "triangle", "ring", "cross", "bar")
COLOURS = {
    "red": (0.84, 0.18, 0.15),
    "green": (0.17, 0.60, 0.26),
    "blue": (0.16, 0.36, 0.78),
    "yellow": (0.93, 0.80, 0.18),
    "purple": (0.55, 0.25, 0.65),
    "white": (0.95, 0.95, 0.95),
}
SCALES = ("small", "large")
PLACES = ("top left", "top right", "bottom left", "bottom right")
BACKGROUNDS = ("plain", "texture", "photograph")
_WALLS = ("astronaut", "chelsea", "coffee", "rocket")  # photographs with colour

CARD = Card(
    name="scenes",
    what=f"pictures of one object: {len(SHAPES)} shapes, {len(COLOURS)} colours, any size and place",
    source="drawn by worked.data.scenes from a seed; backgrounds also from the photographs",
    licence="MIT, as the package",
    bundled=True,
    size="drawn when asked for",
)


@dataclass(frozen=True)
class Scenes:
    """n scenes and all that is true of them; every index refers to the tuple of that name in this module."""

    images: Float32[Tensor, "n 3 h w"]  # in [0, 1]
    masks: Bool[Tensor, "n h w"]  # True on the object
    shape: Int64[Tensor, " n"]
    colour: Int64[Tensor, " n"]
    scale: Int64[Tensor, " n"]
    place: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.images)

    def captions(self) -> list[str]:
        """One sentence a scene, such as "a small red disc at the top left"."""
        colours = tuple(COLOURS)
        return [
            f"a {SCALES[scale]} {colours[colour]} {SHAPES[shape]} at the {PLACES[place]}"
            for scale, colour, shape, place in zip(
                self.scale.tolist(),
                self.colour.tolist(),
                self.shape.tolist(),
                self.place.tolist(),
                strict=True,
            )
        ]


def scenes(
    n: int, *, rng: torch.Generator, size: int = 32, background: str = "texture", turn: bool = True
) -> Scenes:
    """n scenes of size x size pixels. The radius is 0.14 to 0.20 of the side if small, 0.24 to 0.32 if large.

    background: "plain" (one colour), "texture" (two colours in soft patches or stripes) or "photograph"
    (crops of four photographs). turn=False keeps every object upright. Shape, colour, scale and place are
    uniform and independent; the background's colours are others than the object's.

    No object touches the edge of its picture.

    Known value: a square of radius r covers (1.72 r)^2 of the picture.
    Raises ValueError on an unknown background, or n < 1, or size < 12 (a ring would close).
    """
    if background not in BACKGROUNDS:
        raise ValueError(f"background is one of {', '.join(BACKGROUNDS)}; got {background!r}")
    if n < 1 or size < 12:
        raise ValueError(f"need n >= 1 and size >= 12, got n={n}, size={size}")

    def draw(k: int) -> Int64[Tensor, " n"]:
        return torch.randint(k, (n,), generator=rng)

    def uniform(lo: float, hi: float) -> Float32[Tensor, " n"]:
        return lo + (hi - lo) * torch.rand(n, generator=rng)

    shape, colour, scale, place = draw(len(SHAPES)), draw(len(COLOURS)), draw(len(SCALES)), draw(len(PLACES))
    radius = torch.where(scale == 0, uniform(0.14, 0.20), uniform(0.24, 0.32))
    reach = 0.49 - 1.22 * radius  # 1.22 r: a square's half-diagonal, the farthest that a shape reaches
    along, down = uniform(0.25, 1.0) * reach, uniform(0.25, 1.0) * reach
    x0 = 0.5 + torch.where(place % 2 == 0, -along, along)
    y0 = 0.5 + torch.where(place < 2, -down, down)
    angle = uniform(0.0, 2 * math.pi) if turn else torch.zeros(n)

    cover = _cover(shape, x0, y0, radius, angle, size)  # (n, size, size), antialiased
    palette = torch.tensor(list(COLOURS.values()))
    ink = palette[colour] * uniform(0.85, 1.0)[:, None]  # (n, 3)
    ground = _background(n, colour, palette, size, background, rng)  # (n, 3, size, size)
    images = ground + cover[:, None] * (ink[:, :, None, None] - ground)
    images = (images + 0.03 * torch.randn(images.shape, generator=rng)).clamp(0, 1)
    return Scenes(images, cover > 0.5, shape, colour, scale, place)


def _cover(
    shape: Int64[Tensor, " n"],
    x0: Float[Tensor, " n"],
    y0: Float[Tensor, " n"],
    radius: Float[Tensor, " n"],
    angle: Float[Tensor, " n"],
    size: int,
) -> Float[Tensor, "n size size"]:
    """The share of each pixel that the object covers, from the signed distance to its edge."""
    grid = (torch.arange(size) + 0.5) / size
    cover = torch.empty(len(shape), size, size)
    for k, distance in enumerate(_DISTANCES):
        rows = (shape == k).nonzero()[:, 0]
        x = grid[None, None, :] - x0[rows, None, None]  # (rows, 1, size)
        y = grid[None, :, None] - y0[rows, None, None]  # (rows, size, 1)
        cos, sin = angle[rows].cos()[:, None, None], angle[rows].sin()[:, None, None]
        u, v = cos * x + sin * y, cos * y - sin * x  # (rows, size, size), in the object's own axes
        cover[rows] = (0.5 - distance(u, v, radius[rows, None, None]) * size).clamp(0, 1)
    return cover


def _box(u: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Distance to the rectangle of half-sides a and b: negative inside, exact at the edges' middles."""
    return torch.maximum(u.abs() - a, v.abs() - b)


_DISTANCES: tuple[Callable[[Tensor, Tensor, Tensor], Tensor], ...] = (  # in the order of SHAPES
    lambda u, v, r: torch.hypot(u, v) - r,
    lambda u, v, r: _box(u, v, 0.86 * r, 0.86 * r),
    lambda u, v, r: torch.maximum(v - 0.6 * r, (math.sqrt(3) * u.abs() - v) / 2 - 0.6 * r),
    lambda u, v, r: (torch.hypot(u, v) - 0.76 * r).abs() - 0.26 * r,
    lambda u, v, r: torch.minimum(_box(u, v, r, 0.32 * r), _box(u, v, 0.32 * r, r)),
    lambda u, v, r: _box(u, v, 1.05 * r, 0.36 * r),
)


def _background(
    n: int,
    taken: Int64[Tensor, " n"],
    palette: Float[Tensor, "k 3"],
    size: int,
    kind: str,
    rng: torch.Generator,
) -> Float[Tensor, "n 3 size size"]:
    if kind == "photograph":
        return photograph_crops(n, size, rng=rng)
    k = len(palette)
    first = (taken + torch.randint(1, k, (n,), generator=rng)) % k  # another colour than the object's
    second = (taken + torch.randint(1, k, (n,), generator=rng)) % k
    shade = 0.35 + 0.5 * torch.rand(n, 2, 1, generator=rng)
    a, b = palette[first] * shade[:, 0], palette[second] * shade[:, 1]  # (n, 3)
    if kind == "plain":
        return a[:, :, None, None].expand(n, 3, size, size)
    coarse = torch.randn(n, 1, 5, 5, generator=rng)
    patches = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)[:, 0]
    grid = torch.arange(size) / size
    angle = 2 * math.pi * torch.rand(n, 1, 1, generator=rng)
    waves = 2 * math.pi * (2 + 4 * torch.rand(n, 1, 1, generator=rng))
    stripes = torch.sin(waves * (angle.cos() * grid[None, None, :] + angle.sin() * grid[None, :, None]))
    striped = torch.rand(n, 1, 1, generator=rng) < 0.5
    mix = torch.sigmoid(4 * torch.where(striped, stripes, patches))[:, None]  # (n, 1, size, size)
    return mix * a[:, :, None, None] + (1 - mix) * b[:, :, None, None]


def photograph_crops(
    n: int, size: int, *, rng: torch.Generator, half: str = "both"
) -> Float32[Tensor, "n 3 size size"]:
    """n square crops of four photographs, each a sixth to a half as wide as its picture, in [0, 1].

    half: "left" or "right" takes crops from that half of each photograph only, so that training and test
    pictures share no pixel; "both" takes all. Raises ValueError on another half.
    """
    ranges = {"both": (0.0, 1.0), "left": (0.0, 0.5), "right": (0.5, 1.0)}
    if half not in ranges:
        raise ValueError(f"half is one of {', '.join(ranges)}; got {half!r}")
    lo, hi = ranges[half]
    which = torch.randint(len(_WALLS), (n,), generator=rng)
    out = torch.empty(n, 3, size, size)
    for i, name in enumerate(_WALLS):
        rows = (which == i).nonzero()[:, 0]
        if not len(rows):
            continue
        picture = photograph(name)
        h, w = picture.shape[1:]
        left, wide = lo * w, (hi - lo) * w
        side = (1 / 6 + torch.rand(len(rows), generator=rng) / 3) * min(h, wide)  # pixels
        x = left + torch.rand(len(rows), generator=rng) * (wide - side)
        y = torch.rand(len(rows), generator=rng) * (h - side)
        steps = (torch.arange(size) + 0.5) / size
        gx = (x[:, None] + side[:, None] * steps) / w * 2 - 1  # (rows, size)
        gy = (y[:, None] + side[:, None] * steps) / h * 2 - 1
        grid = torch.stack(
            [gx[:, None, :].expand(-1, size, -1), gy[:, :, None].expand(-1, -1, size)], -1
        )  # (rows, size, size, 2)
        smooth = F.avg_pool2d(picture[None], 3, stride=1, padding=1, count_include_pad=False)
        out[rows] = F.grid_sample(
            smooth.expand(len(rows), -1, -1, -1), grid, padding_mode="border", align_corners=False
        )
    return out.clamp(0, 1)
