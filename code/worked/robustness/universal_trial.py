"""The two kinds of networks on which robustness/universal searches, and how they learn."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from worked.robustness.classifier import CLASSES, redraw
from worked.training import fit, warmup_cosine

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


def learn(
    net: nn.Sequential,
    x: Float[Tensor, "n 3 h w"],
    y: Int[Tensor, " n"],
    *,
    rng: torch.Generator,
    steps: int,
    batch: int = 64,
    rate: float = 2e-3,
) -> nn.Sequential:
    """Adam on the cross-entropy of random batches, the rate falling to 0; the network itself, in eval mode.

    Raises ValueError if x and y differ in length.
    """
    if len(x) != len(y):
        raise ValueError(f"want a label for every picture, got {len(x)} pictures and {len(y)} labels")

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            some = torch.randint(len(x), (batch,), generator=rng).to(x.device)
            yield x[some], y[some]

    optimizer = torch.optim.Adam(net.train().parameters(), lr=rate)
    fit(
        lambda drawn: cross_entropy(net(drawn[0]), drawn[1]),
        batches(),
        optimizer,
        steps=steps,
        schedule=warmup_cosine(steps),
    )
    return net.eval()
