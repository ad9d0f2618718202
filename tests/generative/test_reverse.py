import math

import pytest
import torch
from torch.testing import assert_close
from worked.generative.reverse import Mixture, gap_to_gaussian, mean_gap, normal
from worked.generative.schedule import linear

F64 = torch.float64


def two(variance=0.04):
    return Mixture(torch.tensor([0.3, 0.7], dtype=F64), torch.tensor([-1.0, 1.0], dtype=F64), variance)


def slow_reverse(law, xt, beta, y):
    """Bayes' rule on a grid: prior times likelihood, divided by its sum."""
    likelihood = torch.exp(-((xt - math.sqrt(1 - beta) * y) ** 2) / (2 * beta))
    product = law.density(y) * likelihood
    return product / torch.trapezoid(product, y)


@pytest.mark.parametrize("beta", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("xt", [-1.5, 0.1, 0.8])
def test_reversed_is_bayes_rule(beta, xt):
    y = torch.linspace(-6, 6, 40_001, dtype=F64)
    exact = two().reversed(torch.tensor([xt], dtype=F64), beta)
    assert_close(exact.density(y[None])[0], slow_reverse(two(), xt, beta, y), rtol=1e-8, atol=1e-10)


def test_noising_then_reversing_gives_the_law_back():
    """Averaged over x_t, q(y | x_t) is the law of y again."""
    y = torch.linspace(-3, 3, 41, dtype=F64)
    xt = torch.linspace(-6, 6, 2001, dtype=F64)
    share = two().noised(0.6).density(xt)
    back = two().reversed(xt, 0.4).density(y.expand(len(xt), -1))
    assert_close(torch.trapezoid(share[:, None] * back, xt, dim=0), two().density(y), rtol=1e-9, atol=1e-12)


def test_hand_values():
    one = Mixture(torch.ones(1, dtype=F64), torch.zeros(1, dtype=F64), 1.0)
    assert_close(one.density(torch.zeros(1, dtype=F64)).item(), 1 / math.sqrt(2 * math.pi))
    back = one.reversed(torch.tensor([2.0], dtype=F64), 0.36)
    assert_close((back.means.item(), back.variance), (1.6, 0.36))
    mean, variance = Mixture(
        torch.full((2,), 0.5, dtype=F64), torch.tensor([-1.0, 1.0], dtype=F64), 0.5
    ).moments()
    assert (mean.item(), variance.item()) == (0.0, 1.5)
    assert normal(
        torch.zeros(1, 1, dtype=F64), torch.zeros(1, dtype=F64), torch.ones(1, dtype=F64)
    ).item() == (pytest.approx(1 / math.sqrt(2 * math.pi)))


def test_moments_by_integration():
    y = torch.linspace(-8, 8, 20_001, dtype=F64)
    p = two().density(y)
    mean, variance = two().moments()
    assert_close(torch.trapezoid(p * y, y), mean, rtol=1e-9, atol=0)
    assert_close(torch.trapezoid(p * (y - mean) ** 2, y), variance, rtol=1e-9, atol=0)


def test_gap_known_values():
    x = torch.zeros(1, dtype=F64)
    one = Mixture(torch.ones(1, dtype=F64), torch.zeros(1, dtype=F64), 1.0)
    assert gap_to_gaussian(one.reversed(x, 0.5)).item() < 1e-12
    # two points far apart look like +-1 beside N(0, 1): half of |p - q| is nearly all of the mass
    far = Mixture(torch.full((2,), 0.5, dtype=F64), torch.tensor([-1.0, 1.0], dtype=F64), 1e-6)
    assert gap_to_gaussian(far.reversed(x, 0.999), points=100_001).item() > 0.98


def test_the_gap_grows_with_the_step():
    gaps = [mean_gap(two(), linear(100, 1e-3, 0.2), 40, s) for s in (39, 35, 20, 0)]
    assert gaps == sorted(gaps)
    assert gaps[0] < 1e-3 < 0.1 < gaps[-1]


def test_rejects():
    with pytest.raises(ValueError, match="sum to 1"):
        Mixture(torch.tensor([0.5, 0.6], dtype=F64), torch.zeros(2, dtype=F64), 1.0)
    with pytest.raises(ValueError, match="variance > 0"):
        Mixture(torch.ones(1, dtype=F64), torch.zeros(1, dtype=F64), 0.0)
    for beta in (0.0, 1.0):
        with pytest.raises(ValueError, match="beta"):
            two().reversed(torch.zeros(1, dtype=F64), beta)


def test_planted_error_is_seen():
    """The likelihood's mean without its root: 1 - beta where sqrt(1 - beta) belongs."""
    y, xt, beta = torch.linspace(-6, 6, 4001, dtype=F64), 0.5, 0.3
    planted = two().density(y) * torch.exp(-((xt - (1 - beta) * y) ** 2) / (2 * beta))
    planted = planted / torch.trapezoid(planted, y)
    exact = two().reversed(torch.tensor([xt], dtype=F64), beta).density(y[None])[0]
    assert 0.5 * torch.trapezoid((exact - planted).abs(), y) > 0.01
