import math

import pytest
import torch
from scipy import stats
from sklearn.metrics import accuracy_score
from worked.metrics import accuracy, confidence_interval, effect_size, max_abs, mean_and_standard_error


def test_max_abs():
    assert max_abs(torch.tensor([[1.0, -3.0], [2.0, 0.0]])) == 3
    assert max_abs(torch.tensor(-2)) == 2
    assert math.isnan(max_abs(torch.tensor([1.0, float("nan")])))
    with pytest.raises(ValueError, match="empty"):
        max_abs(torch.zeros(0, 3))


def test_mean_and_standard_error_by_hand():
    mean, error = mean_and_standard_error([1.0, 2.0, 3.0])
    assert mean == 2
    assert error == pytest.approx(1 / math.sqrt(3))


def test_mean_and_standard_error_as_scipy(rng):
    x = torch.randn(17, generator=rng, dtype=torch.float64)
    assert mean_and_standard_error(x) == pytest.approx((x.mean().item(), stats.sem(x.numpy())))


def test_the_interval_by_hand_and_as_scipy(rng):
    lo, hi = confidence_interval([1.0, 2.0, 3.0])
    assert (lo, hi) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), rel=1e-6)
    x = torch.randn(5, generator=rng, dtype=torch.float64)
    want = stats.t.interval(0.9, 4, loc=x.mean().item(), scale=stats.sem(x.numpy()))
    assert confidence_interval(x, 0.9) == pytest.approx(want)


def test_the_interval_covers_as_often_as_it_says(rng):
    draws = torch.randn(2000, 3, generator=rng, dtype=torch.float64)
    covered = sum(lo < 0 < hi for lo, hi in map(confidence_interval, draws)) / 2000
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)  # four standard errors of a share


def test_effect_size_by_hand():
    assert effect_size([1.0, 2.0, 3.0], [0.0, 1.0, 2.0]) == pytest.approx(1)
    assert effect_size([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]) == pytest.approx(-1)
    # means 2 and 0, variances 1 and 2, so s^2 = (2 * 1 + 1 * 2) / 3
    assert effect_size([1.0, 2.0, 3.0], [-1.0, 1.0]) == pytest.approx(2 / math.sqrt(4 / 3))
    assert effect_size([1.0, 1.0], [1.0, 1.0]) == 0
    assert effect_size([1.0, 1.0], [2.0, 2.0]) == -math.inf


def test_effect_size_has_no_unit(rng):
    a, b = torch.randn(2, 6, generator=rng, dtype=torch.float64)
    assert effect_size(7 * a - 3, 7 * b - 3) == pytest.approx(effect_size(a, b))


def test_accuracy(rng):
    assert accuracy(torch.eye(3), torch.tensor([0, 1, 0])) == pytest.approx(2 / 3)
    logits, labels = torch.randn(50, 4, generator=rng), torch.randint(4, (50,), generator=rng)
    assert accuracy(logits, labels) == pytest.approx(accuracy_score(labels, logits.argmax(1)))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: mean_and_standard_error([1.0]), "two values"),
        (lambda: confidence_interval([1.0, 2.0], level=95.0), "between 0 and 1"),
        (lambda: confidence_interval([1.0, 2.0], level=0.0), "between 0 and 1"),
        (lambda: effect_size([1.0], [1.0, 2.0]), "two values"),
        (lambda: accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)), "no predictions"),
    ],
)
def test_rejects(call, match):
    with pytest.raises(ValueError, match=match):
        call()
