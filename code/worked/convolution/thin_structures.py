"""Drawn pictures of curved lines of known width among discs of the same brightness, with their true masks."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32
from torch import Tensor

PIECES = 16  # straight pieces that a curve is drawn with


def distance_to_curve(
    corners: Float32[Tensor, "n 3 2"], size: int, pieces: int = PIECES
) -> Float32[Tensor, "n size size"]:
    """Distance, in pixels, of every pixel's centre to a quadratic Bezier curve with control points (x, y).

    Pixel (i, j) has its centre at x = j, y = i. The curve is drawn as so many straight pieces.
    Known value: control points (0, 0), (2, 0), (4, 0) put pixel (3, 2) at distance 3.
    """
    t = torch.linspace(0, 1, pieces + 1)[:, None, None]
    a, b, c = corners.unbind(1)  # (n, 2) each
    points = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c  # (pieces + 1, n, 2)
    i = torch.arange(size, dtype=torch.float32)
    pixels = torch.stack(torch.meshgrid(i, i, indexing="xy"), -1).reshape(
        1, -1, 2
    )  # (1, size^2, 2) as (x, y)
    nearest = torch.full((len(corners), size * size), torch.inf)
    for start, end in zip(points[:-1, :, None], points[1:, :, None], strict=True):  # (n, 1, 2)
        along = end - start
        s = ((pixels - start) * along).sum(-1) / along.square().sum(-1).clamp(min=1e-12)  # (n, size^2)
        foot = start + s.clamp(0, 1)[..., None] * along
        nearest = torch.minimum(nearest, (pixels - foot).square().sum(-1))
    return nearest.sqrt().reshape(len(corners), size, size)


def thin_structures(
    n: int,
    *,
    rng: torch.Generator,
    size: int = 32,
    widths: tuple[float, float] = (1.0, 5.0),
    curves: int = 2,
    discs: int = 2,
    noise: float = 0.08,
) -> tuple[Float32[Tensor, "n 1 size size"], Bool[Tensor, "n size size"]]:
    """n pictures around [0, 1] and their masks, True within half a width of a curve.

    Each picture has so many curves of one width, drawn uniformly between `widths` (in pixels), which cross
    it from one side to another, and so many discs of radius size/10 to size/6, as bright as the curves and
    under them. The ground varies smoothly, by as much as the curves stand out.

    Known value: widths (3, 3) and no discs: a straight curve covers 3 pixels of every row that it crosses
    upright. Raises ValueError if n < 1, size < 16, or widths are not positive and in order.
    """
    if n < 1 or size < 16 or not 0 < widths[0] <= widths[1]:
        raise ValueError(f"need n >= 1, size >= 16, 0 < widths in order; got {n=}, {size=}, {widths=}")

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=rng)

    side = (size - 1) * uniform(
        n, curves, 3, 2
    )  # where on its side an end lies; the middle point is anywhere
    ends = side.clone()
    turned = uniform(n, curves) < 0.5
    ends[:, :, 0, 0], ends[:, :, 2, 0] = 0.0, size - 1.0  # from left to right ...
    ends = torch.where(turned[..., None, None], ends.flip(-1), ends)  # ... or from top to bottom
    distance = distance_to_curve(ends.reshape(-1, 3, 2), size).reshape(n, curves, size, size).amin(1)
    width = widths[0] + (widths[1] - widths[0]) * uniform(n, 1, 1)
    i = torch.arange(size, dtype=torch.float32)
    centre, radius = size * uniform(n, discs, 2, 1, 1), size * (1 / 10 + uniform(n, discs, 1, 1) / 15)
    away = ((i[:, None] - centre[:, :, 0]) ** 2 + (i - centre[:, :, 1]) ** 2).sqrt()  # (n, discs, size, size)
    cover = (width / 2 + 0.5 - distance).clamp(0, 1)  # antialiased: half covered on the rim
    for k in range(discs):
        cover = torch.maximum(cover, (radius[:, k] + 0.5 - away[:, k]).clamp(0, 1))
    ground = F.interpolate(uniform(n, 1, 4, 4), size=(size, size), mode="bicubic", align_corners=True)
    contrast = 0.25 + 0.15 * uniform(n, 1, 1, 1)
    images = 0.2 + 0.35 * ground + contrast * cover[:, None]
    return images + noise * torch.randn(images.shape, generator=rng), distance < width / 2


def dice(found: Bool[Tensor, " *shape"], truth: Bool[Tensor, " *shape"]) -> float:
    r"""Dice coefficient of two masks, over all their pixels together: 1 if equal, 0 if disjoint.

    .. math:: \frac{2 |A \cap B|}{|A| + |B|}

    Known value: {1, 2} and {2, 3} give 1/2. Raises ValueError if both are empty.
    Source: Dice 1945, doi:10.2307/1932409.
    """
    both = int(found.sum()) + int(truth.sum())
    if both == 0:
        raise ValueError("the overlap of two empty masks is undefined")
    return 2 * int((found & truth).sum()) / both
