"""The patient: small pictures of digits in [0, 1], and a network that learns to name them in a second."""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked.convolution.placed import place, random_places
from worked.data import digits
from worked.training import fit, warmup_cosine

SIDE, CLASSES, TRAIN = 12, 10, 1_297  # the last 500 digits are the test split's, as in cluttered_digits
Perturb = Callable[[nn.Module, Tensor, Tensor, float], Tensor]  # (model, x, y, progress) -> x to learn from


def pictures(
    n: int, *, rng: torch.Generator, split: str = "train"
) -> tuple[Float[Tensor, "n 1 12 12"], Int[Tensor, " n"]]:
    r"""n grey pictures of 12 x 12 pixels in [0, 1] and their labels 0..9.

    .. math:: x = b + s\,(a - b)

    s in [0, 1] is the ink of a digit (8 x 8, at any of 25 places), a its brightness, uniform in [0.5, 1] a
    picture, and b a soft background in [0, 0.3] that varies within the picture. Training and test pictures
    show different digits.

    Known value: where there is full ink, the pixel is at least 0.5; where there is none, at most 0.3.
    Raises ValueError on another split or n < 1.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split is train or test; got {split!r}")
    if n < 1:
        raise ValueError(f"want n >= 1, got {n}")
    strokes, labels = digits()
    part = slice(0, TRAIN) if split == "train" else slice(TRAIN, None)
    strokes, labels = (strokes[part] + 1) / 2, labels[part]  # 1 is ink
    which = torch.randint(len(labels), (n,), generator=rng)
    ink = place(strokes[which], random_places(n, SIDE - 8, rng), SIDE)  # (n, 1, 12, 12)
    bright = 0.5 + 0.5 * torch.rand(n, 1, 1, 1, generator=rng)
    soft = torch.rand(n, 1, 4, 4, generator=rng)
    ground = 0.3 * F.interpolate(soft, size=(SIDE, SIDE), mode="bilinear", align_corners=True)
    return ground + ink * (bright - ground), labels[which]


class Classifier(nn.Module):
    """Two convolutions, the largest response of each feature over all places, and a linear map to logits.

    Sizes for width w: 12 x 12 x 1, to 6 x 6 x w (5 x 5, stride 2), to 5 x 5 x 4w (4 x 4), to 4w, to 10.
    Weights are drawn as PyTorch does, uniformly within 1/sqrt(fan in), but from the generator.

    Pictures of any size from 7 x 7 and of any number of channels will do.

    Known value: w = 8 and one channel make 4,666 parameters. Raises ValueError if width or channels < 1.
    """

    def __init__(self, width: int = 8, channels: int = 1, *, rng: torch.Generator) -> None:
        super().__init__()
        if width < 1 or channels < 1:
            raise ValueError(f"want width and channels of at least 1, got {width} and {channels}")
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, 4 * width, 4, padding=1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, CLASSES),
        )
        redraw(self, rng)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 10"]:
        return self.layers(x)


@torch.no_grad()
def redraw(model: nn.Module, rng: torch.Generator) -> None:
    """Weights and biases of every convolution and linear map anew, uniform within 1/sqrt(fan in)."""
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(part.weight[0].numel())
            part.weight.uniform_(-bound, bound, generator=rng)
            part.bias.uniform_(-bound, bound, generator=rng)


def train(
    model: nn.Module,
    x: Float[Tensor, "n c h w"],
    y: Int[Tensor, " n"],
    *,
    rng: torch.Generator,
    steps: int = 400,
    batch: int = 64,
    rate: float = 1e-2,
    warmup: int = 30,
    perturb: Perturb | None = None,
) -> nn.Module:
    """Adam on the cross-entropy of random batches, the rate rising for `warmup` steps, then falling to 0.

    Returns the model in eval mode.

    perturb(model, x, y, progress), if given, replaces each batch before the step; progress runs from 0 to 1
    and lets a budget grow. This is how adversarial training enters.

    Known value: 400 steps on 4,000 pictures name seven of eight test pictures right.
    Raises ValueError if x and y differ in length.
    """
    if len(x) != len(y):
        raise ValueError(f"want a label for every picture, got {len(x)} pictures and {len(y)} labels")
    model.train()
    progress = iter(range(steps))

    def draw() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            chosen = torch.randint(len(x), (batch,), generator=rng).to(x.device)
            yield x[chosen], y[chosen]

    def loss(drawn: tuple[Tensor, Tensor]) -> Tensor:
        seen, named = drawn
        done = next(progress) / steps
        if perturb is not None:
            seen = perturb(model, seen, named, done)
        return F.cross_entropy(model(seen), named)

    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    fit(loss, draw(), optimizer, steps=steps, schedule=warmup_cosine(steps, min(warmup, steps - 1)))
    return model.eval()
