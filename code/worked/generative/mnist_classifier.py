"""The recipe of the weights mnist-classifier: a small network that names digits; its features measure samples.

Beside its parameters the file holds what an evaluation without MNIST needs: mean and covariance of the
features of the 60,000 training images, and of each tenth of the test images. They are statistics, not data.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked import weights
from worked.data import mnist
from worked.generative.frechet import moments
from worked.training import fit, warmup_cosine

NAME = "mnist-classifier"
GROUPS = 10  # the test images, shuffled once, in ten groups of 1,000


class DigitClassifier(nn.Module):
    """Three convolutions and two linear layers; the 64 numbers between the latter are the features.

    Expects images of 28x28 in [-1, 1].
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1, stride=2),
            nn.ReLU(),
        )
        self.hidden = nn.Linear(64 * 7 * 7, 64)
        self.out = nn.Linear(64, 10)

    def features(self, x: Float[Tensor, "b 1 28 28"]) -> Float[Tensor, "b 64"]:
        return F.relu(self.hidden(rearrange(self.convolutions(x), "b c h w -> b (c h w)")))

    def forward(self, x: Float[Tensor, "b 1 28 28"]) -> Float[Tensor, "b 10"]:
        return self.out(self.features(x))


@torch.no_grad()
def in_pieces(function: nn.Module, x: Float[Tensor, "n ..."], size: int = 500) -> Float[Tensor, "n d"]:
    """function(x), computed on `size` rows at a time."""
    return torch.cat([function(piece) for piece in x.split(size)])


def load() -> DigitClassifier:
    """The shipped classifier, in eval mode."""
    network = DigitClassifier()
    state = weights.load(NAME)
    network.load_state_dict({key: state[key].float() for key in network.state_dict()})
    return network.eval().requires_grad_(False)


def reference() -> tuple[tuple[Tensor, Tensor], list[tuple[Tensor, Tensor]]]:
    """Mean and covariance of the features: of the training images, and of the test images by thousands."""
    state = weights.load(NAME)
    groups = zip(state["test.mean"].double(), state["test.cov"].double(), strict=True)
    return (state["train.mean"].double(), state["train.cov"].double()), list(groups)


def statistics(network: DigitClassifier) -> dict[str, Tensor]:
    """What `reference` reads, from MNIST itself: train.mean, train.cov, test.mean, test.cov, float64."""
    train = moments(in_pieces(network.features, mnist("train")[0]))
    order = torch.randperm(10_000, generator=torch.Generator().manual_seed(0))
    test = in_pieces(network.features, mnist("test")[0][order])
    groups = [moments(group) for group in test.chunk(GROUPS)]
    return {
        "train.mean": train[0],
        "train.cov": train[1],
        "test.mean": torch.stack([mean for mean, _ in groups]),
        "test.cov": torch.stack([cov for _, cov in groups]),
    }


def train_network(
    images: Float[Tensor, "n 1 28 28"], labels: Int[Tensor, " n"], *, epochs: int, batch: int, seed: int
) -> DigitClassifier:
    """Adam on the cross-entropy of shifted images (up to two pixels each way), rate falling to 0."""
    torch.manual_seed(seed)  # the initial weights: modules of torch take no generator
    generator = torch.Generator().manual_seed(seed)
    network, steps = DigitClassifier(), epochs * (len(images) // batch)

    def draw() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            order = torch.randperm(len(images), generator=generator)
            for chosen in order.split(batch)[: len(images) // batch]:
                padded = F.pad(images[chosen, 0], (2, 2, 2, 2), value=-1.0)  # (b, 32, 32); -1 is black
                windows = padded.unfold(1, 28, 1).unfold(2, 28, 1)  # (b, 5, 5, 28, 28), a view
                up, left = torch.randint(0, 5, (2, batch), generator=generator)
                yield windows[torch.arange(batch), up, left][:, None], labels[chosen]

    optimizer = torch.optim.Adam(network.parameters(), lr=1.5e-3)
    fit(
        lambda drawn: F.cross_entropy(network(drawn[0]), drawn[1]),
        draw(),
        optimizer,
        steps=steps,
        schedule=warmup_cosine(steps, 100),
        label=NAME,
    )
    return network.eval().requires_grad_(False)
