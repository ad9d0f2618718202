import pytest
import torch
from torch.testing import assert_close
from worked.selfsup.multicrop import crop, multi_crop, random_boxes, random_views

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])


def test_boxes_lie_inside_and_have_the_area(rng):
    boxes = random_boxes(500, (0.2, 0.5), rng)
    left, top, width, height = boxes.T
    assert (boxes >= 0).all()
    assert torch.maximum(left + width, top + height).max() <= 1 + 1e-6
    area = width * height
    assert area.min() > 0.2 - 1e-6
    assert area.max() < 0.5 + 1e-6
    assert abs(area.mean().item() - 0.35) < 4 * 0.3 / 12**0.5 / 500**0.5  # four standard errors
    assert_close(random_boxes(3, (1.0, 1.0), rng, ratio=(1.0, 1.0)), WHOLE.expand(3, 4))


def test_the_whole_box_is_the_picture(rng):
    x = torch.rand(2, 3, 8, 8, generator=rng)
    assert_close(crop(x, WHOLE.expand(2, 4), 8), x, rtol=0, atol=1e-6)


def test_a_quarter_by_hand():
    """The upper right quarter of 4 x 4 pixels, at its own size: just those pixels."""
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    got = crop(x, torch.tensor([[0.5, 0.0, 0.5, 0.5]]), 2)
    assert_close(got[0, 0], torch.tensor([[2.0, 3.0], [6.0, 7.0]]), rtol=0, atol=1e-5)


def test_views(rng):
    x = torch.rand(8, 3, 32, 32, generator=rng)
    big, small = multi_crop(x, rng)
    assert big.shape == (2, 8, 3, 32, 32)
    assert small.shape == (4, 8, 3, 16, 16)
    assert multi_crop(x, rng, locals=0)[1].shape == (0, 8, 3, 16, 16)
    again = [multi_crop(x, torch.Generator().manual_seed(3))[0] for _ in range(2)]
    assert_close(again[0], again[1], rtol=0, atol=0)
    seen = random_views(x[None], rng, size=32, scale=(1.0, 1.0), change=lambda v, _: v)[0]
    assert seen.shape == x.shape


def test_change_is_applied(rng):
    x = torch.rand(2, 3, 8, 8, generator=rng)
    assert multi_crop(x, rng, size=8, small=4, change=lambda v, _: 0 * v)[0].eq(0).all()


def test_rejection(rng):
    with pytest.raises(ValueError, match="0 < scale"):
        random_boxes(1, (0.0, 1.0), rng)
    with pytest.raises(ValueError, match="boxes for 2 images"):
        crop(torch.zeros(2, 3, 4, 4), WHOLE, 4)
