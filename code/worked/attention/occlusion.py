"""What a network's score loses when a patch is painted over: a map that asks the network itself."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def paint(
    images: Float[Tensor, "b c h w"], chosen: Bool[Tensor, "b p"], fill: Float[Tensor, "b c _ _"]
) -> Float[Tensor, "b c h w"]:
    """The pictures with the chosen of their square patches (row by row) replaced by those of ``fill``.

    fill: pictures of the same size, or 1 x 1 for one colour each.
    Known value: nothing chosen changes nothing.
    Raises ValueError if p squares do not fill the picture.
    """
    h, w = images.shape[2:]
    side = round((h * w / chosen.shape[1]) ** 0.5)
    if h % side or w % side or (h // side) * (w // side) != chosen.shape[1]:
        raise ValueError(f"{chosen.shape[1]} squares do not fill a picture of {h} x {w}")
    where = chosen.unflatten(1, (h // side, w // side))
    where = where.repeat_interleave(side, 1).repeat_interleave(side, 2)  # (b, h, w)
    return torch.where(where[:, None], fill, images)


@torch.no_grad()
def occlusion(
    score: Callable[[Float[Tensor, "b c h w"]], Float[Tensor, " b"]],
    images: Float[Tensor, "b c h w"],
    patches: int,
    fill: Float[Tensor, "b c _ _"],
) -> Float[Tensor, "b p"]:
    r"""How much each picture's score falls when one patch is painted over; negative where it rises.

    .. math:: m_p = s(x) - s(x \text{ with patch } p \text{ replaced by the fill})

    score: called with all pictures at once, the same patch painted in each, p + 1 times in all.

    Known value: a score that is a sum of g_p(patch p) falls by g_p(patch p) - g_p(fill).
    Raises ValueError if so many squares do not fill the picture.
    Source: Zeiler & Fergus 2014, arXiv:1311.2901 (there with a grey square). Taught in: attention/vit.
    """
    whole, fall = score(images), []
    for p in range(patches):
        chosen = (torch.arange(patches, device=images.device) == p).expand(len(images), -1)
        fall.append(whole - score(paint(images, chosen, fill)))
    return torch.stack(fall, dim=1)


def strongest(weights: Float[Tensor, "b p"], count: int) -> Bool[Tensor, "b p"]:
    """The ``count`` patches of largest weight in every row; of equal ones the first.

    Known value: (3, 1, 2) and count 2 choose the first and the last.
    Raises ValueError unless 1 <= count <= p.
    """
    if not 1 <= count <= weights.shape[1]:
        raise ValueError(f"need 1 <= count <= {weights.shape[1]}, got {count}")
    order: Int[Tensor, "b p"] = weights.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(weights, dtype=torch.bool).scatter(1, order[:, :count], True)
