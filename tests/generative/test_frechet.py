import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from worked.generative.frechet import frechet_distance, moments

F64 = torch.float64


def random_gaussian(d, rng, rank=None):
    root = torch.randn(d, rank or d, generator=rng, dtype=F64)
    return torch.randn(d, generator=rng, dtype=F64), root @ root.T / d


def slow_distance(mean1, cov1, mean2, cov2):
    """The formula as it is usually written: the root of the product, which is not symmetric."""
    from scipy.linalg import sqrtm

    root = np.real(sqrtm((cov1 @ cov2).numpy()))
    return float((mean1 - mean2) @ (mean1 - mean2) + torch.trace(cov1 + cov2) - 2 * np.trace(root))


@pytest.mark.parametrize("d", [1, 3, 20])
def test_equals_the_formula_with_the_root_of_the_product(d, rng):
    one, two = random_gaussian(d, rng), random_gaussian(d, rng)
    assert_close(frechet_distance(*one, *two).item(), slow_distance(*one, *two), rtol=1e-7, atol=1e-7)


def test_hand_value():
    def g(mean, variance):
        return torch.tensor([mean], dtype=F64), torch.tensor([[variance]], dtype=F64)

    assert_close(frechet_distance(*g(0.0, 1.0), *g(3.0, 4.0)).item(), 10.0)


def test_diagonal_covariances_differ_by_their_roots(rng):
    a, b = torch.rand(2, 6, generator=rng, dtype=F64)
    zero = torch.zeros(6, dtype=F64)
    want = (a.sqrt() - b.sqrt()).square().sum()
    assert_close(frechet_distance(zero, a.diag(), zero, b.diag()), want, rtol=1e-9, atol=1e-12)


def test_a_distance_to_itself_symmetry_and_turning(rng):
    one, two = random_gaussian(5, rng), random_gaussian(5, rng)
    assert abs(frechet_distance(*one, *one).item()) < 1e-10
    assert_close(frechet_distance(*one, *two), frechet_distance(*two, *one), rtol=1e-9, atol=0)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=rng, dtype=F64))[0]

    def turned(mean, cov):
        return turn @ mean, turn @ cov @ turn.T

    assert_close(
        frechet_distance(*turned(*one), *turned(*two)), frechet_distance(*one, *two), rtol=1e-9, atol=0
    )


def test_singular_covariances(rng):
    """Fewer samples than features: rounding makes some eigenvalues slightly negative."""
    one, two = random_gaussian(12, rng, rank=3), random_gaussian(12, rng, rank=3)
    distance = frechet_distance(*one, *two)
    assert torch.isfinite(distance)
    assert distance > 0
    assert abs(frechet_distance(*one, *one)) < 1e-6  # roots of eigenvalues of about 1e-16


def test_moments_equal_numpy(rng):
    x = torch.randn(30, 4, generator=rng)
    mean, cov = moments(x)
    assert mean.dtype == cov.dtype == F64
    assert_close(mean.numpy(), x.double().numpy().mean(0), rtol=1e-12, atol=1e-12)
    assert_close(cov.numpy(), np.cov(x.double().numpy().T), rtol=1e-12, atol=1e-12)


def test_moving_the_features_adds_the_square(rng):
    x, v = torch.randn(50, 3, generator=rng, dtype=F64), torch.tensor([1.0, -2.0, 0.5], dtype=F64)
    assert_close(
        frechet_distance(*moments(x), *moments(x + v)).item(), v.square().sum().item(), rtol=1e-9, atol=1e-9
    )


def test_gradient(rng):
    x, y = torch.randn(2, 8, 3, generator=rng, dtype=F64)
    assert torch.autograd.gradcheck(lambda x: frechet_distance(*moments(x), *moments(y)), x.requires_grad_())


def test_equals_torchmetrics(rng):
    fid = pytest.importorskip("torchmetrics.image.fid")
    one, two = random_gaussian(6, rng), random_gaussian(6, rng)
    assert_close(frechet_distance(*one, *two), fid._compute_fid(*one, *two), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("wrong", ["root of the sum", "no root"])
def test_planted_errors_are_seen(wrong, rng):
    one, two = random_gaussian(4, rng), random_gaussian(4, rng)
    right = frechet_distance(*one, *two).item()
    product = torch.linalg.eigvals(one[1] @ two[1]).real
    overlap = product.sum().sqrt() if wrong == "root of the sum" else product.sum()
    planted = (one[0] - two[0]).square().sum() + (one[1] + two[1]).trace() - 2 * overlap
    assert abs(right - planted.item()) > 1e-2 * right


def test_rejects():
    eye = torch.eye(2, dtype=F64)
    zero = torch.zeros(2, dtype=F64)
    with pytest.raises(ValueError, match="n >= 2"):
        moments(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="symmetric"):
        frechet_distance(zero, eye, zero, torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=F64))
    with pytest.raises(ValueError, match="symmetric"):
        frechet_distance(zero, eye * math.nan, zero, eye)
    with pytest.raises(Exception, match="frechet_distance"):
        frechet_distance(zero, eye, torch.zeros(3, dtype=F64), torch.eye(3, dtype=F64))
