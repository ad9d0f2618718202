"""Probes: against scikit-learn, values by hand, invariances, and bad input."""

import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from worked.selfsup.probe import knn_accuracy, linear_probe


@pytest.fixture
def data(rng):
    """Three noisy clusters in eight dimensions: 90 training points, 60 test points."""
    centres = torch.randn(3, 8, generator=rng)
    y = torch.arange(150) % 3
    z = centres[y] + 0.8 * torch.randn(150, 8, generator=rng)
    return z[:90], y[:90], z[90:], y[90:]


def test_knn_is_scikit_learns_on_unit_features(data):
    train, y, test, t = data
    unit = [torch.nn.functional.normalize(x, dim=1).numpy() for x in (train, test)]
    want = KNeighborsClassifier(5).fit(unit[0], y).score(unit[1], t)
    assert knn_accuracy(*data) == pytest.approx(want, abs=1e-12)
    assert 0.5 < want < 1


def test_linear_probe_is_scikit_learns_ridge(data):
    train, y, test, t = data
    mean, deviation = train.double().mean(0), train.double().std(0, correction=0)
    onehot = torch.nn.functional.one_hot(y).double()
    ridge = Ridge(alpha=1e-2 * len(train)).fit(((train - mean) / deviation).numpy(), onehot.numpy())
    guess = torch.tensor(ridge.predict(((test - mean) / deviation).numpy())).argmax(1)
    assert linear_probe(*data) == pytest.approx((guess == t).double().mean().item(), abs=1e-12)


def test_known_values():
    eye, y = torch.eye(4), torch.arange(4)
    assert knn_accuracy(eye, y, eye, y, k=1) == 1
    assert linear_probe(eye, y, eye, y) == 1
    assert knn_accuracy(eye, y, eye, y.roll(1), k=1) == 0


def test_length_of_features_does_not_matter_to_knn_nor_their_units_to_the_probe(data, rng):
    train, y, test, t = data
    scale = torch.rand(90, 1, generator=rng) + 0.1
    assert knn_accuracy(scale * train, y, 3 * test, t) == knn_accuracy(*data)
    units = torch.rand(8, generator=rng) + 0.5
    assert linear_probe(units * train + 7, y, units * test + 7, t) == linear_probe(*data)


def test_a_feature_that_never_changes_does_no_harm(data):
    train, y, test, t = data
    pad = torch.nn.functional.pad
    assert linear_probe(pad(train, (0, 1)), y, pad(test, (0, 1)), t) == linear_probe(*data)


def test_rejects(data):
    with pytest.raises(ValueError, match="need 1 <= k <= 90, got k=91"):
        knn_accuracy(*data, k=91)
    with pytest.raises(ValueError, match="need ridge > 0, got 0"):
        linear_probe(*data, ridge=0.0)
