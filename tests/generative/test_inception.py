import pytest
import torch
from torch.testing import assert_close
from worked.generative.inception import inception_features, load


@pytest.fixture(scope="module")
def network():
    """Untrained: the weights would have to be fetched."""
    return load(weights=None)


def test_features_of_each_picture_alone(network, rng):
    x = torch.rand(3, 3, 32, 32, generator=rng)
    together = inception_features(network, x)
    assert together.shape == (3, 2048)
    assert_close(inception_features(network, x, batch=2), together, rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 0


def test_rejects_pictures_of_another_range(network, rng):
    with pytest.raises(ValueError, match=r"want pictures in \[0, 1\]"):
        inception_features(network, torch.full((1, 3, 32, 32), -1.0))
