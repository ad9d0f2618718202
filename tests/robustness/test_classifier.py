import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot
from torch.testing import assert_close
from worked.metrics import accuracy
from worked.robustness.classifier import Classifier, pictures, train


def test_pictures_are_pixels_and_split(rng):
    x, y = pictures(300, rng=rng)
    assert x.shape == (300, 1, 12, 12)
    assert 0 <= x.min() <= x.max() <= 1
    assert set(y.tolist()) == set(range(10))
    again, _ = pictures(300, rng=torch.Generator().manual_seed(0))
    assert_close(again, x, rtol=0, atol=0)
    other, _ = pictures(300, rng=torch.Generator().manual_seed(0), split="test")
    assert (other - x).abs().amax((1, 2, 3)).min() > 0.01  # the same places, and other digits


def test_ink_is_brighter_than_the_background(rng):
    x, _ = pictures(200, rng=rng)
    assert (x.amax((1, 2, 3)) >= 0.5).all()
    assert (x.amin((1, 2, 3)) <= 0.3).all()


def test_network_has_the_sizes_it_says(rng):
    assert sum(p.numel() for p in Classifier(8, rng=rng).parameters()) == 4_666
    a, b = (Classifier(4, rng=torch.Generator().manual_seed(1)).state_dict() for _ in range(2))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_shift_by_two_pixels_is_named_alike_where_nothing_is_cut(rng):
    model = Classifier(4, rng=rng)
    x = torch.zeros(5, 1, 24, 24)
    x[:, :, 8:14, 8:14] = torch.rand(5, 1, 6, 6, generator=rng)
    assert_close(model(x.roll((2, 2), (2, 3))), model(x), rtol=0, atol=1e-5)


def test_learns_what_raw_pixels_do_not_give(rng):
    x, y = pictures(2000, rng=rng)
    seen, named = pictures(500, rng=rng, split="test")
    model = train(Classifier(rng=rng), x, y, rng=rng, steps=200)
    with torch.no_grad():
        learnt = accuracy(model(seen), named)
    flat, targets = x.flatten(1), one_hot(y, 10).float()
    linear = torch.linalg.lstsq(torch.cat([flat, torch.ones(2000, 1)], 1), targets).solution
    assert not model.training
    assert learnt > accuracy(torch.cat([seen.flatten(1), torch.ones(500, 1)], 1) @ linear, named) + 0.2


def test_perturb_replaces_the_batch_and_sees_progress(rng):
    x, y = pictures(64, rng=rng)
    seen = []

    def perturb(model, x, y, progress):
        seen.append((progress, cross_entropy(model(x), y).item()))
        return torch.zeros_like(x)  # nothing to learn from

    model = train(Classifier(2, rng=rng), x, y, rng=rng, steps=4, perturb=perturb)
    assert [progress for progress, _ in seen] == [0, 0.25, 0.5, 0.75]
    assert model.layers[0].weight.isfinite().all()


@pytest.mark.usefixtures("unhooked")
def test_rejects(rng):
    x, y = pictures(4, rng=rng)
    with pytest.raises(ValueError, match="train or test; got 'all'"):
        pictures(4, rng=rng, split="all")
    with pytest.raises(ValueError, match="got 0"):
        pictures(0, rng=rng)
    with pytest.raises(ValueError, match="got 0"):
        Classifier(0, rng=rng)
    with pytest.raises(ValueError, match="4 pictures and 3 labels"):
        train(Classifier(1, rng=rng), x, y[:3], rng=rng, steps=1)
