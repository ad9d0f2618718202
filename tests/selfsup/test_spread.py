"""Collapse seen and not seen: values by hand for spread and effective rank, and what misleads."""

import math

import pytest
import torch
from worked.selfsup.spread import effective_rank, spread


@pytest.fixture
def axes():
    """The 2d points plus and minus e_k, d = 6."""
    return torch.cat([torch.eye(6), -torch.eye(6)])


def test_known_values(axes):
    assert spread(axes) == pytest.approx(1, abs=1e-12)
    assert effective_rank(axes) == pytest.approx(6, abs=1e-9)
    assert spread(torch.ones(5, 3)) == pytest.approx(0, abs=1e-12)
    assert effective_rank(torch.arange(4.0)[:, None] * torch.tensor([1.0, 2.0])) == pytest.approx(1, abs=1e-6)


def test_two_antipodal_points_are_spread_over_one_of_d_directions():
    z = torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]])
    assert spread(z) == pytest.approx(1 / math.sqrt(4), abs=1e-12)


def test_spread_is_at_most_one_and_does_not_see_length(rng):
    z = torch.randn(2000, 16, generator=rng)
    assert 0.98 < spread(z) <= 1
    assert spread(z * torch.rand(2000, 1, generator=rng).add(0.1)) == pytest.approx(spread(z), abs=1e-6)


def test_rank_does_not_see_the_collapse_that_spread_sees(rng):
    """Embeddings that differ in the fifth digit only."""
    z = 1 + 1e-5 * torch.randn(500, 16, generator=rng, dtype=torch.float64)
    assert spread(z) < 1e-4
    assert effective_rank(z) > 15


def test_rejects():
    with pytest.raises(ValueError, match="at least two"):
        spread(torch.ones(1, 3))
    with pytest.raises(ValueError, match="at least two"):
        effective_rank(torch.ones(1, 3))
    with pytest.raises(ValueError, match="all embeddings are equal"):
        effective_rank(torch.ones(4, 3))
