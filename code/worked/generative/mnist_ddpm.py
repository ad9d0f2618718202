"""The recipe of the weights mnist-ddpm: a U-Net trained on MNIST from nothing, and what its samples are worth."""

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worked.generative.diffusion import simple_loss
from worked.generative.schedule import cosine
from worked.generative.unet import UNet
from worked.training import Ema, fit, warmup_cosine

WIDTHS = (32, 64, 128)
SCHEDULE = cosine(1000)


def train_network(
    images: Float[Tensor, "n c h w"],
    *,
    widths: tuple[int, ...] = WIDTHS,
    steps: int = 13_000,
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

    The learning rate rises for `warmup` steps and falls to 0 in half a cosine. With a checkpoint file the
    run is written down every `every` steps and goes on from there when it is started again: each stretch
    draws from its own seed, so an interrupted run gives what an uninterrupted one gives.
    """
    torch.manual_seed(seed)  # the initial weights: modules of torch take no generator
    network = UNet(channels=images.shape[1], widths=widths).to(images.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    ema, factor = Ema(network, decay), warmup_cosine(steps, warmup)
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
            schedule=lambda step: factor(first + step),  # noqa: B023
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
