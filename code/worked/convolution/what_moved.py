"""The recipe of the weights what-moved: one WhatMoved, trained on pairs from six photographs."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from worked import runs, weights
from worked.convolution.moved import wrap
from worked.convolution.moved_network import WhatMoved, decode, motion_loss
from worked.convolution.moved_pairs import TEST, TRAINING, Pairs, noisy, pairs, random_motion
from worked.training import warmup_cosine

NAME = "what-moved"
STEPS, BATCH, RATE, POOL = 2500, 32, 1.5e-3, 6144
NOISE = 0.05  # the most white noise in training


def symmetric(
    first: Tensor, second: Tensor, motion: Float[Tensor, "b 4"], quarters: int, mirror: bool
) -> tuple[Tensor, Tensor, Float[Tensor, "b 4"]]:
    """The same pairs, both pictures turned by quarters of a turn and perhaps mirrored, and what then moved.

    With Q the turn or mirror, Q T Q^-1 has the shift Q d and the same angle, negated under a mirror.
    Known value: a shift to the right, mirrored, is one to the left.
    """
    dx, dy, theta, zoom = motion.unbind(dim=1)
    if mirror:
        first, second, dx, theta = first.flip(2), second.flip(2), -dx, -theta
    for _ in range(quarters % 4):  # rot90 takes what is on the right to the top
        dx, dy = dy, -dx
    turn = [torch.rot90(x, quarters, dims=(1, 2)) for x in (first, second)]
    return turn[0], turn[1], torch.stack([dx, dy, theta, zoom], dim=1)


def batches(pool: Pairs, size: int, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Endless batches of the pool's pairs, each batch in one of eight symmetric positions, with noise."""
    while True:
        for index in torch.randperm(len(pool), generator=rng).split(size):
            position = int(torch.randint(8, (), generator=rng))
            drawn = pool.first[index], pool.second[index], pool.motion[index]
            first, second, motion = symmetric(*drawn, position % 4, position > 3)
            sigma = NOISE * torch.rand(len(index), generator=rng)
            yield noisy(first, sigma, rng), noisy(second, sigma, rng), motion


def errors(found: Float[Tensor, "n 4"], true: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3"]:
    """Distance of the shifts in pixels, error of the angle in degrees, of the scale as |log(s' / s)|.

    Known value: found = true gives zeros; an angle of 350 degrees is 20 from one of 10.
    """
    shift = (found[:, :2] - true[:, :2]).norm(dim=1)
    return torch.stack(
        [shift, wrap(found[:, 2] - true[:, 2]).abs().rad2deg(), (found[:, 3] - true[:, 3]).abs()], dim=1
    )


@torch.no_grad()
def predict(network: nn.Module, first: Tensor, second: Tensor, size: int = 64) -> Float[Tensor, "n 5"]:
    """The network's code for every pair, `size` pairs at a time."""
    return torch.cat([network(a, b) for a, b in zip(first.split(size), second.split(size), strict=True)])


def held_out(n: int, seed: int, names: tuple[str, ...] = TEST) -> Pairs:
    """n fresh pairs from photographs that no training saw, of motions in the range of training."""
    rng = torch.Generator().manual_seed(seed)
    return pairs(random_motion(n, rng), rng, names)


def train_network(
    *, steps: int = STEPS, batch: int = BATCH, pool: int = POOL, seed: int = 0, checkpoint: Path | None = None
) -> tuple[WhatMoved, float]:
    """The trained network and the seconds. With a checkpoint file the run goes on where it stopped."""
    torch.manual_seed(seed)  # the initial weights: modules of torch take no generator
    rng, started = torch.Generator().manual_seed(seed), time.perf_counter()
    with torch.no_grad():
        parts = [pairs(random_motion(min(256, pool), rng), rng, TRAINING) for _ in range(max(1, pool // 256))]
    stock = Pairs(
        *(torch.cat([getattr(p, key) for p in parts]) for key in ("first", "second", "motion")),
        sum((p.source for p in parts), ()),
    )
    network, factor = WhatMoved(), warmup_cosine(steps, min(50, steps - 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    first = 0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        first, started = state["step"], time.perf_counter() - state["seconds"]
    draw = batches(stock, batch, torch.Generator().manual_seed(seed + 1 + first))
    for step in tqdm(range(first, steps), initial=first, total=steps, desc=NAME, mininterval=10):
        for group in optimizer.param_groups:
            group["lr"] = RATE * factor(step)
        a, b, motion = next(draw)
        loss = motion_loss(network(a, b), motion)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if checkpoint is not None and (step + 1) % 250 == 0:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"step": step + 1, "seconds": time.perf_counter() - started}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            print(step + 1, f"loss {loss.item():.4f}", medians(network, held_out(128, 7)), flush=True)
    return network.eval().requires_grad_(False), time.perf_counter() - started


def medians(network: nn.Module, test: Pairs) -> dict[str, float]:
    """Median errors: pixels, degrees, per cent of scale."""
    found = errors(decode(predict(network, test.first, test.second)), test.motion).median(dim=0).values
    return {
        "shift_pixels": found[0].item(),
        "angle_degrees": found[1].item(),
        "scale_percent": 100 * math.expm1(found[2].item()),
    }


def load() -> WhatMoved:
    """The shipped network, in eval mode."""
    network = WhatMoved()
    network.load_state_dict({key: value.float() for key, value in weights.load(NAME).items()})
    return network.eval().requires_grad_(False)


def evaluate() -> dict[str, float]:
    """Median errors of the shipped network on 1,000 pairs of unseen photographs, printed."""
    found = medians(load(), held_out(1000, 4000))
    print(f"{NAME}: " + ", ".join(f"{key} {value:.3g}" for key, value in found.items()))
    return found


def train(checkpoint: Path | None = None) -> None:
    """Train, and write weights in half precision and the card, measured on what is written."""
    network, seconds = train_network(checkpoint=checkpoint)
    state = {key: value.half() for key, value in network.state_dict().items()}
    network.load_state_dict({key: value.float() for key, value in state.items()})
    card = {
        "what": "siamese features, their correlation, and a head that gives shift, cos, sin and log scale "
        "between two grey pictures of 64 x 64",
        "data": f"{POOL:,} pairs cut from {', '.join(TRAINING)}; measured on {', '.join(TEST)}",
        "command": f"python -m worked.weights train {NAME}",
        "seed": 0,
        "metrics": medians(network, held_out(1000, 4000)),
        "seconds": round(seconds),
        "licence": "MIT",
        **runs.provenance(),
    }
    weights.save(NAME, state, card)
