import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from worked.convolution.triplet import plain_triplet_loss, sides, spread, triplet_loss

F64 = torch.float64
CLOSE = {"rtol": 1e-12, "atol": 1e-12}  # float64 sums of at most a hundred terms below a hundred
LOSSES = (triplet_loss, plain_triplet_loss)


def draw(rng, n=5, d=3, scale=1.0):
    return scale * torch.randn(3, n, d, generator=rng, dtype=F64)


def slow_loss(anchor, positive, negative, margin, power):
    """The papers' formula, triplet by triplet and coordinate by coordinate."""
    total = 0.0
    for a, p, q in zip(anchor.tolist(), positive.tolist(), negative.tolist(), strict=True):
        near = math.dist(a, p) ** power
        far = math.dist(a, q) ** power
        total += max(0.0, near - far + margin)
    return total / len(anchor)


@pytest.mark.parametrize(("loss", "power"), [(triplet_loss, 2), (plain_triplet_loss, 1)])
@pytest.mark.parametrize("margin", [0.1, 1.0, 5.0])
def test_equals_the_formula(loss, power, margin, rng):
    a, p, q = draw(rng, n=20)
    assert_close(loss(a, p, q, margin).item(), slow_loss(a, p, q, margin, power), **CLOSE)


def test_hand_values():
    a, p, q = (torch.tensor([row], dtype=F64) for row in ([0.0, 0.0], [1.0, 0.0], [0.0, 2.0]))
    near, far = sides(a, p, q)
    assert (near.item(), far.item()) == (1, 4)
    assert triplet_loss(a, p, q, 4.0).item() == 1
    assert plain_triplet_loss(a, p, q, 4.0).item() == 3
    assert triplet_loss(a, p, q, 3.0).item() == 0  # far enough to the dot
    assert triplet_loss(q, p, a, 4.0).item() == 5  # anchor and negative swapped: 5 - 4 + 4
    assert spread(torch.cat([a, q])).item() == 2


@pytest.mark.parametrize("loss", LOSSES)
def test_turned_and_moved_together_nothing_changes(loss, rng):
    triplet = draw(rng)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=F64)).Q
    assert_close(loss(*(triplet @ turn + 7), 0.8), loss(*triplet, 0.8), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_order_of_triplets_and_of_roles(loss, rng):
    a, p, q = draw(rng)
    order = torch.randperm(5, generator=rng)
    assert_close(loss(a[order], p[order], q[order], 2.0), loss(a, p, q, 2.0))
    assert abs(loss(a, p, q, 2.0) - loss(q, p, a, 2.0)) > 0.01  # the anchor is no negative
    assert abs(loss(a, p, q, 2.0) - loss(a, q, p, 2.0)) > 0.01


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient(loss, rng):
    triplet = draw(rng).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x[0], x[1], x[2], 1.0), triplet)


def test_gradient_by_hand(rng):
    a, p, q = draw(rng).unbind()
    near, far = sides(a, p, q)
    active = ((near - far + 1) > 0)[:, None]
    assert active.any()
    assert not active.all()
    want = [2 * active * step / len(a) for step in (q - p, p - a, a - q)]
    points = [x.clone().requires_grad_() for x in (a, p, q)]
    got = torch.autograd.grad(triplet_loss(*points, 1.0), points)
    for g, w in zip(got, want, strict=True):
        assert_close(g, w, **CLOSE)


@pytest.mark.parametrize("loss", LOSSES)
def test_collapse_costs_the_margin_and_has_no_gradient(loss):
    z = torch.full((3, 4, 2), 0.7, dtype=F64, requires_grad=True)
    value = loss(z[0], z[1], z[2], 0.4)
    assert value.item() == pytest.approx(0.4, abs=1e-15)
    assert (torch.autograd.grad(value, z)[0] == 0).all()


@given(
    n=st.integers(1, 8),
    d=st.integers(1, 9),
    margin=st.floats(0.01, 5),
    scale=st.sampled_from([0.1, 1.0, 10.0]),
    seed=st.integers(0, 999),
)
def test_agrees_with_torch(n, d, margin, scale, seed):
    """torch adds eps to each coordinate of a difference: two distances move by at most eps sqrt(d) each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = nn.TripletMarginLoss(margin=margin, eps=1e-6)
    a, p, q = draw(torch.Generator().manual_seed(seed), n, d, scale)
    x, y = ([part.clone().requires_grad_() for part in (a, p, q)] for _ in range(2))
    ours, want = plain_triplet_loss(*x, margin), theirs(*y)
    assert_close(ours, want, rtol=0, atol=2.1e-6 * math.sqrt(d))
    if min((near := (a - p).norm(dim=1)).min(), (a - q).norm(dim=1).min()) < 1e-2 * scale:
        return  # the direction of a short difference does change with eps
    if ((near - (a - q).norm(dim=1) + margin).abs() < 1e-5 * math.sqrt(d)).any():
        return  # at the hinge the two may fall on different sides
    for g, w in zip(torch.autograd.grad(ours, x), torch.autograd.grad(want, y), strict=True):
        assert_close(g, w, rtol=0, atol=1e-6 * math.sqrt(d) * 8 / (1e-2 * scale))


def test_squared_agrees_with_torch_given_squared_distances(rng):
    theirs = nn.TripletMarginWithDistanceLoss(
        distance_function=lambda x, y: (x - y).square().sum(1), margin=0.7
    )
    a, p, q = draw(rng, n=30)
    assert_close(triplet_loss(a, p, q, 0.7), theirs(a, p, q), **CLOSE)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan])
def test_rejects_a_margin_that_lets_collapse_win(loss, margin):
    with pytest.raises(ValueError, match=r"margin > 0.*got"):
        loss(*torch.ones(3, 2, 2), margin)


@pytest.mark.parametrize("loss", LOSSES)
def test_rejects_nothing(loss):
    with pytest.raises(ValueError, match="at least one triplet"):
        loss(*torch.ones(3, 0, 2), 1.0)


def test_shape_mismatch_is_caught_by_the_annotation():
    with pytest.raises(Exception, match="triplet_loss"):
        triplet_loss(torch.ones(4, 2), torch.ones(5, 2), torch.ones(4, 2), 1.0)
