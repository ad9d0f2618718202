import math
import warnings

import pytest
import torch
from torch.testing import assert_close
from worked.convolution.thin_structures import dice, distance_to_curve, thin_structures


def slow_distance(corners, size, points=4000):
    """To the nearest of very many points of the curve itself."""
    (ax, ay), (bx, by), (cx, cy) = corners.tolist()
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    x = (1 - t) ** 2 * ax + 2 * t * (1 - t) * bx + t**2 * cx
    y = (1 - t) ** 2 * ay + 2 * t * (1 - t) * by + t**2 * cy
    return torch.tensor(
        [[((x - j) ** 2 + (y - i) ** 2).min().sqrt().item() for j in range(size)] for i in range(size)]
    )


def test_distance_equals_that_to_many_points(rng):
    corners = 16 * torch.rand(3, 3, 2, generator=rng)
    want = torch.stack([slow_distance(c, 16) for c in corners])
    # a chord of a parabola over 1/m of its parameter strays by at most |a - 2b + c| / (4 m^2)
    second = (corners[:, 0] - 2 * corners[:, 1] + corners[:, 2]).norm(dim=-1).max().item()
    assert_close(distance_to_curve(corners, 16), want, rtol=0, atol=second / (4 * 16**2) + 0.01)


def test_distance_by_hand():
    straight = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]]])
    distance = distance_to_curve(straight, 6)[0]
    assert distance[3, 2] == 3  # row 3, column 2
    assert distance[0, 5] == 1
    assert distance[3, 5].item() == pytest.approx(math.sqrt(10))


@pytest.mark.parametrize("width", [1.0, 3.0])
def test_masks_are_as_wide_as_they_say(width, rng):
    images, masks = thin_structures(64, rng=rng, widths=(width, width), curves=1, discs=0, noise=0.0)
    assert images.shape == (64, 1, 32, 32)
    # a line crosses every row or every column; there it takes width / cos(slope) pixels, at least about width
    most = torch.maximum(masks.any(1).sum(1), masks.any(2).sum(1))
    assert (most == 32).double().mean() > 0.9
    crossings = torch.minimum(
        masks.sum((1, 2)) / masks.any(1).sum(1), masks.sum((1, 2)) / masks.any(2).sum(1)
    )
    assert crossings.median().item() == pytest.approx(width, rel=0.35)


def test_discs_are_as_bright_and_not_in_the_mask():
    """The same curves with and without discs: discs change pixels outside the mask, and none within."""
    images, masks = thin_structures(16, rng=torch.Generator().manual_seed(0), discs=9, noise=0.0)
    assert 0.02 < masks.double().mean() < 0.5
    lit = (
        images[:, 0] - thin_structures(16, rng=torch.Generator().manual_seed(0), discs=9, noise=0.0)[0][:, 0]
    )
    assert not lit.any()  # the same seed, the same picture
    assert images.min() >= 0.1
    assert images.max() <= 1.1
    bright = images[:, 0] > images[:, 0][masks].quantile(0.25)
    assert (bright & ~masks).sum() > 0.5 * masks.sum()  # brightness alone does not give the mask away


def test_dice(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchmetrics = pytest.importorskip("torchmetrics")
    a, b = (torch.tensor(x) for x in ([True, True, False], [False, True, True]))
    assert dice(a, b) == 0.5
    assert dice(a, a) == 1
    assert dice(a, ~a) == 0
    a, b = (torch.rand(2, 4, 9, 9, generator=rng) < 0.3).unbind(0)
    f1 = torchmetrics.F1Score(task="binary")  # the same number by another name
    assert dice(a, b) == pytest.approx(f1(a.flatten().int(), b.flatten().int()).item(), abs=1e-6)
    assert dice(a, b) == dice(b, a)
    with pytest.raises(ValueError, match="empty"):
        dice(torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool))


def test_rejects(rng):
    for options in ({"size": 15}, {"widths": (0.0, 1.0)}, {"widths": (3.0, 2.0)}):
        with pytest.raises(ValueError, match="size >= 16"):
            thin_structures(1, rng=rng, **options)
    with pytest.raises(ValueError, match="n=0"):
        thin_structures(0, rng=rng)


def test_planted_errors_are_seen(rng):
    """Intersection over union, and accuracy, for the Dice coefficient."""
    a, b = torch.tensor([True, True, False]), torch.tensor([False, True, True])
    assert (a & b).sum() / (a | b).sum() != dice(a, b)
    assert (a == b).double().mean() != dice(a, b)
