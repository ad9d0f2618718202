"""Ways to move a network to new classes: cross-entropy, triplet then cross-entropy, both; two baselines."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked.convolution.mining import TripletDataset
from worked.convolution.triplet import triplet_loss
from worked.metrics import accuracy
from worked.training import fit

Pictures = tuple[Float[Tensor, "_ c h w"], Int[Tensor, " _"]]
SCALE = 10.0  # unit embeddings are enlarged before the linear classifier: logits of a few units


class SmallNet(nn.Module):
    """Pictures (n, 3, h, w) in [0, 1] to features (n, 32): convolutions, mean over places, linear map.

    Group norm, so that a picture's features do not depend on the batch. About 15,000 parameters.
    """

    def __init__(self, widths: tuple[int, int, int] = (12, 24, 48), features: int = 32) -> None:
        super().__init__()
        layers, before = [], 3
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.GroupNorm(4, width), nn.ReLU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.last = nn.Linear(before, features)
        self.width = features

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        return self.last(self.body(2 * x - 1).mean((2, 3)))


@dataclass
class Choices:
    """Sizes and rates of a run; the features make as many steps in every way."""

    epochs: int = 10
    steps: int = 8  # in an epoch
    triplets: int = 16  # in a batch: 48 pictures, also for cross-entropy alone
    rate: float = 2e-3
    classifier_rate: float = 2e-2
    margin: float = 0.5
    weight: float = 1.0  # of the triplet loss, where both are added
    kind: str = "semi-hard"


@dataclass
class Phase:
    """What a phase leaves behind: mean loss of each epoch; accuracy, training and test, after it."""

    name: str
    loss: list[float] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)


@torch.no_grad()
def embed(body: nn.Module, images: Float[Tensor, "n c h w"], size: int = 500) -> Float[Tensor, "n d"]:
    """Features of unit length, the network in eval mode."""
    body.eval()
    return F.normalize(torch.cat([body(part) for part in images.split(size)]), dim=1)


def nearest_centroid(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    asked: Float[Tensor, "m d"],
    truth: Int[Tensor, " m"],
) -> float:
    """Accuracy of the rule that takes the class whose mean embedding is nearest. No parameters, no training.

    Known value: means 0 and 2 on a line, asked 0.9 of class 0: accuracy 1.
    """
    centroids = torch.stack([z[labels == k].mean(0) for k in labels.unique()])
    return accuracy(-torch.cdist(asked, centroids), truth)


def cross_entropy_way(body: nn.Module, train: Pictures, test: Pictures, r: Choices, seed: int) -> "Result":
    """Way 1: a new classifier, and all parameters trained with cross-entropy."""
    return _whole(body, train, test, r, seed, "cross-entropy", weight=0.0)


def both_way(body: nn.Module, train: Pictures, test: Pictures, r: Choices, seed: int) -> "Result":
    """Way 3: a new classifier, and all parameters trained with cross-entropy + weight x triplet loss."""
    return _whole(body, train, test, r, seed, "both", weight=r.weight)


def triplet_way(body: nn.Module, train: Pictures, test: Pictures, r: Choices, seed: int) -> "Result":
    """Way 2: the features trained with the triplet loss; then frozen, and a classifier on top of them."""

    def loss(z: Tensor, labels: Tensor, head: nn.Linear) -> Tensor:
        return triplet_loss(*z.chunk(3), margin=r.margin)

    return _two_phases(body, train, test, r, seed, "triplet", loss)


def naming_way(body: nn.Module, train: Pictures, test: Pictures, r: Choices, seed: int) -> "Result":
    """Way 2 with another loss: cross-entropy of a classifier on unit embeddings, which is thrown away; then
    the features frozen, and a new classifier. Batches and steps are as in way 2."""

    def loss(z: Tensor, labels: Tensor, head: nn.Linear) -> Tensor:
        return F.cross_entropy(head(SCALE * z), labels)

    return _two_phases(body, train, test, r, seed, "naming", loss)


def _two_phases(
    body: nn.Module,
    train: Pictures,
    test: Pictures,
    r: Choices,
    seed: int,
    name: str,
    loss_of: Callable[[Tensor, Tensor, nn.Linear], Tensor],
) -> "Result":
    body, head, data = _start(body, train, seed)
    thrown_away = copy.deepcopy(head)

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        return loss_of(F.normalize(body(batch[0]), dim=1), batch[1], thrown_away)

    def score() -> tuple[float, float]:
        z, asked = embed(body, train[0]), embed(body, test[0])
        return nearest_centroid(z, train[1], z, train[1]), nearest_centroid(z, train[1], asked, test[1])

    groups = [{"params": body.parameters()}, {"params": thrown_away.parameters(), "lr": r.classifier_rate}]
    first = _epochs(name, body, data, loss, torch.optim.Adam(groups, lr=r.rate), r, score)
    second, logits = _classify(body, head, train, test, r, data)
    return Result(body, head, [first, second], accuracy(logits, test[1]))


def frozen_way(body: nn.Module, train: Pictures, test: Pictures, r: Choices, seed: int) -> "Result":
    """The baseline: features left as they came, a classifier on top of them."""
    body, head, data = _start(body, train, seed)
    phase, logits = _classify(body, head, train, test, r, data)
    return Result(body, head, [phase], accuracy(logits, test[1]))


@dataclass
class Result:
    """The trained network, what was seen on the way, and the accuracy on the test pictures at the end."""

    body: nn.Module
    head: nn.Linear
    phases: list[Phase]
    accuracy: float


def _start(body: nn.Module, train: Pictures, seed: int) -> tuple[nn.Module, nn.Linear, TripletDataset]:
    """A copy of the network, a classifier that says nothing yet, and the triplets of this seed."""
    head = nn.Linear(body.width, int(train[1].max()) + 1).to(train[0].device)
    nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
    rng = torch.Generator().manual_seed(seed)
    return copy.deepcopy(body), head, TripletDataset(*train, rng=rng)


def _whole(
    body: nn.Module, train: Pictures, test: Pictures, r: Choices, seed: int, name: str, weight: float
) -> Result:
    body, head, data = _start(body, train, seed)

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        h = body(batch[0])
        value = F.cross_entropy(head(h), batch[1])
        if weight:
            value = value + weight * triplet_loss(*F.normalize(h, dim=1).chunk(3), margin=r.margin)
        return value

    @torch.no_grad()
    def logits(images: Tensor) -> Tensor:
        return torch.cat([head(body(part)) for part in images.split(500)])

    groups = [{"params": body.parameters()}, {"params": head.parameters(), "lr": r.classifier_rate}]
    optimizer = torch.optim.Adam(groups, lr=r.rate)
    kind = r.kind if weight else "random"
    phase = _epochs(
        name,
        body,
        data,
        loss,
        optimizer,
        r,
        lambda: (accuracy(logits(train[0]), train[1]), accuracy(logits(test[0]), test[1])),
        kind,
    )
    return Result(body, head, [phase], phase.test[-1])


def _classify(
    body: nn.Module, head: nn.Linear, train: Pictures, test: Pictures, r: Choices, data: TripletDataset
) -> tuple[Phase, Tensor]:
    """Cross-entropy on frozen features, computed once; the same number of steps again."""
    z, asked = embed(body, train[0]), embed(body, test[0])
    phase = Phase("classifier")
    optimizer = torch.optim.Adam(head.parameters(), lr=r.classifier_rate)

    @torch.no_grad()
    def note() -> None:
        phase.train.append(accuracy(head(SCALE * z), train[1]))
        phase.test.append(accuracy(head(SCALE * asked), test[1]))

    def batches() -> Iterator[Tensor]:
        for epoch in range(r.epochs):
            if epoch:
                note()
            yield from torch.randint(len(z), (r.steps, 3 * r.triplets), generator=data.rng)

    def loss(i: Tensor) -> Tensor:
        return F.cross_entropy(head(SCALE * z[i]), train[1][i])

    history = fit(loss, batches(), optimizer, steps=r.epochs * r.steps, label=phase.name)
    note()
    phase.loss = _means(history.loss, r.steps)
    with torch.no_grad():
        return phase, head(SCALE * asked)


def _epochs(
    name: str,
    body: nn.Module,
    data: TripletDataset,
    loss: Callable[[tuple[Tensor, Tensor]], Tensor],
    optimizer: torch.optim.Optimizer,
    r: Choices,
    score: Callable[[], tuple[float, float]],
    kind: str | None = None,
) -> Phase:
    phase = Phase(name)

    def note() -> None:
        train, test = score()
        phase.train.append(train)
        phase.test.append(test)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for epoch in range(r.epochs):
            if epoch:
                note()
            rule = kind or r.kind
            data.choose(data.images.flatten(1) if rule == "random" else embed(body, data.images), rule)
            yield from data.batches(r.triplets, r.steps)

    history = fit(loss, batches(), optimizer, steps=r.epochs * r.steps, label=name)
    note()
    phase.loss = _means(history.loss, r.steps)
    return phase


def _means(loss: list[float], steps: int) -> list[float]:
    return [sum(loss[i : i + steps]) / steps for i in range(0, len(loss), steps)]
