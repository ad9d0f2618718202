import pytest
import torch
from robustness.models import network
from torch import nn
from torch.testing import assert_close
from worked.robustness.attack import cross_entropy, margin_loss, pgd
from worked.robustness.ball import length
from worked.robustness.gradient_free import square_search
from worked.robustness.masking import (
    Quantised,
    Saturated,
    accuracy_of,
    alarms,
    flat_share,
    right_so_far,
    still_right,
    surviving,
    under_attack,
)


class Sure(nn.Module):
    """Always the first of three."""

    def forward(self, x):
        return x.flatten(1).sum(1, keepdim=True) * 0 + torch.tensor([1.0, 0, 0])


class Leaning(nn.Module):
    """Logits (0, mean of the pixels - 0.5), in float32: wrong for label 0 once the mean passes one half."""

    def forward(self, x):
        mean = x.flatten(1).mean(1)
        return torch.stack([torch.zeros_like(mean), mean - 0.5], 1)


def test_masks_answer_alike_where_they_should(rng):
    model, x = network(rng, 1, 6), torch.rand(4, 1, 6, 6, generator=rng, dtype=torch.float64)
    assert_close(Saturated(model, 50.0)(x).argmax(1), model(x).argmax(1))
    assert_close(Quantised(model, 3)(x), model((2 * x).round() / 2))
    y = model(x).argmax(1)
    assert flat_share(model, x, y) == 0
    assert flat_share(Quantised(model, 3), x, y) == 1
    assert flat_share(Saturated(model, 1e5), x, y) == 1


def test_square_search_finds_what_a_gradient_would_and_stays_in_the_budget(rng):
    x, y = torch.full((3, 1, 8, 8), 0.45), torch.tensor([0, 0, 0])
    z = square_search(Leaning(), x, y, epsilon=0.1, queries=150, rng=rng)
    assert (length(z - x, "linf") <= 0.1 + 1e-6).all()
    assert (margin_loss(Leaning()(z), y) > 0).all()
    assert_close(square_search(Leaning(), x, y, epsilon=0.1, queries=0, rng=rng), x)


@pytest.mark.parametrize("mask", [lambda m: Quantised(m, 2), lambda m: Saturated(m, 1e6)])
def test_square_search_is_not_misled(mask, rng):
    x, y = 0.1 + 0.35 * torch.rand(40, 1, 8, 8, generator=rng), torch.zeros(40).long()
    model = mask(Leaning())
    z = square_search(model, x, y, epsilon=0.3, queries=100, rng=rng)
    assert accuracy_of(model, x, y) == 1
    assert accuracy_of(model, z, y) <= 0.1
    assert (margin_loss(model(z), y) >= margin_loss(model(x), y)).all()


def test_surviving_is_the_worst_of_all_tries():
    tries = [torch.eye(3), torch.eye(3).flip(0)]
    assert surviving(nn.Identity(), tries[:1], torch.arange(3)) == 1
    assert surviving(nn.Identity(), tries, torch.arange(3)) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="got none"):
        surviving(nn.Identity(), [], torch.arange(3))


def test_a_mask_raises_alarms_and_an_honest_model_none(rng):
    x, y = 0.35 + 0.2 * torch.rand(60, 1, 8, 8, generator=rng), torch.zeros(60).long()
    for model, want in (
        (Leaning(), []),
        (Quantised(Leaning(), 2), ["transfer", "square", "everything", "flat"]),
        (Saturated(Leaning(), 1e6), ["transfer", "square", "everything", "flat"]),
    ):
        left = under_attack(model, x, y, epsilon=0.1, surrogate=Leaning(), rng=rng, steps=4, queries=60)
        raised = alarms(left, flat_share(model, x, y))
        assert raised == want or set(want) <= set(raised), (type(model).__name__, left, raised)
        assert left["clean"] >= left["pgd"] >= left["all"]
        assert left["all"] <= min(left[name] for name in ("margin", "restarts", "transfer", "square"))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_right_so_far_counts_every_point_on_the_way(norm, rng):
    model, x = network(rng, 1, 6), torch.rand(8, 1, 6, 6, generator=rng, dtype=torch.float64)
    y, walk = model(x).argmax(1), {"epsilon": 0.3, "step": 0.1, "norm": norm}
    for loss in (cross_entropy, margin_loss):
        right = right_so_far(model, x, y, steps=5, loss=loss, **walk)
        want, still = [], torch.ones(8, dtype=torch.bool)
        for k in range(6):
            z = pgd(model, x, y, steps=k, keep="last", loss=loss, **walk) if k else x
            still = still & (model(z).argmax(1) == y)
            want.append(still)
        assert torch.equal(right, torch.stack(want))
    best = pgd(model, x, y, steps=5, loss=margin_loss, **walk)  # the largest margin: misnamed if any is
    assert torch.equal(right[-1], model(best).argmax(1) == y)
    assert right[0].all()
    assert not right[-1].all()


