"""Flaws of known kind and size, to see what a distance between sets of pictures notices. Values in [0, 1]."""

import io

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

RESIZERS = ("antialiased", "bilinear", "nearest")


def speckled(
    images: Float[Tensor, "n c h w"], share: float, rng: torch.Generator
) -> Float[Tensor, "n c h w"]:
    """Each pixel inverted, x to 1 - x in all channels, with probability `share`.

    Known value: share 1 gives the negative. Raises ValueError unless 0 <= share <= 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies in [0, 1], got {share}")
    hit = torch.rand(len(images), 1, *images.shape[2:], generator=rng) < share
    return torch.where(hit.to(images.device), 1 - images, images)


def dulled(images: Float[Tensor, "n c h w"], k: int) -> Float[Tensor, "n c h w"]:
    """Each picture replaced by the mean of the k nearest to it, itself included: smooth, and less diverse.

    Known value: k = 1 changes nothing, k = n leaves the mean of all. Raises ValueError unless 1 <= k <= n.
    """
    if not 1 <= k <= len(images):
        raise ValueError(f"want 1 <= k <= {len(images)} pictures, got k={k}")
    rows = images.flatten(1)
    nearest = torch.cdist(rows, rows).topk(k, largest=False).indices  # (n, k)
    return images[nearest].mean(1)


def jpeg(images: Float[Tensor, "n c h w"], quality: int) -> Float[Tensor, "n c h w"]:
    """Each picture written as JPEG of this quality (1 to 100) by Pillow, and read again.

    Known value: a picture of one grey level comes back within one level of 255. Raises ValueError on another
    quality.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality lies in 1..100, got {quality}")
    levels = (images.clamp(0, 1) * 255).round().to(torch.uint8).movedim(1, -1).squeeze(-1).cpu().numpy()
    read = []
    for picture in levels:  # (h, w) if grey, else (h, w, 3)
        with io.BytesIO() as file:
            Image.fromarray(picture).save(file, format="JPEG", quality=quality)
            read.append(np.array(Image.open(file)))
    back = torch.from_numpy(np.stack(read)).reshape(len(images), *images.shape[2:], -1).movedim(-1, 1)
    return (back.to(images.dtype) / 255).to(images.device)


def resized(images: Float[Tensor, "n c h w"], side: int, how: str) -> Float[Tensor, "n c side side"]:
    """Pictures of side by side pixels: "antialiased" averages over what a new pixel covers (bilinear weights,
    stretched), "bilinear" mixes the four nearest pixels however far apart new ones are, "nearest" takes one.

    Known value: columns that alternate 0, 1 and are halved give 1/2 antialiased, inside. Raises ValueError on
    another `how`. Source: Parmar, Zhang & Zhu 2022, arXiv:2104.11222, sec. 3.
    """
    if how not in RESIZERS:
        raise ValueError(f"how is one of {', '.join(RESIZERS)}; got {how!r}")
    if how == "nearest":
        return F.interpolate(images, (side, side), mode="nearest")
    return F.interpolate(
        images, (side, side), mode="bilinear", align_corners=False, antialias=how == "antialiased"
    )
