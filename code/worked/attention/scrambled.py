"""The trial of the scrambled face: two lessons, one way to teach, and the exam."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worked.data.faces import KINDS, faces
from worked.training import fit, warmup_cosine

LESSONS = {"replaced": ("replaced",), "all": ("replaced", "moved", "turned")}  # what is not a face


def centred(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Pictures less their own mean colour, in units of 0.12: what the networks are given.

    The mean does not depend on where a pixel stands. Known value: a picture of one colour becomes 0.
    """
    return (images - images.mean((2, 3), keepdim=True)) / 0.12


def lesson(
    name: str, n: int, *, rng: torch.Generator, size: int = 36
) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, " n"]]:
    """n pictures and their labels: one half faces (1), the other half (0) the kinds of this lesson alike.

    Known value: LESSONS["replaced"] has one kind, and in it every part that is left stands where it belongs.
    Raises ValueError on another lesson, or unless 6 divides n.
    """
    if name not in LESSONS or n < 6 or n % 6:
        raise ValueError(f"want a lesson of {tuple(LESSONS)} and n that 6 divides, got {name!r} and n={n}")
    others = LESSONS[name]
    parts = [("face", n // 2), *((kind, n // 2 // len(others)) for kind in others)]
    images = torch.cat([faces(many, kind=kind, rng=rng, size=size).images for kind, many in parts])
    return centred(images), torch.cat([torch.ones(n // 2), torch.zeros(n // 2)])


def taught(
    network: nn.Module,
    x: Float[Tensor, "n 3 h w"],
    y: Float[Tensor, " n"],
    *,
    rng: torch.Generator,
    steps: int,
    batch: int = 32,
    lr: float = 8e-3,
) -> list[float]:
    """Train network, whose first result are scores, by Adam on the cross-entropy in nats; the losses.

    The rate warms up over 20 steps and falls in half a cosine. Parameters without gradient stay as they are.
    """

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for rows in torch.randperm(len(x), generator=rng).to(x.device).split(batch)[: len(x) // batch]:
                yield x[rows], y[rows]

    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.98), fused=True)

    def loss(b: tuple[Tensor, Tensor]) -> Tensor:
        return F.binary_cross_entropy_with_logits(network(b[0])[0], b[1])

    return fit(loss, batches(), optimizer, steps=steps, schedule=warmup_cosine(steps, 20)).loss


def exam(n: int, *, rng: torch.Generator, size: int = 36) -> dict[str, Float[Tensor, "n 3 h w"]]:
    """n pictures of every kind, the same people in each. Known value: four entries, named as KINDS."""
    state = rng.get_state()
    out = {}
    for kind in KINDS:
        rng.set_state(state)
        out[kind] = centred(faces(n, kind=kind, rng=rng, size=size).images)
    return out
