import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.selfsup.sinkhorn import hilbert_diameter, imbalance, sinkhorn

F64 = torch.float64


def slow_sinkhorn(logits, tau, iterations):
    """Scale columns, then rows, as lists of numbers."""
    n, k = logits.shape
    P = [[math.exp(x / tau) for x in row] for row in logits.tolist()]
    for _ in range(iterations):
        for j in range(k):
            total = sum(P[i][j] for i in range(n))
            for i in range(n):
                P[i][j] *= n / k / total
        P = [[x / sum(row) for x in row] for row in P]
    return torch.tensor(P, dtype=F64)


@pytest.mark.parametrize(("n", "k", "iterations"), [(4, 3, 1), (3, 5, 3), (6, 6, 20), (1, 2, 2)])
def test_equals_the_scaling(n, k, iterations, rng):
    g = torch.randn(n, k, generator=rng, dtype=F64)
    assert_close(sinkhorn(g, 0.3, iterations), slow_sinkhorn(g, 0.3, iterations), rtol=1e-11, atol=1e-14)


def test_hand_values():
    assert_close(sinkhorn(torch.zeros(6, 3), 0.1), torch.full((6, 3), 1 / 3))
    assert_close(sinkhorn(100 * torch.eye(4), 0.1), torch.eye(4))
    assert imbalance(torch.eye(3)) == 0
    assert imbalance(torch.tensor([[1.0, 0.0]] * 5)) == 1


def test_both_sums(rng):
    p = sinkhorn(torch.randn(40, 8, generator=rng, dtype=F64), 0.5, 200)
    assert_close(p.sum(1), torch.ones(40, dtype=F64))
    assert imbalance(p) < 1e-12  # converged: rounding of a sum of 40 terms


def test_rows_and_columns_may_be_shifted(rng):
    """a_i + b_j added to the logits are scaled away, once it has converged."""
    g = torch.randn(5, 4, generator=rng, dtype=F64)
    shifted = g + torch.randn(5, 1, generator=rng, dtype=F64) + torch.randn(4, generator=rng, dtype=F64)
    assert_close(sinkhorn(shifted, 0.5, 300), sinkhorn(g, 0.5, 300), rtol=1e-9, atol=1e-12)
    assert hilbert_diameter(shifted) == pytest.approx(hilbert_diameter(g))


def test_does_not_overflow(rng):
    p = sinkhorn(1000 * torch.randn(6, 4, generator=rng), 0.01, 3)
    assert p.isfinite().all()
    assert_close(p.sum(1), torch.ones(6))


@given(n=st.integers(1, 9), k=st.integers(2, 9), iterations=st.integers(1, 6), seed=st.integers(0, 99))
def test_equals_lightly(n, k, iterations, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightly.loss.swav_loss import sinkhorn as theirs
    g = torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=F64)
    want = theirs(g.clone(), iterations=iterations, epsilon=0.2)
    assert_close(sinkhorn(g, 0.2, iterations), want, rtol=1e-10, atol=1e-13)


def test_gradient(rng):
    g = torch.randn(3, 4, generator=rng, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sinkhorn(x, 0.5, 3), g)


def test_hilbert_diameter_by_hand():
    assert hilbert_diameter(torch.tensor([[1.0, 0.0], [0.0, 1.0]])) == 2
    assert hilbert_diameter(torch.arange(3.0)[:, None] + torch.arange(4.0)) == 0


def test_rejection():
    with pytest.raises(ValueError, match="tau=0"):
        sinkhorn(torch.zeros(2, 2), 0.0)
    with pytest.raises(ValueError, match="iterations=0"):
        sinkhorn(torch.zeros(2, 2), 1.0, 0)
