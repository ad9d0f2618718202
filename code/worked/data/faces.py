"""Procedural faces whose parts can be replaced, moved or turned, each without touching the others.

A face is a square of skin in a 3 x 3 grid of cells: eyes in the upper corners, the nose in the middle, the
mouth below it. Every part fills a box in the middle of its cell, so that between two parts there is always
bare skin as wide as a part.
"""

import math
from dataclasses import dataclass
from itertools import permutations

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from worked.data.store import Card

KINDS = ("face", "replaced", "moved", "turned")
SLOTS = ("left eye", "right eye", "nose", "mouth")
CELLS = ((0, 0), (0, 2), (1, 1), (2, 1))  # row and column of each slot in the grid of cells
THINGS = ("eye", "nose", "mouth", "disc", "square", "cross", "ring", "nothing")
OWN = (0, 0, 1, 2)  # the thing that belongs to each slot
WRONG_ORDERS = tuple(p for p in permutations(range(4)) if tuple(OWN[i] for i in p) != OWN)  # 22 of 24

CARD = Card(
    name="faces",
    what="faces of two eyes, a nose and a mouth; whole, or with parts replaced, moved or turned",
    source="drawn by worked.data.faces from a seed",
    licence="MIT, as the package",
    bundled=True,
    size="drawn when asked for",
)


@dataclass(frozen=True)
class Faces:
    """n pictures, and at each of their four slots: which thing stands there, how it is turned, and where."""

    images: Float32[Tensor, "n 3 h w"]  # in [0, 1]
    thing: Int64[Tensor, "n 4"]  # an index into THINGS
    angle: Float32[Tensor, "n 4"]  # radians; 0 is upright
    corner: Int64[
        Tensor, "n 4 2"
    ]  # row and column of the upper left pixel of the box, whose side is size / 6

    def __len__(self) -> int:
        return len(self.images)


