"""Positives that have nothing in common but their device: what a network makes of batch norm's statistics."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked.selfsup.batch_norm import across_devices, on_devices
from worked.selfsup.encoder import encoder
from worked.training import fit

MODES = ("own", "global", "shuffled")


def half_white(n: int, rng: torch.Generator, size: int = 12) -> Float[Tensor, "n 3 size size"]:
    """n independent pictures: the left half in one random colour, the right half white."""
    images = torch.ones(n, 3, size, size)
    images[..., : size // 2] = torch.rand(n, 3, 1, 1, generator=rng)
    return images


def neighbour(n: int, devices: int) -> Int[Tensor, " n"]:
    """The "positive" of each of n images: the next on its device, the last one's being the first.

    Known value: n = 4 on 2 devices gives 1, 0, 3, 2. Raises ValueError unless every device has two images
    or more.
    """
    each = n // devices
    if n % devices or each < 2:
        raise ValueError(f"need two images or more on each of {devices} devices, evenly; got n={n}")
    i = torch.arange(n)
    return i // each * each + (i % each + 1) % each


def guess(
    query: Float[Tensor, "n d"], key: Float[Tensor, "n d"], target: Int[Tensor, " n"], tau: float
) -> Float[Tensor, ""]:
    """InfoNCE in nats: which key is the target of query i, among all but key i. Collapsed: log(n - 1)."""
    s = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / tau  # (n, n)
    return F.cross_entropy(s.fill_diagonal_(-torch.inf), target.to(s.device))


def leak(
    mode: str,
    *,
    seed: int,
    devices: int = 8,
    each: int = 4,
    steps: int = 350,
    lr: float = 5e-3,
    tau: float = 0.2,
) -> list[float]:
    """The loss of every step in learning which image is next on the device; new images every step.

    mode "own": each device uses its own statistics. "global": those of all images. "shuffled": own ones,
    but keys are encoded in a random order and put back. The images are independent, so nothing in them
    tells what belongs together.

    Known value: log(devices * each - 1) is what knowing nothing costs, log(each - 1) what knowing the
    device costs.
    Raises ValueError on another mode. Taught in: selfsup/contrastive, obs-leak.
    """
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)}; got {mode!r}")
    n, rng = devices * each, torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        plain = encoder(width=8, features=32)
    network: nn.Module = on_devices(plain, 1 if mode == "global" else devices)
    target = neighbour(n, devices)

    def objective(images: Tensor) -> Tensor:
        query = key = network(images)
        if mode == "shuffled":
            order, back = across_devices(n, devices, rng)
            key = network(images[order])[back]
        return guess(query, key, target, tau)

    batches = (half_white(n, rng) for _ in range(steps))
    return fit(objective, batches, torch.optim.Adam(network.parameters(), lr), steps=steps).loss
