import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.generative.frechet import centred_rows, frechet_distance, frechet_from_features, moments, overlap

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


@pytest.mark.filterwarnings("ignore:.*samples of")
@given(n=st.integers(2, 30), m=st.integers(2, 30), d=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_rows_and_covariances_agree_in_every_shape(n, m, d, seed):
    """Few samples, many, or few against many; the roots of eigenvalues near 0 lose half the digits."""
    rng = torch.Generator().manual_seed(seed)
    x, y = torch.randn(n, d, generator=rng), 2 * torch.randn(m, d, generator=rng) + 1
    want = frechet_distance(*moments(x), *moments(y))
    scale = moments(x)[1].trace() + moments(y)[1].trace() + 1
    assert_close(frechet_from_features(x, y), want, rtol=0, atol=d * 1e-7 * scale.item())


@pytest.mark.filterwarnings("ignore:.*samples of")
@pytest.mark.parametrize(("n", "m", "d"), [(5, 4, 3), (5, 4, 40), (50, 4, 12)])
def test_from_features_equals_the_formula_with_the_root_of_the_product(n, m, d, rng):
    x, y = torch.randn(n, d, generator=rng, dtype=F64), torch.randn(m, d, generator=rng, dtype=F64)
    values = torch.linalg.eigvals(moments(x)[1] @ moments(y)[1])
    want = (moments(x)[0] - moments(y)[0]).square().sum() + moments(x)[1].trace() + moments(y)[1].trace()
    want = want - 2 * values.real.clamp(min=0).sqrt().sum()
    assert_close(frechet_from_features(x, y), want, rtol=0, atol=d * 1e-7 * (d + 1))


def test_from_features_hand_value():
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [7.0]])
    assert_close(frechet_from_features(x, y).item(), 18.0, rtol=1e-14, atol=0)


@pytest.mark.filterwarnings("ignore:.*samples of")
def test_rows_keep_all_digits_where_covariances_are_singular(rng):
    """A set against itself in another order: 0 up to rounding of the traces, and not to the root of it."""
    x = torch.randn(20, 50, generator=rng, dtype=F64)
    assert abs(frechet_from_features(x, x.flip(0))) < 1e-12 * moments(x)[1].trace()


def test_overlap_of_covariances_without_common_direction():
    one, two = (
        torch.diag(torch.tensor([2.0, 0.0], dtype=F64)),
        torch.diag(torch.tensor([0.0, 3.0], dtype=F64)),
    )
    assert overlap(one, two) == 0
    zero = torch.zeros(2, 2, dtype=F64)
    assert overlap(zero, zero) == 0
    assert overlap(one, zero) == 0


def test_moments_hand_value():
    mean, cov = moments(torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    assert mean.tolist() == [1, 1]
    assert_close(cov, torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=F64), rtol=1e-14, atol=1e-14)


