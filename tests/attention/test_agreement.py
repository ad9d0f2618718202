import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from torch.testing import assert_close
from worked.attention.agreement import rank_correlation, ranks

F64 = torch.float64


@settings(max_examples=25)
@given(n=st.integers(2, 9), values=st.integers(2, 20), seed=st.integers(0, 10**6))
def test_equals_scipy_with_ties(n, values, seed):
    rng = torch.Generator().manual_seed(seed)
    a, b = torch.randint(values, (2, 3, n), generator=rng).double()
    a[:, 0], b[:, 0] = -1, values  # two different values at least
    assert_close(ranks(a), torch.from_numpy(rankdata(a.numpy(), axis=1)), rtol=0, atol=0)
    want = [spearmanr(x, y).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    assert_close(rank_correlation(a, b), torch.tensor(want, dtype=F64), rtol=1e-9, atol=1e-12)


def test_hand_value():
    a, b = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 3.0, 2.0]])
    assert_close(rank_correlation(a, b), torch.tensor([0.5], dtype=F64))
    assert ranks(torch.tensor([[5.0, 7.0, 7.0]])).tolist() == [[1.0, 2.5, 2.5]]


def test_only_the_order_counts(rng):
    a, b = torch.randn(2, 4, 10, generator=rng, dtype=F64)
    assert_close(rank_correlation(a.exp(), 3 * b + 1), rank_correlation(a, b))
    assert_close(rank_correlation(a, -a), -torch.ones(4, dtype=F64))


@pytest.mark.parametrize("bad", [[1.0, 1.0, 1.0], [1.0, float("nan"), 2.0]])
def test_rejection(bad):
    with pytest.raises(ValueError, match="every row"):
        rank_correlation(torch.tensor([bad]), torch.tensor([[1.0, 2.0, 3.0]]))
