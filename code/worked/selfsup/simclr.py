"""A run of SimCLR or MoCo on images at hand, and what is measured of it while it learns and afterwards."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked.selfsup.augment import Augment
from worked.selfsup.contrastive import info_nce
from worked.selfsup.encoder import encoder, head
from worked.selfsup.probe import knn_accuracy, linear_probe
from worked.selfsup.queue import KeyQueue, MomentumEncoder
from worked.selfsup.spread import effective_rank, spread
from worked.training import fit

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Splits:
    """Images and labels to learn from (labels unused), to fit probes on, and to test them on."""

    train: Float[Tensor, "n c h w"]
    train_labels: Int[Tensor, " n"]
    test: Float[Tensor, "m c h w"]
    test_labels: Int[Tensor, " m"]
    probe: int = 2_000  # so many training images are the neighbours and fit the linear probe


@dataclass(frozen=True)
class Size:
    """Widths of encoder, features, hidden layer and embedding."""

    width: int = 16
    features: int = 64
    hidden: int = 64
    out: int = 32


@dataclass
class Run:
    """Trained networks, and the spread of their embeddings of test images while they learnt."""

    encoder: nn.Module
    projector: nn.Module
    loss: list[float] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)


def networks(size: Size, seed: int, device: torch.device | str = "cpu") -> tuple[nn.Module, nn.Module]:
    """Encoder and projector with the initial weights of that seed; torch's own generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return (
            encoder(size.width, size.features).to(device),
            head(size.features, size.hidden, size.out).to(device),
        )


def simclr(
    data: Splits,
    augment: Augment,
    loss: Loss,
    *,
    batch: int,
    images: int,
    lr: float,
    seed: int,
    size: Size | None = None,
    start: Run | None = None,
    looks: int = 8,
    device: torch.device | str = "cpu",
) -> Run:
    """Learn from `images` images in batches, with Adam: loss(z1, z2) of the projections of two views.

    Both views go through the network in one pass. With ``start``, a copy of that run's networks learns on,
    with a new optimizer: ``size`` is not used, and ``seed`` is that of images and views alone. The spread of
    the embeddings of 256 test images is looked at `looks` times.
    Known value: images=1000, batch=100 makes 10 steps. Raises ValueError if images < batch.
    Source: Chen et al. 2020, arXiv:2002.05709, algorithm 1.
    """
    steps = images // batch
    if steps < 1:
        raise ValueError(f"need at least one batch of {batch} in {images} images")
    if start is None:
        net, projector = networks(size or Size(), seed, device)
    else:
        net, projector = copy.deepcopy((start.encoder, start.projector))
    run, rng = Run(net, projector), torch.Generator().manual_seed(seed)
    every = max(1, steps // looks)

    def look(step: int) -> None:
        net.eval(), projector.eval()
        with torch.no_grad():
            run.spread.append(spread(projector(net(data.test[:256].to(device)))))
        run.seen.append(step * batch)
        net.train(), projector.train()

    def batches():
        for step in range(steps):
            if step % every == 0:
                look(step)
            chosen = data.train[torch.randint(len(data.train), (batch,), generator=rng)].to(device)
            yield augment(torch.cat([chosen, chosen]), rng)

    def objective(views: Tensor) -> Tensor:
        return loss(*projector(net(views)).chunk(2))

    optimizer = torch.optim.Adam([*net.parameters(), *projector.parameters()], lr)
    run.loss = fit(objective, batches(), optimizer, steps=steps).loss
    look(steps)
    return run


@torch.no_grad()
def features(
    network: nn.Module, images: Float[Tensor, "n c h w"], device: torch.device | str = "cpu"
) -> Tensor:
    """Features of images in eval mode, on the CPU; the network stays in the mode that it was in."""
    training = network.training
    network.eval()
    z = torch.cat([network(part.to(device)).flatten(1).cpu() for part in images.split(2_048)])
    network.train(training)
    return z


def scores(network: nn.Module, data: Splits, device: torch.device | str = "cpu") -> dict[str, float]:
    """k-NN (k = 5) and linear probe on frozen features, their spread and effective rank: of test images."""
    near, labels = features(network, data.train[: data.probe], device), data.train_labels[: data.probe]
    far = features(network, data.test, device)
    return {
        "knn": knn_accuracy(near, labels, far, data.test_labels),
        "linear": linear_probe(near, labels, far, data.test_labels),
        "spread": spread(far),
        "rank": effective_rank(far),
    }


def within(groups: int, loss: Loss) -> Loss:
    """The loss averaged over `groups` equal parts of the batch: negatives from the same part alone."""

    def grouped(z1: Tensor, z2: Tensor) -> Tensor:
        parts = zip(z1.chunk(groups), z2.chunk(groups), strict=True)
        return torch.stack([loss(a, b) for a, b in parts]).mean()

    return grouped


def staleness(
    data: Splits,
    augment: Augment,
    *,
    m: float,
    seed: int,
    batch: int = 64,
    ages: int = 8,
    steps: int = 48,
    lr: float = 3e-3,
    tau: float = 0.2,
) -> tuple[list[float], float]:
    """MoCo with momentum m and a queue of `ages` batches; then how far its keys are from fresh ones.

    Returns 1 - cosine, averaged over a batch of keys, for the ages 1..ages (steps since the key was made),
    and the mean loss of the last quarter of the run. Keys are encoded again from the same images in the
    same mode.
    Known value: m = 1 gives 0 at every age. Source: He et al. 2020, arXiv:1911.05722, algorithm 1.
    """
    query = nn.Sequential(*networks(Size(), seed))
    rng, key = torch.Generator().manual_seed(seed), MomentumEncoder(query, m)
    queue, kept = KeyQueue(ages * batch, Size().out), []
    optimizer = torch.optim.Adam(query.parameters(), lr)

    def objective(chosen: Tensor) -> Tensor:
        key.update()
        v1, v2 = augment(chosen, rng), augment(chosen, rng)
        with torch.no_grad():
            k = key.value()(v2)
        negatives = queue.value() if len(queue.value()) else k
        loss = info_nce(query(v1), k, negatives, tau)
        queue.update(k)
        kept.append(v2)
        return loss

    draws = (data.train[torch.randint(len(data.train), (batch,), generator=rng)] for _ in range(steps))
    history = fit(objective, draws, optimizer, steps=steps)
    key.update()
    with torch.no_grad():
        now = torch.cat([nn.functional.normalize(key.value()(v), dim=1) for v in kept[-ages:]])
    drift = 1 - (now * queue.value()).sum(1).reshape(ages, batch).mean(1)
    last = history.loss[-(steps // 4) :]
    return drift.flip(0).tolist(), sum(last) / len(last)
