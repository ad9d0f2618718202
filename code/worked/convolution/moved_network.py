"""A network that says what moved: features of both pictures, all products between them, five numbers."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worked.convolution.moved import from_halfway, halfway
from worked.convolution.moved_pairs import SHIFT, SIZE, ZOOM

UNITS = (SHIFT, SHIFT, 1.0, 1.0, ZOOM)  # what 1 at an output means: pixels, pixels, cosine, sine, log s


def encode(motion: Float[Tensor, "b 4"]) -> Float[Tensor, "b 5"]:
    """The network's targets: e_x, e_y (half-way), cos theta, sin theta, log s, in UNITS.

    Known value: no motion is (0, 0, 1, 0, 0).
    """
    e = halfway(motion)
    five = torch.stack([e[:, 0], e[:, 1], e[:, 2].cos(), e[:, 2].sin(), e[:, 3]], dim=1)
    return five / five.new_tensor(UNITS)


def decode(code: Float[Tensor, "b 5"]) -> Float[Tensor, "b 4"]:
    """The motion that a code means; (cos, sin) need not have length 1.

    Known value: decode(encode(m)) = m for |theta| < pi.
    """
    five = code * code.new_tensor(UNITS)
    e = torch.stack([five[:, 0], five[:, 1], torch.atan2(five[:, 3], five[:, 2]), five[:, 4]], dim=1)
    return from_halfway(e)


def standardise(x: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Mean 0, standard deviation 1 for each picture: gain and offset of the light drop out."""
    x = x - x.mean(dim=(1, 2), keepdim=True)
    return x / x.std(dim=(1, 2), keepdim=True).clamp_min(1e-6)


def correlation(first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n n"]:
    """The scalar product of every place's feature in the first picture with every place's in the second.

    Known value: unit features on both sides give the cosine of the angle between them.
    Source: Rocco, Arandjelovic & Sivic 2017, arXiv:1703.05593, sec. 3.2.
    """
    return torch.einsum("bcn,bcm->bnm", first.flatten(2), second.flatten(2))


class WhatMoved(nn.Module):
    """The code of the motion between two pictures of `size` x `size`, odd under swapping them.

    Both pictures pass the same convolutions, to a quarter of the size; all products of their unit features
    are turned into shares (softmax over the other picture); a head reads for each place where it went. It
    reads twice, from the first picture to the second and back. Swapping the pictures exchanges the readings,
    so half their difference changes its sign (e, sine, log s), and half their sum does not (cosine).
    """

    def __init__(self, size: int = SIZE, features: int = 32, width: int = 48) -> None:
        super().__init__()
        self.side = side = size // 4
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, features, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1),
        )
        self.sharpness = nn.Parameter(torch.tensor(math.log(10.0)))
        self.places = nn.Conv2d(side * side, 24, 1)
        self.head = nn.Sequential(
            nn.Conv2d(27, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(width * math.ceil(side / 4) ** 2, 96),
            nn.ReLU(),
            nn.Linear(96, 5),
        )
        at = (torch.arange(side) - (side - 1) / 2) / (side / 2)
        y, x = torch.meshgrid(at, at, indexing="ij")
        self.register_buffer("grid", torch.stack([x, y]), persistent=False)  # (2, side, side)

    def read(self, products: Float[Tensor, "b n n"]) -> Float[Tensor, "b 5"]:
        """Five numbers from where each place of one picture finds itself in the other."""
        share = (products * self.sharpness.exp()).softmax(dim=2)  # (b, n, m)
        field = share.mT.unflatten(2, (self.side, self.side))  # (b, m, side, side): m are the channels
        went = torch.einsum("bmhw,cm->bchw", field, self.grid.flatten(1)) - self.grid  # mean way of a place
        sure = (field.square().sum(dim=1, keepdim=True)).sqrt()
        return self.head(torch.cat([F.relu(self.places(field * self.side)), 2 * went, sure], dim=1))

    def forward(self, first: Float[Tensor, "b h w"], second: Float[Tensor, "b h w"]) -> Float[Tensor, "b 5"]:
        both = self.features(standardise(torch.cat([first, second]))[:, None])
        a, b = F.normalize(both, dim=1).chunk(2)
        products = correlation(a, b)
        there, back = self.read(products), self.read(products.mT)
        odd, even = (there - back) / 2, (there + back) / 2
        return torch.cat([odd[:, :2], even[:, 2:3], odd[:, 3:]], dim=1)


def motion_loss(code: Float[Tensor, "b 5"], motion: Float[Tensor, "b 4"]) -> Float[Tensor, ""]:
    """Mean squared error of the code; cosine and sine weigh four times: their range is small."""
    weight = code.new_tensor([1.0, 1.0, 4.0, 4.0, 1.0])
    return (weight * (code - encode(motion)).square()).mean()