def test_right_so_far_keeps_a_miss_that_the_largest_loss_forgets():
    class Table(nn.Module):
        """Probabilities (0.9, 0.1, 0) at 0, (0.45, 0.55, 0) at 0.5, (0.34, 0.33, 0.33) at 1."""

        def forward(self, x):
            points = torch.tensor([[0.9, 0.1, 1e-9], [0.45, 0.55, 1e-9], [0.34, 0.33, 0.33]])
            low = (2 * x).floor().clamp(0, 1).long()[:, 0]
            return torch.lerp(points[low], points[low + 1], 2 * x - low[:, None]).log()

    x, y, walk = torch.zeros(1, 1), torch.tensor([0]), {"epsilon": 1.0, "step": 0.5, "steps": 2}
    assert accuracy_of(Table(), pgd(Table(), x, y, **walk), y) == 1
    assert right_so_far(Table(), x, y, **walk).tolist() == [[True], [False], [False]]


def test_still_right_is_the_worst_of_all_aims(rng):
    model, x = network(rng, 1, 6), torch.rand(20, 1, 6, 6, generator=rng, dtype=torch.float64)
    y, walk = model(x).argmax(1), {"epsilon": 0.15, "step": 0.05, "steps": 4}
    want = [right_so_far(model, x, y, loss=loss, **walk)[-1] for loss in (cross_entropy, margin_loss)]
    for shift in (1, 2, 3):
        aim = (y + shift) % 4

        def toward(logits, named, aim=aim):
            return (logits.gather(1, aim[:, None]) - logits.gather(1, named[:, None]))[:, 0]

        want.append(right_so_far(model, x, y, loss=toward, **walk)[-1])
    right = still_right(model, x, y, **walk)
    assert torch.equal(right, torch.stack(want).all(0))
    assert 0 < right.sum() < want[0].sum()
    assert still_right(Sure(), x.float(), torch.zeros(20).long(), **walk).all()


def test_alarms_one_by_one():
    good = {"clean": 0.9, "everything": 0.0} | dict.fromkeys(
        ("fgsm", "pgd", "margin", "restarts", "transfer", "square"), 0.5
    )
    assert alarms(good, 0.0) == []
    assert alarms({**good, "margin": 0.1, "restarts": 0.1}, 0.0) == []  # stronger attacks, no sign of a mask
    for name in ("fgsm", "transfer", "square"):
        assert alarms({**good, name: 0.4}, 0.0) == [name]
        assert alarms({**good, name: 0.6}, 0.0) == []
    assert alarms({**good, "everything": 0.3}, 0.0) == ["everything"]
    assert alarms(good, 0.3) == ["flat"]
    with pytest.raises(ValueError, match="got 2"):
        alarms(good, 0.0, slack=2.0)


def test_rejects(rng):
    with pytest.raises(ValueError, match="2 levels, got 1"):
        Quantised(Sure(), 1)
    with pytest.raises(ValueError, match="positive scale, got 0"):
        Saturated(Sure(), 0.0)
    x, y = torch.rand(1, 1, 4, 4, generator=rng), torch.tensor([0])
    with pytest.raises(ValueError, match="queries >= 0, got -1"):
        square_search(Sure(), x, y, epsilon=0.1, queries=-1, rng=rng)
