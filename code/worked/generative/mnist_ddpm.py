"""The recipe of the weights mnist-ddpm: a U-Net trained on MNIST from nothing, and its samples measured.

Used in the chapter generative/ddpm.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worked import runs, weights
from worked.data import mnist
from worked.data.mnist import FILES
from worked.generative import mnist_classifier
from worked.generative.diffusion import Network, ddim_sample, sampling_times, simple_loss
from worked.generative.frechet import frechet_distance, moments
from worked.generative.mnist_classifier import in_pieces
from worked.generative.schedule import cosine
from worked.generative.unet import UNet
from worked.training import Ema, fit, warmup_cosine

NAME = "mnist-ddpm"
SCHEDULE, WIDTHS = cosine(1000), (32, 64, 128)
SAMPLES, STEPS = 1000, 50  # of DDIM
SHARE, GAP = (0.06, 0.15), 0.005  # bounds: of each digit's share; of the way from the floor to the ceiling


def train_network(
    images: Float[Tensor, "n c h w"],
    *,
    widths: tuple[int, ...] = WIDTHS,
    steps: int = 10_500,
    horizon: int = 13_000,
    cooldown: int = 1_500,
    batch: int = 64,
    rate: float = 1e-3,
    warmup: int = 300,
    decay: float = 0.999,
    bf16: bool = True,
    seed: int = 0,
    checkpoint: Path | None = None,
    every: int = 500,
) -> tuple[nn.Module, list[float], float]:
    """Train a U-Net on images in [-1, 1] with the simple loss; the averaged network, losses, seconds.

    The learning rate rises for `warmup` steps and follows half a cosine that would reach 0 at `horizon`; the
    last `cooldown` steps take it to 0 in a line, so that a run can end where its time ends. With a checkpoint
    file the run is written down every `every` steps and goes on from there when it is started again: each
    stretch draws from its own seed, so that the stops leave no trace.
    """
    torch.manual_seed(seed)  # the initial weights: modules of torch take no generator
    network = UNet(channels=images.shape[1], widths=widths).to(images.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    ema, factor = Ema(network, decay), warmup_cosine(horizon, warmup)
    first, losses, seconds = 0, [], 0.0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, map_location=images.device, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        ema.load_state_dict(state["ema"])
        first, losses, seconds = len(state["losses"]), state["losses"], state["seconds"]
    while first < steps:
        generator = torch.Generator(images.device).manual_seed(seed + first)

        def draw() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
            at = {"device": images.device, "generator": generator}  # noqa: B023 (used up before it changes)
            while True:
                x0 = images[torch.randint(len(images), (batch,), **at)]  # (b, c, h, w)
                yield x0, torch.randint(1, SCHEDULE.T + 1, (batch,), **at), torch.randn(x0.shape, **at)

        def loss(drawn: tuple[Tensor, Tensor, Tensor]) -> Tensor:
            with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
                return simple_loss(network, *drawn, SCHEDULE)

        history = fit(
            loss,
            draw(),
            optimizer,
            steps=min(every, steps - first),
            schedule=lambda step: factor(first + step) * min(1.0, (steps - first - step) / cooldown),  # noqa: B023
            ema=ema,
            label=f"{first}/{steps}",
        )
        if history.interrupted:
            raise KeyboardInterrupt
        first, losses, seconds = first + every, losses + history.loss, seconds + history.seconds
        if checkpoint is not None:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"ema": ema.state_dict(), "losses": losses, "seconds": seconds}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    return ema.value(), losses, seconds


def load() -> UNet:
    """The shipped network, in eval mode."""
    network = UNet(widths=WIDTHS)
    network.load_state_dict({key: value.float() for key, value in weights.load(NAME).items()})
    return network.eval().requires_grad_(False)


def sample(
    network: Network, n: int, generator: torch.Generator, steps: int = STEPS
) -> Float[Tensor, "n c h w"]:
    """n digits by DDIM, in [-1, 1], 250 at a time."""
    x = torch.randn(n, 1, 28, 28, generator=generator)
    times = sampling_times(SCHEDULE.T, steps)
    return torch.cat([ddim_sample(network, part, SCHEDULE, times, clip=1.0)[0] for part in x.split(250)])


def quality(images: Float[Tensor, "n 1 28 28"]) -> dict[str, Any]:
    """What the classifier makes of n images: each digit's share, and the distance to the training set.

    ``floor`` is the mean distance of ten times 1,000 test images to the training set, ``ceiling`` that of n
    images of noise (standard normal, clipped to [-1, 1] like samples), ``gap`` how far along from the one to
    the other the images are. A Fréchet distance falls with n: only n = 1,000 can be set against the floor.
    """
    classifier = mnist_classifier.load()
    train, tests = mnist_classifier.reference()

    def distance(x: Tensor) -> float:
        return frechet_distance(*train, *moments(in_pieces(classifier.features, x))).item()

    floors = [frechet_distance(*train, *test).item() for test in tests]
    floor = sum(floors) / len(floors)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    ceiling, found = distance(noise), distance(images)
    counts = in_pieces(classifier, images).argmax(dim=1).bincount(minlength=10)
    return {
        "shares": (counts.double() / len(images)).tolist(),
        "frechet": found,
        "floor": floor,
        "floor_least": min(floors),
        "floor_most": max(floors),
        "ceiling": ceiling,
        "gap": (found - floor) / (ceiling - floor),
    }


def report(measured: dict[str, Any], seed: int) -> str:
    """The figures of `quality`, in words."""
    shares = "  ".join(f"{digit}: {100 * share:.1f} %" for digit, share in enumerate(measured["shares"]))
    return f"""{NAME}: {SAMPLES:,} digits sampled by DDIM in {STEPS} steps, seed {seed}
