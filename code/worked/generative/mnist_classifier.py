"""The recipe of the weights mnist-classifier: a small network whose features measure samples of digits.

Beside its parameters the file holds what an evaluation without MNIST needs: mean and covariance of the
features of the 60,000 training images, and of each tenth of the test images. They are statistics, not data.
"""

import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked import runs, weights
from worked.data import MissingData, mnist
from worked.generative.frechet import moments
from worked.metrics import accuracy
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
def in_pieces(
    function: Callable[[Tensor], Tensor], x: Float[Tensor, "n ..."], size: int = 500
) -> Float[Tensor, "n d"]:
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


def compare_statistics(tolerance: float = 1e-4) -> str:
    """A line that says whether the shipped statistics are those of MNIST, where MNIST is at hand.

    The tolerance is relative to the largest entry: features in float32, summed in another order on another
    machine. Raises WeightsError if they differ by more.
    """
    try:
        fresh = statistics(load())
    except MissingData:
        return "statistics of MNIST: shipped with mnist-classifier; MNIST is not here, so not computed again"
    shipped = weights.load(NAME)
    worst = max(float((fresh[key] - shipped[key]).abs().max() / fresh[key].abs().max()) for key in fresh)
    if not worst < tolerance:
        raise weights.WeightsError(
            f"the shipped statistics of MNIST are off by {worst:.2g}, want {tolerance}"
        )
    return (
        f"statistics of MNIST: shipped with mnist-classifier; computed again here, they agree to {worst:.1g}"
    )


def evaluate() -> float:
    """Print the accuracy on the 10,000 test images, which must be at hand, and compare the statistics."""
    images, labels = mnist("test")
    found = accuracy(in_pieces(load(), images), labels)
    print(f"{NAME}: {found:.2%} of the {len(labels):,} test images named right\n{compare_statistics()}")
    if not found > 0.99:
        raise weights.WeightsError(f"accuracy {found:.2%} is not above 99 %")
    return found


def train(*, epochs: int = 6, batch: int = 128, seed: int = 0) -> None:
    """Train, and write weights in half precision, the statistics of MNIST in their features, and the card."""
    started = time.time()
    network = train_network(*mnist("train"), epochs=epochs, batch=batch, seed=seed)
    finish(network, seed, time.time() - started)


def finish(network: DigitClassifier, seed: int, seconds: float) -> None:
    """From the trained network to what is shipped: half precision, measured as such."""
    state = {key: value.half() for key, value in network.state_dict().items()}
    network.load_state_dict({key: value.float() for key, value in state.items()})
    images, labels = mnist("test")
    card = {
        "what": "small convolutional classifier of 28x28 digits; statistics of MNIST in its 64 features",
        "data": "MNIST, 60,000 training images in [-1, 1], shifted by up to two pixels",
        "command": f"python -m worked.weights train {NAME}",
        "seed": seed,
        "metrics": {"test_accuracy": accuracy(in_pieces(network, images), labels)},
        "seconds": round(seconds),
        "licence": "MIT",
        "parameters": sum(p.numel() for p in network.parameters()),  # the statistics are none
        **runs.provenance(),
    }
    weights.save(NAME, {**state, **statistics(network)}, card)
