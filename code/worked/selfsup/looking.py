"""Where a small network looks, on held-out scenes whose masks are known, and what it knows of them."""

import torch
from jaxtyping import Float
from torch import Tensor

from worked.attention.overlap import mass_on, overlap, patch_cover
from worked.attention.vit import ViT
from worked.data.scenes import Scenes, photograph_crops, scenes
from worked.selfsup.probe import knn_accuracy

PATCH, SEEDS = 4, (0, 1, 2)


def new_vit() -> ViT:
    """An untrained network of the size that is shipped: 32 x 32 pixels in 64 patches."""
    return ViT(size=32, patch=PATCH, width=64, depth=4, heads=4)


def objects(n: int, rng: torch.Generator) -> Scenes:
    """About n large upright objects on plain ground, to be cut out by their masks."""
    drawn = scenes(2 * n, rng=rng, size=32, background="plain", turn=False)
    keep = drawn.scale == 1
    return Scenes(*(getattr(drawn, name)[keep] for name in Scenes.__dataclass_fields__))


def held_out(n: int, seed: int = 1000) -> Scenes:
    """About n pictures for measuring: new objects, on halves of the photographs that training never sees."""
    rng = torch.Generator().manual_seed(seed)
    cut = objects(n, rng)
    walls = photograph_crops(len(cut), 32, rng=rng, half="right")
    images = torch.where(cut.masks[:, None], cut.images, walls)
    return Scenes(images, cut.masks, cut.shape, cut.colour, cut.scale, cut.place)


@torch.no_grad()
def look(
    vit: ViT, images: Float[Tensor, "n 3 h w"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n heads p"]]:
    """Features of the class token, and its attention to the patches in the last block; 250 a time."""
    features, seen = [], []
    for part in images.split(250):
        z, inside = vit(part)
        features.append(z)
        seen.append(inside["attention"][-1][:, :, 0, 1:])
    return torch.cat(features), torch.cat(seen)


def measure(vit: ViT, data: tuple[Scenes, Scenes]) -> dict[str, float]:
    """What a network is worth: k-NN on colour and shape, and how its attention lies on the object.

    mass: share of the attention, mean of heads, on the mask. lift: that share over the mask's share of the
    area; best_head, least_head: the same for single heads. iou: see `overlap`.
    """
    known, asked = data
    z, _ = look(vit, known.images)
    t, seen = look(vit, asked.images)
    cover = patch_cover(asked.masks, PATCH)
    area = cover.mean().item()
    heads = [mass_on(head, cover).mean().item() for head in seen.unbind(1)]
    mass = mass_on(seen.mean(1), cover).mean().item()
    return {
        "colour": knn_accuracy(z, known.colour, t, asked.colour, k=10),
        "shape": knn_accuracy(z, known.shape, t, asked.shape, k=10),
        "mass": mass,
        "lift": mass / area,
        "best_head": max(heads) / area,
        "least_head": min(heads) / area,
        "iou": overlap(seen.mean(1), cover).mean().item(),
    }


def baselines(data: tuple[Scenes, Scenes]) -> dict[str, dict[str, float]]:
    """The same measures for an untrained network (mean of the seeds), and k-NN on raw pixels."""
    found = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        found.append(measure(new_vit().eval(), data))
    known, asked = data
    pixels = [known.images.flatten(1), asked.images.flatten(1)]
    return {
        "untrained": {key: sum(f[key] for f in found) / len(found) for key in found[0]},
        "pixels": {
            name: knn_accuracy(pixels[0], getattr(known, name), pixels[1], getattr(asked, name), k=10)
            for name in ("colour", "shape")
        },
    }