share of each digit, as mnist-classifier reads them (bounds: {SHARE[0]:.0%} to {SHARE[1]:.0%})
  {shares}
Fréchet distance to the 60,000 training images in the 64 features of mnist-classifier (this is not FID)
  {SAMPLES:,} samples            {measured["frechet"]:10.2f}
  1,000 test images (floor) {measured["floor"]:10.2f}   mean of ten thousands: {
        measured["floor_least"]:.2f} to {measured["floor_most"]:.2f}
  {SAMPLES:,} of noise (ceiling) {measured["ceiling"]:10.2f}
  way from floor to ceiling {100 * measured["gap"]:10.3f} %  (bound: {GAP:.1%})"""


def shortfall(measured: dict[str, Any]) -> list[str]:
    """What of `quality` is out of bounds."""
    shares = [
        f"{s:.1%} of the samples are a {d}"
        for d, s in enumerate(measured["shares"])
        if not SHARE[0] < s < SHARE[1]
    ]
    return shares + (
        [] if measured["gap"] < GAP else [f"the samples are {measured['gap']:.2%} of the way to noise"]
    )


def evaluate(seed: int = 0) -> dict[str, Any]:
    """Sample 1,000 digits from the shipped weights, and print what they are worth. Needs no MNIST.

    The statistics of MNIST come with the classifier; where MNIST is at hand they are computed again and
    compared. Raises WeightsError if a figure is out of bounds, or the statistics do not agree.
    """
    measured = quality(sample(load(), SAMPLES, torch.Generator().manual_seed(seed)))
    print(report(measured, seed))
    print(mnist_classifier.compare_statistics())
    if missed := shortfall(measured):
        raise weights.WeightsError("; ".join(missed))
    return measured


def train(checkpoint: Path = Path("mnist-ddpm.checkpoint")) -> None:
    """Train, measure with three seeds of sampling, write weights, card and the recorded run mnist-ddpm."""
    images, _ = mnist("train")
    network, losses, seconds = train_network(images, checkpoint=checkpoint)
    finish(network, losses, seconds)
    checkpoint.unlink()


def finish(network: nn.Module, losses: list[float], seconds: float) -> None:
    """From the trained network to what is shipped: half precision, measured as such."""
    started = time.time() - seconds
    state = {key: value.half() for key, value in network.state_dict().items()}
    network.load_state_dict({key: value.float() for key, value in state.items()})
    measured = {}
    for seed in range(3):
        measured[seed] = quality(sample(network, SAMPLES, torch.Generator().manual_seed(seed)))
        print(report(measured[seed], seed), flush=True)
    command = f"python -m worked.weights train {NAME}"
    card = {
        "what": f"U-Net that predicts the noise in 28x28 digits; widths {WIDTHS}, cosine, T = {SCHEDULE.T}",
        "data": "MNIST, 60,000 training images in [-1, 1]",
        "command": command,
        "seed": 0,
        "metrics": {"steps": len(losses), "loss": sum(losses[-500:]) / 500, **measured[0]},
        "seconds": round(seconds),
        "licence": "MIT",
        **runs.provenance(),
    }
    weights.save(NAME, state, card)
    every = 100
    means = torch.tensor(losses[: len(losses) // every * every]).reshape(-1, every).mean(dim=1)
    generator = torch.Generator().manual_seed(0)
    checksums = {name: sums[0] for name, sums in FILES.items() if name.startswith("train")}
    runs.record(
        NAME,
        {
            "loss_every": every,
            "loss": means,
            "train_seconds": seconds,
            "quality": measured,
            "untrained_gap": quality(sample(lambda x, t: torch.zeros_like(x), SAMPLES, generator))["gap"],
        },
        command=command,
        seeds=[0, 1, 2],
        data=checksums,
        started=started,
    )
