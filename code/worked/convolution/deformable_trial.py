"""A network of four layers, of which the last 0, 1, 2, ... are deformable, trained and judged."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from worked.convolution.deformable import DeformableConv, deformable_conv
from worked.metrics import accuracy
from worked.training import fit, warmup_cosine

LAYERS, POOLED = 4, (0, 2)  # 2 x 2 average pooling after these
BATCH, RATE = 32, 0.02


class DeformableNet(nn.Module):
    """Four convolutions, each with batch norm and max(0, .), two with pooling; their mean; a linear map.

    The last `deformable` layers are DeformableConv. Kernels are 3 x 3; those of the last `changed` layers
    (None: of the deformable ones) are kernel x kernel, deformable or not. Average pooling halves a map
    without favouring a corner, so that a picture turned by 90 degrees has maps turned by 90 degrees, if its
    size is a multiple of 4.

    `net(x, linear=A)` overrules all offsets by those of `turned_offsets(A)`: what the ordinary network
    would do if somebody told it how the picture was turned; for 3 x 3 kernels. `net(x, change=f)` reads at
    f(offsets) in place of the offsets that each branch found: f = torch.zeros_like takes them away.
    Raises ValueError unless 0 <= deformable <= 4.
    Taught in: convolution/deformable.
    """

    def __init__(
        self,
        c: int,
        classes: int,
        width: int,
        deformable: int,
        *,
        kernel: int = 3,
        changed: int | None = None,
        modulated: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        changed = deformable if changed is None else changed
        if not 0 <= deformable <= LAYERS:
            raise ValueError(f"0 to {LAYERS} layers can be deformable, got {deformable}")
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        for i in range(LAYERS):
            wide = c if i == 0 else width
            side = kernel if i >= LAYERS - changed else 3
            if i >= LAYERS - deformable:
                layer = DeformableConv(wide, width, side, modulated=modulated, generator=generator)
            else:
                layer = nn.Conv2d(wide, width, side, padding=side // 2)
                _draw(layer, (2 / (side**2 * wide)) ** 0.5, generator)
            self.layers.append(layer)
            self.norms.append(nn.BatchNorm2d(width))
        self.head = nn.Linear(width, classes)
        _draw(self.head, width**-0.5, generator)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        linear: Float[Tensor, "b 2 2"] | None = None,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "b k"]:
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            if linear is not None:
                offsets = turned_offsets(linear)[:, :, None, None].expand(-1, -1, *x.shape[2:])
                x = deformable_conv(x, offsets, layer.weight, layer.bias, padding=1)
            elif change is not None and isinstance(layer, DeformableConv):
                offsets, mask = layer.branch(x)
                x = deformable_conv(x, change(offsets), layer.weight, layer.bias, mask=mask, **layer.place)
            else:
                x = layer(x)
            x = F.relu(norm(x))
            if i in POOLED:
                x = F.avg_pool2d(x, 2)
        return self.head(x.mean((2, 3)))


def turned_offsets(linear: Float[Tensor, "b 2 2"]) -> Float[Tensor, "b 18"]:
    r"""Offsets (A - I) n of the nine taps n = (y, x) of a 3 x 3 kernel, for A = linear, in the layer's order.

    Known value: A = 2 I gives the first tap, (-1, -1), the offset (-1, -1): it reads at (-2, -2).
    """
    steps = torch.tensor([-1.0, 0.0, 1.0], dtype=linear.dtype, device=linear.device)
    taps = torch.cartesian_prod(steps, steps)  # (9, 2)
    return (taps @ linear.mT - taps).flatten(1)


def parameters(net: nn.Module) -> int:
    """How many numbers the network learns. Known value: nn.Linear(2, 3) has 9."""
    return sum(p.numel() for p in net.parameters())


def equal_width(c: int, classes: int, budget: int, deformable: int, **options) -> int:
    """The width at which the network comes nearest to a budget of parameters."""
    return min(
        range(2, 65),
        key=lambda w: abs(parameters(DeformableNet(c, classes, w, deformable, **options)) - budget),
    )


@dataclass(frozen=True)
class Trial:
    """A trained network in eval mode, the seconds it took, and (loss, accuracy) for each set of pictures."""

    net: DeformableNet
    seconds: float
    scores: dict[str, tuple[float, float]]


def score(
    net: nn.Module, images: Float[Tensor, "n c h w"], labels: Int64[Tensor, " n"], **options
) -> tuple[float, float]:
    """Mean cross-entropy in nats, and accuracy, of a network in eval mode."""
    with torch.no_grad():
        logits = torch.cat([net(part - 0.5, **options) for part in images.split(1000)])
    return F.cross_entropy(logits, labels).item(), accuracy(logits, labels)


def resettled(net: DeformableNet, images: Float[Tensor, "n c h w"], **options) -> DeformableNet:
    """A copy in eval mode whose batch norms hold the statistics of these pictures; weights stay.

    Known value: on the whole training batch, each norm's mean is that of its input there.
    """
    net = copy.deepcopy(net)
    for norm in net.norms:
        norm.reset_running_stats()
        norm.momentum = 1.0  # the new statistics replace the old ones
    net.train()
    with torch.no_grad():
        net(images - 0.5, **options)
    return net.eval()


def run(
    net: DeformableNet,
    train: tuple[Tensor, Tensor],
    tests: dict[str, tuple[Tensor, Tensor]],
    *,
    steps: int,
    generator: torch.Generator,
    batch: int = BATCH,
) -> Trial:
    """Train by Adam on batches drawn with replacement; judge on the training set and each test set."""
    images, labels = train

    def batches():
        while True:
            which = torch.randint(len(images), (batch,), generator=generator).to(images.device)
            yield images[which] - 0.5, labels[which]

    optimizer = torch.optim.Adam(net.parameters(), RATE)
    start = time.perf_counter()
    net.train()
    fit(
        lambda pair: F.cross_entropy(net(pair[0]), pair[1]),
        batches(),
        optimizer,
        steps=steps,
        schedule=warmup_cosine(steps, warmup=steps // 10),
    )
    seconds = time.perf_counter() - start
    net.eval()
    return Trial(net, seconds, {name: score(net, *part) for name, part in {"train": train, **tests}.items()})


def _draw(layer: nn.Conv2d | nn.Linear, spread: float, generator: torch.Generator | None) -> None:
    with torch.no_grad():
        layer.weight.copy_(spread * torch.randn(layer.weight.shape, generator=generator))
        layer.bias.zero_()