def test_rows_hand_value():
    with pytest.warns(UserWarning, match="2 samples of 2 features"):
        mean, rows = centred_rows(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    assert mean.tolist() == [1, 0]
    assert rows.tolist() == [[-1, 0], [1, 0]]


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


def test_gradient_of_the_second_covariance_where_the_first_is_singular(rng):
    one, x = random_gaussian(4, rng, rank=2), torch.randn(9, 4, generator=rng, dtype=F64)
    assert torch.autograd.gradcheck(lambda x: frechet_distance(*one, *moments(x)), x.requires_grad_())


@pytest.mark.filterwarnings("ignore:.*samples of")
@pytest.mark.parametrize("n", [4, 8])
def test_gradient_from_features(n, rng):
    x, y = torch.randn(n, 5, generator=rng, dtype=F64), torch.randn(9, 5, generator=rng, dtype=F64)
    assert torch.autograd.gradcheck(lambda x: frechet_from_features(x, y), x.requires_grad_())


@pytest.fixture(scope="module")
def torchmetrics():
    """The library's module. Its import may warn of what PyTorch has deprecated since: not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchmetrics.image.fid")


@given(d=st.integers(1, 24), rank=st.integers(1, 24), seed=st.integers(0, 2**31))
def test_equals_torchmetrics(d, rank, seed, torchmetrics):
    rng = torch.Generator().manual_seed(seed)
    one, two = random_gaussian(d, rng, min(rank, d)), random_gaussian(d, rng)
    want = torchmetrics._compute_fid(*one, *two)
    assert_close(frechet_distance(*one, *two), want, rtol=1e-6, atol=d * 1e-6)


@pytest.mark.parametrize(("n", "m", "d"), [(30, 20, 5), (9, 40, 6), (12, 14, 1)])
def test_equals_the_metric_of_torchmetrics_on_features(n, m, d, rng, torchmetrics):
    """Their metric, given a network that hands its input on; float64 throughout."""

    class Same(torch.nn.Module):
        num_features = d

        def forward(self, x):
            return x

    x, y = torch.randn(n, d, generator=rng, dtype=F64) + 3, 2 * torch.randn(m, d, generator=rng, dtype=F64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = torchmetrics.FrechetInceptionDistance(feature=Same(), normalize=True).set_dtype(F64)
        metric.update(x, real=True)
        metric.update(y, real=False)
    assert_close(frechet_from_features(x, y), metric.compute().double(), rtol=1e-9, atol=1e-9)
    assert_close(frechet_distance(*moments(x), *moments(y)), metric.compute().double(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("wrong", ["root of the sum", "no root"])
def test_planted_errors_are_seen(wrong, rng):
    one, two = random_gaussian(4, rng), random_gaussian(4, rng)
    right = frechet_distance(*one, *two).item()
    product = torch.linalg.eigvals(one[1] @ two[1]).real
    overlap = product.sum().sqrt() if wrong == "root of the sum" else product.sum()
    planted = (one[0] - two[0]).square().sum() + (one[1] + two[1]).trace() - 2 * overlap
    assert abs(right - planted.item()) > 1e-2 * right


def test_covariance_divided_twice_is_seen(rng):
    x, y = torch.randn(40, 3, generator=rng, dtype=F64), 2 * torch.randn(30, 3, generator=rng, dtype=F64)
    (mean1, cov1), (mean2, cov2) = moments(x), moments(y)
    right, twice = frechet_from_features(x, y), frechet_distance(mean1, cov1 / 40, mean2, cov2 / 30)
    assert abs(right - twice) > 0.5 * right


def test_warns_where_the_covariance_must_be_singular(rng):
    few, many = torch.randn(5, 5, generator=rng), torch.randn(6, 5, generator=rng)
    with pytest.warns(UserWarning, match="5 samples of 5 features"):
        moments(few)
    with pytest.warns(UserWarning, match="5 samples of 5 features"):
        frechet_from_features(many, few)
    moments(many)  # a warning would be an error


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    eye, zero = torch.eye(2, dtype=F64), torch.zeros(2, dtype=F64)
    x, bad = torch.zeros(4, 2), torch.tensor([[0.0, 1.0], [math.nan, 1.0], [math.inf, 0.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match=r"n >= 2.*got n=1"):
        moments(torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"n >= 2.*got n=0"):
        frechet_from_features(torch.zeros(4, 3), torch.zeros(0, 3))
    with pytest.raises(ValueError, match="2 of 8 NaN or infinite in features"):
        moments(bad)
    with pytest.raises(ValueError, match="NaN or infinite"):
        frechet_from_features(x, bad)
    with pytest.raises(ValueError, match="one width, got 2 and 3"):
        frechet_from_features(x, torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"symmetric; this one is off by 0\.5"):
        frechet_distance(zero, eye, zero, torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=F64))
    with pytest.raises(ValueError, match="NaN or infinite in cov1"):
        frechet_distance(zero, eye * math.nan, zero, eye)
    with pytest.raises(ValueError, match="NaN or infinite in mean2"):
        frechet_distance(zero, eye, zero / 0, eye)
    with pytest.raises(ValueError, match=r"of one d, got \[\(2,\), \(2, 2\), \(3,\), \(3, 3\)\]"):
        frechet_distance(zero, eye, torch.zeros(3, dtype=F64), torch.eye(3, dtype=F64))
    for pair in ((eye, -eye), (-eye, eye), (eye, torch.diag(torch.tensor([1.0, -0.1], dtype=F64)))):
        with pytest.raises(ValueError, match="negative eigenvalue"):
            frechet_distance(zero, pair[0], zero, pair[1])
