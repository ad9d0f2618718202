import math

import pytest
import torch
from torch.testing import assert_close
from worked.generative.frechet import frechet_distance, moments
from worked.generative.frechet_bias import (
    bias_coefficient,
    bias_coefficient_of_samples,
    extrapolate,
    sampled_distances,
)

F64 = torch.float64


def random_covariance(d, rng):
    root = torch.randn(d, 2 * d, generator=rng, dtype=F64)
    return root @ root.T / (2 * d)


def slow_bias(reference, features):
    """Half the mean second derivative of the distance by differences, over the rows, and tr Sigma."""
    mean = features.mean(0)
    zero, y = torch.zeros_like(mean), features - mean
    cov = y.T @ y / len(y)

    def distance(c):
        return frechet_distance(zero, reference, zero, c).item()

    h, total = 1e-3, cov.trace().item()
    for row in y:
        w = torch.outer(row, row) - cov
        total += (distance(cov + h * w) + distance(cov - h * w) - 2 * distance(cov)) / h**2 / 2 / len(y)
    return total


@pytest.mark.parametrize("d", [1, 3])
def test_equals_the_second_derivative_by_differences(d, rng):
    features = torch.randn(40, d, generator=rng, dtype=F64)
    reference = random_covariance(d, rng)
    got = bias_coefficient_of_samples(reference, features).item()
    assert_close(got, slow_bias(reference, features), rtol=1e-4, atol=0)


@pytest.mark.parametrize("d", [1, 2, 7])
def test_hand_value_isotropic(d):
    eye = torch.eye(d, dtype=F64)
    assert_close(bias_coefficient(3 * eye, 3 * eye).item(), 3 * d * (d + 5) / 4, rtol=1e-12, atol=0)


def test_hand_value_of_two_points():
    one, two = torch.ones(1, 1, dtype=F64), torch.tensor([[-1.0], [1.0]], dtype=F64)
    assert_close(bias_coefficient_of_samples(one, two).item(), 1.0, rtol=1e-12, atol=1e-12)


def test_one_dimension_against_the_exact_mean_of_a_standard_deviation():
    """E s = c4(n) for Gaussians: n standard normal numbers are 1/n + 2 - 2 c4 from N(0, 1), on average."""
    one = torch.ones(1, 1, dtype=F64)
    for n in (1000, 10_000):
        c4 = math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
        assert abs(n * (1 / n + 2 - 2 * c4) - bias_coefficient(one, one).item()) < 2 / n + 1e-6


def test_gaussian_samples_give_the_gaussian_coefficient(rng):
    cov, reference = random_covariance(3, rng), random_covariance(3, rng)
    x = torch.randn(100_000, 3, generator=rng, dtype=F64) @ torch.linalg.cholesky(cov).T
    got, want = bias_coefficient_of_samples(reference, x), bias_coefficient(reference, cov)
    assert abs(got / want - 1) < 0.03  # a variance of products, from 10^5 draws: some 1 % of standard error


def test_features_that_never_fire_change_nothing(rng):
    x, reference = torch.randn(30, 3, generator=rng, dtype=F64), random_covariance(3, rng)
    wide = torch.cat([x, torch.zeros(30, 2, dtype=F64)], 1)
    padded = torch.zeros(5, 5, dtype=F64)
    padded[:3, :3] = reference
    assert_close(bias_coefficient_of_samples(padded, wide), bias_coefficient_of_samples(reference, x))
    assert_close(bias_coefficient(padded, torch.cov(wide.T)), bias_coefficient(reference, torch.cov(x.T)))


def test_turning_changes_nothing(rng):
    x, reference = torch.randn(30, 4, generator=rng, dtype=F64), random_covariance(4, rng)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=rng, dtype=F64))[0]
    assert_close(
        bias_coefficient_of_samples(turn @ reference @ turn.T, x @ turn.T),
        bias_coefficient_of_samples(reference, x),
    )


def test_predicts_the_measured_bias(rng):
    """4,000 sets of 200 Gaussian samples in 2 dimensions; the next term is some d/n of the first."""
    n, sets, cov = 200, 4000, torch.diag(torch.tensor([1.0, 4.0], dtype=F64))
    zero, reference = torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64)
    draws = torch.randn(sets, n, 2, generator=rng, dtype=F64) * torch.tensor([1.0, 2.0], dtype=F64)
    found = torch.stack([frechet_distance(*moments(x), zero, reference) for x in draws[:1000]])
    true = frechet_distance(zero, cov, zero, reference)
    error = found.std() / math.sqrt(len(found))
    c = bias_coefficient(reference, cov)
    assert abs(found.mean() - true - c / n) < 4 * error + 2 / n * c / n
    assert c / n > 2 * error


def test_extrapolate_hand_value():
    sizes = [10, 20, 40]
    d = torch.tensor([[7.0, 6.0, 5.5], [1.0, 1.0, 1.0]], dtype=F64)
    limit, slope = extrapolate(sizes, d)
    assert_close(limit, torch.tensor([5.0, 1.0], dtype=F64))
    assert_close(slope, torch.tensor([20.0, 0.0], dtype=F64))


def test_extrapolate_equals_least_squares(rng):
    sizes, d = torch.tensor([50, 70, 200, 300]), torch.randn(4, generator=rng, dtype=F64)
    design = torch.stack([torch.ones(4, dtype=F64), 1 / sizes.double()], 1)
    want = torch.linalg.lstsq(design, d[:, None]).solution[:, 0]
    assert_close(torch.stack(extrapolate(sizes.tolist(), d)), want)


@pytest.mark.parametrize(("sizes", "k"), [([10], 1), ([10, 10], 2), ([10, 20], 3)])
def test_extrapolate_rejects(sizes, k):
    with pytest.raises(ValueError, match="two or more different sizes"):
        extrapolate(sizes, torch.ones(k, dtype=F64))


def test_sampled_distances(rng):
    x, reference = (
        torch.randn(40, 2, generator=rng, dtype=F64),
        (torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64)),
    )
    whole = frechet_distance(*reference, *moments(x))
    found = sampled_distances(x, reference, [10, 40], rng, again=False)
    assert_close(found[1], whole)
    assert found[0] != whole
    more = sampled_distances(x, reference, [80, 40], rng, again=True)
    assert more.shape == (2,)
    assert more[1] != whole  # some rows twice, some not at all
    with pytest.raises(ValueError, match=r"at most 40 rows, got sizes \[10, 41\]"):
        sampled_distances(x, reference, [10, 41], rng, again=False)


@pytest.mark.parametrize("wrong", ["no variance of the mean", "no diagonal term", "sum for product"])
def test_planted_errors_are_seen(wrong, rng):
    cov, reference = random_covariance(4, rng), random_covariance(4, rng)
    root = torch.linalg.cholesky(reference)
    s = torch.linalg.eigvalsh(root.T @ cov @ root).sqrt()
    pairs = (s[:, None] * s / (s[:, None] + s)).sum() / 2
    right = bias_coefficient(reference, cov)
    planted = {
        "no variance of the mean": pairs + s.sum() / 4,
        "no diagonal term": cov.trace() + pairs,
        "sum for product": cov.trace() + (s[:, None] + s).sum() / 2 + s.sum() / 4,
    }[wrong]
    assert_close(cov.trace() + pairs + s.sum() / 4, right)
    assert abs(planted / right - 1) > 0.03
