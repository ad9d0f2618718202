"""The two kinds of networks on which robustness/universal searches."""

import torch
from torch import nn

from worked.robustness.classifier import CLASSES, redraw

KINDS = ("convolutional", "perceptron")


def network(kind: str, side: int, *, rng: torch.Generator, width: int = 16) -> nn.Sequential:
    """An untrained network for colour pictures of side x side pixels, with 10 scores.

    convolutional: three convolutions 3 x 3 with width, 2 width and 2 width features, the first two of stride
    2, and a linear map of all that is left. perceptron: the pixels in a row, 16 width and 8 width hidden
    features. ReLU between the layers; weights uniform within 1/sqrt(fan in).

    Known value: at side 20 and width 16 they have 22,346 and 341,642 parameters.
    Raises ValueError on another kind, side < 4 or width < 1.
    """
    if kind not in KINDS or side < 4 or width < 1:
        raise ValueError(f"need a kind of {KINDS}, side >= 4, width >= 1; got {kind!r}, {side}, {width}")
    if kind == "convolutional":
        left = (side + 3) // 4  # halved twice, rounded up
        net = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * width * left**2, CLASSES),
        )
    else:
        net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(3 * side**2, 16 * width),
            nn.ReLU(),
            nn.Linear(16 * width, 8 * width),
            nn.ReLU(),
            nn.Linear(8 * width, CLASSES),
        )
    redraw(net, rng)
    return net.eval()
