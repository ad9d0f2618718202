import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.selfsup.koleo import koleo_loss, nearest

F64 = torch.float64


def slow_koleo(z):
    x, total = [row / row.norm() for row in z], 0.0
    for i, a in enumerate(x):
        total -= math.log(min((a - b).norm().item() for j, b in enumerate(x) if j != i))
    return total / len(x)


@pytest.mark.parametrize(("n", "d"), [(2, 3), (7, 2), (12, 5)])
def test_equals_the_formula(n, d, rng):
    z = torch.randn(n, d, generator=rng, dtype=F64)
    assert_close(
        koleo_loss(z).item(), slow_koleo(z), rtol=0, atol=1e-6
    )  # eps = 1e-8 against distances above 0.01


def test_hand_values():
    assert koleo_loss(torch.tensor([[2.0, 0.0], [-0.1, 0.0]])).item() == pytest.approx(-math.log(2))
    corners = torch.cat([torch.eye(2), -torch.eye(2)]).double()
    assert koleo_loss(corners).item() == pytest.approx(-math.log(2) / 2)  # the next corner is sqrt 2 away
    assert nearest(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])).tolist() == [2, 2, 0]


def test_length_and_rotation_change_nothing(rng):
    z = torch.randn(6, 3, generator=rng, dtype=F64)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=F64))[0]
    longer = (0.5 + torch.rand(6, 1, generator=rng, dtype=F64)) * z
    assert_close(koleo_loss(longer @ turn), koleo_loss(z), rtol=1e-12, atol=1e-12)


def test_gradient(rng):
    z = torch.randn(5, 3, generator=rng, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(koleo_loss, z)
    same = torch.ones(3, 2, dtype=F64, requires_grad=True)
    koleo_loss(same).backward()
    assert same.grad.eq(0).all()  # equal rows: no direction in which to part


@given(n=st.integers(2, 9), d=st.integers(2, 9), seed=st.integers(0, 99))
def test_equals_lightly(n, d, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightly.loss.koleo_loss import KoLeoLoss
    z = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=F64)
    ours, theirs = koleo_loss(z), KoLeoLoss()(z)
    # theirs adds eps = 1e-8 to every coordinate of the difference, ours only to the distance
    smallest = min((a / a.norm() - b / b.norm()).norm().item() for i, a in enumerate(z) for b in z[:i])
    assert_close(ours, theirs, rtol=0, atol=1e-7 / smallest)


def test_rejection():
    with pytest.raises(ValueError, match="n >= 2"):
        koleo_loss(torch.ones(1, 3))
    with pytest.raises(ValueError, match="zeros"):
        koleo_loss(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