def faces(n: int, *, kind: str, rng: torch.Generator, size: int = 36, noise: float = 0.05) -> Faces:
    """n pictures of one kind, size x size pixels. Skin, inks, sizes and the place of the whole vary.

    - "face": every part in its slot, upright;
    - "replaced": two to four parts give way to a disc, square, cross or ring in an ink of the face, or to
      bare skin; the others stand where they belong;
    - "moved": the same four parts, upright, in one of the 22 wrong orders of the same four slots (the eyes
      look alike, so two of the 24 orders are faces);
    - "turned": every part in its slot, turned by 90 to 270 degrees, each by its own angle.

    A generator in the same state draws the same people for every kind: a moved face is a face with the
    contents of its boxes exchanged, pixel by pixel, before normal noise is added, independent from pixel to
    pixel of one picture. Then the noise is the same too, at every place, in all kinds.

    Known value: at size 36 a box is 6 x 6 pixels, two boxes are at least 6 apart (also around the edges),
    and the four slots hold the things 0 0 1 2 in a face.
    Raises ValueError on another kind, n < 1, noise < 0, or a size that is no positive multiple of 12.
    Taught in: attention/conv-or-attention.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}; got {kind!r}")
    if n < 1 or noise < 0 or size < 12 or size % 12:
        raise ValueError(
            f"need n >= 1, noise >= 0 and a size that 12 divides; got n={n}, noise={noise}, size={size}"
        )

    def uniform(lo: float, hi: float, *shape: int) -> Float32[Tensor, "..."]:
        return lo + (hi - lo) * torch.rand(n, *shape, generator=rng)

    # Everything is drawn for every kind, in one order: only then do equal seeds give equal people.
    skin = uniform(0.55, 0.85, 1) * torch.tensor([1.0, 0.82, 0.68]) + uniform(-0.04, 0.04, 3)  # (n, 3)
    dark, scale = uniform(0.05, 0.2, 1).expand(n, 3), uniform(0.85, 1.0, 4)
    nudge = uniform(-0.3, 0.3, 4, 2)  # of a part within its box, pixels at size 36
    reach = size // 18
    shift = torch.randint(-reach, reach + 1, (n, 1, 2), generator=rng)  # of the whole, pixels
    order = torch.tensor(WRONG_ORDERS)[torch.randint(len(WRONG_ORDERS), (n,), generator=rng)]
    turn = uniform(math.pi / 2, 3 * math.pi / 2, 4)
    other = torch.randint(3, len(THINGS), (n, 4), generator=rng)
    which = torch.rand(n, 4, generator=rng).argsort(1) < torch.randint(2, 5, (n, 1), generator=rng)
    odd_ink = torch.randint(4, (n, 4), generator=rng)

    thing, angle = torch.tensor(OWN).expand(n, 4), torch.zeros(n, 4)
    if kind == "replaced":
        thing = torch.where(which, other, thing)
    if kind == "turned":
        angle = turn
    inks = torch.stack(
        [torch.full((n, 3), 0.95), dark, 0.55 * skin, torch.tensor([0.72, 0.16, 0.2]).expand(n, 3)], 1
    )
    boxes = _draw(thing, angle, scale, nudge, skin, inks, odd_ink, size)  # (n, 4, 3, side, side)
    if kind == "moved":
        boxes, thing = boxes[torch.arange(n)[:, None], order], thing.gather(1, order)

    corner = torch.tensor(CELLS) * (size // 3) + size // 12 + shift  # (n, 4, 2)
    images = skin[:, :, None, None].repeat(1, 1, size, size)
    rows, steps = torch.arange(n)[:, None, None], torch.arange(size // 6)
    for slot in range(4):
        y, x = (corner[:, slot, axis, None] + steps for axis in (0, 1))  # (n, side)
        images[rows, :, y[:, :, None], x[:, None, :]] = boxes[:, slot].movedim(1, -1)
    images = (images + noise * torch.randn(images.shape, generator=rng)).clamp(0, 1)
    return Faces(images, thing, angle, corner)


def _draw(
    thing: Tensor,
    angle: Tensor,
    scale: Tensor,
    nudge: Tensor,
    skin: Tensor,
    inks: Tensor,
    odd: Tensor,
    size: int,
) -> Float32[Tensor, "n 4 3 side side"]:
    """What fills the boxes: the layers of each thing laid over skin, in axes turned with the thing."""
    unit = size / 36  # pixels; all lengths below are in pixels at size 36
    grid = (torch.arange(size // 6) + 0.5) / unit - 3  # -3..3 across the box
    y, x = (grid - nudge[..., :1])[..., :, None], (grid - nudge[..., 1:])[..., None, :]
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
    u = (cos * x + sin * y) / scale[..., None, None]  # (n, 4, side, side)
    v = (cos * y - sin * x) / scale[..., None, None]
    white, dark, shade, red = inks[:, None].expand(-1, 4, -1, -1).unbind(2)  # (n, 4, 3) each
    ink = inks[torch.arange(len(inks))[:, None], odd]
    rim = torch.hypot(u, v)
    layers = (  # in the order of THINGS: signed distances, below 0 inside, and inks, from the lowest layer up
        [
            (_box(u, v + 2.1, 1.9, 0.4), dark),
            (1.3 * (torch.hypot(u / 2.4, (v - 0.5) / 1.3) - 1), white),
            (torch.hypot(u, v - 0.5) - 1.0, dark),
        ],
        [(torch.maximum(v - 2.0, (2 * u.abs() - v - 2.4) / math.sqrt(5)), shade)],
        [(torch.maximum(torch.hypot(u, v + 1.0) - 2.9, -v - 0.2), red)],
        [(rim - 1.9, ink)],
        [(_box(u, v, 1.7, 1.7), ink)],
        [(torch.minimum(_box(u, v, 2.4, 0.7), _box(u, v, 0.7, 2.4)), ink)],
        [((rim - 1.8).abs() - 0.6, ink)],
        [],
    )
    out = skin[:, None, :, None, None].repeat(1, 4, 1, *u.shape[2:])
    for k, stack in enumerate(layers):
        here = (thing == k)[..., None, None]  # (n, 4, 1, 1)
        for distance, colour in stack:
            cover = ((0.5 - unit * scale[..., None, None] * distance).clamp(0, 1) * here)[:, :, None]
            out = out + cover * (colour[..., None, None] - out)
    return out


def _box(u: Tensor, v: Tensor, a: float, b: float) -> Tensor:
    """Distance to the rectangle of half-sides a and b: negative inside."""
    return torch.maximum(u.abs() - a, v.abs() - b)
