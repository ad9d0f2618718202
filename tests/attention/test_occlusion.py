import pytest
import torch
from torch.testing import assert_close
from worked.attention.occlusion import occlusion, paint, strongest

F64 = torch.float64


def test_paint_by_hand(rng):
    """The slow way: square by square."""
    images, fill = torch.rand(2, 2, 3, 4, 6, generator=rng, dtype=F64)
    chosen = torch.rand(2, 6, generator=rng) < 0.5
    want = images.clone()
    for b in range(2):
        for p in chosen[b].nonzero()[:, 0].tolist():
            top, left = 2 * (p // 3), 2 * (p % 3)
            want[b, :, top : top + 2, left : left + 2] = fill[b, :, top : top + 2, left : left + 2]
    assert_close(paint(images, chosen, fill), want, rtol=0, atol=0)
    one = fill.mean((2, 3), keepdim=True)
    assert_close(paint(images, torch.ones_like(chosen), one), one.expand_as(images), rtol=0, atol=0)
    assert_close(paint(images, torch.zeros_like(chosen), fill), images, rtol=0, atol=0)


def test_an_additive_score_falls_by_its_parts(rng):
    images, w = torch.rand(3, 1, 4, 4, generator=rng, dtype=F64), torch.rand(4, 4, generator=rng, dtype=F64)
    fall = occlusion(lambda x: (x * w).sum((1, 2, 3)), images, 4, torch.full((3, 1, 1, 1), 0.5, dtype=F64))
    parts = ((images - 0.5) * w)[:, 0].unflatten(1, (2, 2)).unflatten(3, (2, 2)).sum((2, 4)).flatten(1)
    assert_close(fall, parts, rtol=1e-12, atol=1e-12)


def test_leaves_pictures_and_gradients_alone(rng):
    images = torch.rand(2, 1, 4, 4, generator=rng, requires_grad=True)
    before = images.detach().clone()
    fall = occlusion(lambda x: x.sum((1, 2, 3)), images, 4, torch.zeros(2, 1, 1, 1))
    assert not fall.requires_grad
    assert images.grad is None
    assert torch.equal(images, before)


def test_strongest():
    got = strongest(torch.tensor([[3.0, 1.0, 2.0], [5.0, 5.0, 5.0]]), 2)
    assert got.tolist() == [[True, False, True], [True, True, False]]


def test_rejection():
    with pytest.raises(ValueError, match="5 squares"):
        paint(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5, dtype=torch.bool), torch.zeros(1, 1, 1, 1))
    with pytest.raises(ValueError, match="count"):
        strongest(torch.zeros(1, 3), 4)
