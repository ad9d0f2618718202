r"""Similarity motions of the plane about a picture's centre: turn, zoom, shift.

A point p = (x, y) of a picture of height h and width w is named from the centre, u = p - c with
c = ((w - 1) / 2, (h - 1) / 2); x runs right, y runs down, in pixels. The motion takes u to

.. math:: T(u) = s R(\theta) u + d, \qquad
          R(\theta) = \begin{pmatrix} \cos\theta & -\sin\theta \\ \sin\theta & \cos\theta \end{pmatrix}

so that a positive angle is seen as a clockwise turn. A batch of motions is a tensor (b, 4) with the columns
dx, dy, theta (radians) and log s.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def centre(h: int, w: int) -> Float[Tensor, "2"]:
    """The middle (x, y) of a picture, in pixels, float64. Known value: 3 x 5 pixels give (2, 1).

    Raises ValueError on an empty picture.
    """
    if h < 1 or w < 1:
        raise ValueError(f"a picture has at least one row and one column, got {h} x {w}")
    return torch.tensor([(w - 1) / 2, (h - 1) / 2], dtype=torch.float64)


def linear_part(motion: Float[Tensor, "b 4"]) -> Float[Tensor, "b 2 2"]:
    """s R(theta). Known value: theta = pi/2, s = 2 gives ((0, -2), (2, 0))."""
    theta, s = motion[:, 2], motion[:, 3].exp()
    c, n = s * theta.cos(), s * theta.sin()
    return torch.stack([torch.stack([c, -n], -1), torch.stack([n, c], -1)], -2)


def move(u: Float[Tensor, "b n 2"], motion: Float[Tensor, "b 4"]) -> Float[Tensor, "b n 2"]:
    """T(u) for points named from the centre. Known value: a quarter turn takes (1, 0) to (0, 1), down."""
    return u @ linear_part(motion).mT + motion[:, None, :2]


def inverse(motion: Float[Tensor, "b 4"]) -> Float[Tensor, "b 4"]:
    r"""The motion that undoes it, which is what the pair shows when its pictures are swapped.

    .. math:: T^{-1}(v) = s^{-1} R(-\theta) v - s^{-1} R(-\theta) d

    Known value: shift (1, 0) with zoom 2 is undone by shift (-1/2, 0) with zoom 1/2.
    """
    turn = torch.cat([torch.zeros_like(motion[:, :2]), -motion[:, 2:]], dim=1)
    return torch.cat([-move(motion[:, None, :2], turn)[:, 0], turn[:, 2:]], dim=1)


def compose(second: Float[Tensor, "b 4"], first: Float[Tensor, "b 4"]) -> Float[Tensor, "b 4"]:
    """First `first`, then `second`: angles add, logs of scales add. The angle is not wrapped."""
    return torch.cat([move(first[:, None, :2], second)[:, 0], second[:, 2:] + first[:, 2:]], dim=1)


def halfway(motion: Float[Tensor, "b 4"]) -> Float[Tensor, "b 4"]:
    r"""The same motion with its shift named half-way between the pictures: columns e_x, e_y, theta, log s.

    .. math:: e = s^{-1/2} R(-\theta / 2)\, d

    Every column changes its sign when the pictures are swapped. Known value: d = (2, 0), s = 4 gives (1, 0).
    """
    return _turned_shift(motion, -0.5)


def from_halfway(motion: Float[Tensor, "b 4"]) -> Float[Tensor, "b 4"]:
    """The inverse of `halfway`: d = s^(1/2) R(theta / 2) e."""
    return _turned_shift(motion, 0.5)


def _turned_shift(motion: Float[Tensor, "b 4"], share: float) -> Float[Tensor, "b 4"]:
    turn = torch.cat([torch.zeros_like(motion[:, :2]), share * motion[:, 2:]], dim=1)
    return torch.cat([move(motion[:, None, :2], turn)[:, 0], motion[:, 2:]], dim=1)


def wrap(theta: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The same angle in [-pi, pi). Known value: 3 pi / 2 becomes -pi / 2."""
    return torch.remainder(theta + torch.pi, 2 * torch.pi) - torch.pi


def pixels(h: int, w: int) -> Float[Tensor, "n 2"]:
    """All pixels' (x, y), row after row, float64. Known value: the second is (1, 0)."""
    y, x = torch.meshgrid(torch.arange(h).double(), torch.arange(w).double(), indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=-1)


def sample(picture: Float[Tensor, "h w"], points: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    """The picture's grey at points (x, y) in pixels, bilinear between pixels, 0 outside.

    Known value: half-way between pixels of grey 0 and 1 it is 1/2.
    """
    h, w = picture.shape
    one = points.new_tensor([1 / w, 1 / h])
    grid = points.reshape(1, 1, -1, 2) * (2 * one) + (
        one - 1
    )  # torch's -1 and 1 are the outer edges of pixels
    found = F.grid_sample(picture[None, None], grid.to(picture.dtype), align_corners=False)
    return found.reshape(points.shape[:-1])


def warp(pictures: Float[Tensor, "b h w"], motion: Float[Tensor, "b 4"]) -> Float[Tensor, "b h w"]:
    r"""The pictures after the motion about their centre, bilinear; black where nothing is known.

    .. math:: B(c + v) = A\big(c + T^{-1}(v)\big)

    Known value: the motion (1, 0, 0, 0) shifts one pixel to the right. Raises ValueError if the numbers of
    pictures and motions differ. The inverse map is what skimage.transform.warp wants as its second argument.
    """
    b, h, w = pictures.shape
    if len(motion) != b:
        raise ValueError(f"{b} pictures with {len(motion)} motions")
    c = centre(h, w).to(motion)
    u = (pixels(h, w).to(motion) - c).expand(b, -1, -1)
    back = c + move(u, inverse(motion))  # (b, h * w, 2)
    return torch.stack([sample(a, p) for a, p in zip(pictures, back, strict=True)]).reshape(b, h, w)
