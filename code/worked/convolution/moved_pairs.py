"""Pairs of pictures of which one is the other moved, cut out of photographs so that no border is ever seen.

Both pictures look at the photograph itself: no picture is warped out of the other, so none has corners to
invent. Each pixel averages k x k samples over its own square, as a sensor does, which is what keeps a picture
that zooms out from aliasing.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from worked.convolution.moved import centre, inverse, linear_part, move, pixels, sample
from worked.data.photographs import photograph

TRAINING = ("astronaut", "grass", "gravel", "hubble", "retina", "rocket")
TEST = ("brick", "camera", "chelsea", "coffee")
SIZE = 64
SHIFT, ANGLE, ZOOM = 8.0, math.radians(30), math.log(1.25)  # the range of training: pixels, radians, log
SPACING = (1.25, 1.75)  # pixels of the photograph for one of the picture
LEAST = 0.06  # the least standard deviation of grey in a picture: below it there is nothing to see


@dataclass(frozen=True)
class Pairs:
    """n pairs, the motion from the first picture to the second, and the photograph of each."""

    first: Float[Tensor, "n h w"]
    second: Float[Tensor, "n h w"]
    motion: Float[Tensor, "n 4"]
    source: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.first)


@cache
def grey(name: str) -> Float[Tensor, "h w"]:
    """A photograph as luminance in [0, 1]; one of more than 800 pixels a side is halved by averaging."""
    r, g, b = photograph(name)
    picture = 0.2126 * r + 0.7152 * g + 0.0722 * b
    while max(picture.shape) > 800:
        h, w = (side // 2 * 2 for side in picture.shape)
        picture = picture[:h, :w].reshape(h // 2, 2, w // 2, 2).mean(dim=(1, 3))
    return picture


def random_motion(
    n: int, rng: torch.Generator, *, shift: float = SHIFT, angle: float = ANGLE, zoom: float = ZOOM
) -> Float[Tensor, "n 4"]:
    """Uniform and independent: |dx|, |dy| <= shift pixels, |theta| <= angle, |log s| <= zoom."""
    return (2 * torch.rand(n, 4, generator=rng) - 1) * torch.tensor([shift, shift, angle, zoom])


def look(
    picture: Float[Tensor, "h w"],
    place: Float[Tensor, "n 2"],
    view: Float[Tensor, "n 4"],
    size: int = SIZE,
    k: int = 3,
) -> Float[Tensor, "n size size"]:
    """Pictures of size x size; the pixel at u from the centre averages k x k samples around place + view(u).

    The samples lie at u + ((i + 1/2)/k - 1/2, (j + 1/2)/k - 1/2), i and j from 0 to k - 1. Known value: k = 1
    and the identity give the photograph's own pixels. Raises ValueError if a sample lies outside the
    photograph.
    """
    # k x k samples a pixel are the pixels of a grid k times as fine, centred alike
    side = (torch.arange(size * k).to(place) - centre(size * k, size * k)[0].to(place)) / k
    h, w = picture.shape
    limit = place.new_tensor([w - 1, h - 1])
    corners = torch.cartesian_prod(side[[0, -1]], side[[0, -1]]).expand(len(place), -1, -1)
    seen = place[:, None] + move(corners, view)
    if (seen < 0).any() or (seen > limit).any():
        raise ValueError(f"a picture would see beyond the border of the photograph, {h} x {w}")
    across, down = linear_part(view).unbind(dim=2)  # what one step in x, in y adds: (n, 2) each
    start = place + view[:, :2]
    points = place.new_empty(len(place), size * k, size * k, 2)
    for i in range(2):  # place + view(u) at all u at once, faster than `move` on a list of points
        row, column = start[:, i, None] + across[:, i, None] * side, down[:, i, None] * side
        torch.add(row[:, None, :], column[:, :, None], out=points[..., i])
    return sample(picture, points).reshape(-1, size, k, size, k).mean(dim=(2, 4))


def reach(motion: Float[Tensor, "n 4"], size: int = SIZE) -> Float[Tensor, " n"]:
    """The largest distance from the centre that either picture sees, in pixels of the first."""
    corner = size / 2 * math.sqrt(2)
    return torch.maximum(
        torch.full_like(motion[:, 0], corner), (-motion[:, 3]).exp() * (corner + motion[:, :2].norm(dim=1))
    )


def cut(
    name: str, motion: Float[Tensor, "n 4"], rng: torch.Generator, *, size: int = SIZE, k: int = 3
) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n size size"]]:
    """One pair for each motion out of one photograph, at random places, at random angles and spacings.

    Raises ValueError if the photograph is too small for such a motion.
    """
    picture, n = grey(name), len(motion)
    turn, zoom, across, down = torch.rand(4, n, generator=rng)
    spacing = SPACING[0] + (SPACING[1] - SPACING[0]) * zoom
    zero = torch.zeros_like(turn)
    camera = torch.stack([zero, zero, 2 * torch.pi * turn, spacing.log()], dim=1)
    margin = reach(motion, size) * spacing
    h, w = picture.shape
    room = torch.stack([w - 1 - 2 * margin, h - 1 - 2 * margin], dim=1)
    if (room < 0).any():
        raise ValueError(f"{name} is {h} x {w}, but such a pair needs {2 * margin.max() + 1:.0f} pixels")
    place = margin[:, None] + room * torch.stack([across, down], dim=1)
    first = look(picture, place, camera, size, k)
    # v in the second picture shows what u = T^-1(v) shows in the first
    back = inverse(motion)
    there = place + move(back[:, None, :2], camera)[:, 0]
    second = look(picture, there, torch.cat([camera[:, :2], camera[:, 2:] + back[:, 2:]], dim=1), size, k)
    return first, second


def pairs(motion: Float[Tensor, "n 4"], rng: torch.Generator, names: tuple[str, ...], **how: int) -> Pairs:
    """A pair for each motion, from the photographs in turn.

    A pair is drawn again while one of its pictures is flatter than LEAST.
    """
    size = how.get("size", SIZE)
    first, second = motion.new_empty(2, len(motion), size, size)
    for i, name in enumerate(names):
        missing = torch.arange(i, len(motion), len(names))
        while len(missing):
            a, b = cut(name, motion[missing], rng, **how)
            first[missing], second[missing] = a, b
            flat = torch.minimum(a.std(dim=(1, 2)), b.std(dim=(1, 2))) < LEAST
            missing = missing[flat]
    return Pairs(first, second, motion, tuple(names[i % len(names)] for i in range(len(motion))))


def noisy(x: Float[Tensor, "n h w"], sigma: Float[Tensor, " n"] | float, rng: torch.Generator) -> Tensor:
    """White noise of standard deviation sigma on every pixel; greys are not clipped."""
    spread = torch.as_tensor(sigma).reshape(-1, 1, 1)
    return x + spread * torch.randn(x.shape, generator=rng)


def lit(x: Float[Tensor, "n h w"], strength: float, rng: torch.Generator) -> Float[Tensor, "n h w"]:
    """Light from one side: times a ramp of random direction, from 1 - strength to 1 + strength at most."""
    h, w = x.shape[1:]
    u = (pixels(h, w) - centre(h, w)).to(x) / (math.hypot(h, w) / 2)
    angle = 2 * torch.pi * torch.rand(len(x), generator=rng)
    ramp = torch.stack([angle.cos(), angle.sin()], dim=1) @ u.T
    return x * (1 + strength * ramp.reshape(-1, h, w))
