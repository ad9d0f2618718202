import math

import pytest
import torch
from torch.testing import assert_close
from worked.multimodal.negatives import effective_negatives, shared_attributes, shares

F64 = torch.float64


def test_shared_attributes_counts_pair_by_pair(rng):
    a = torch.randint(3, (6, 4), generator=rng)
    want = [[sum(int(p == q) for p, q in zip(r, s, strict=True)) for s in a.tolist()] for r in a.tolist()]
    assert_close(shared_attributes(a), torch.tensor(want))


def test_shares_pair_by_pair(rng):
    weights, level = torch.rand(5, 5, generator=rng, dtype=F64), torch.randint(3, (5, 5), generator=rng)
    want = [0.0, 0.0, 0.0, 0.0]  # no pair has level 3
    for i in range(5):
        for j in range(5):
            if i != j:
                want[int(level[i, j])] += weights[i, j].item()
    got = shares(weights, level, 4)
    assert_close(got, torch.tensor(want, dtype=F64) / sum(want))
    assert got.sum().item() == pytest.approx(1)
    assert_close(shares(weights + 9 * torch.eye(5), level, 4), got)  # the diagonal does not count


def test_effective_negatives_of_known_distributions():
    assert effective_negatives(torch.full((5, 5), 0.2, dtype=F64)).item() == pytest.approx(4)
    one = torch.tensor([[0.6, 0.4, 0], [0.1, 0.5, 0.4], [0.2, 0, 0.8]], dtype=F64)
    by_hand = (1 + math.exp(-(0.2 * math.log(0.2) + 0.8 * math.log(0.8))) + 1) / 3
    assert effective_negatives(one).item() == pytest.approx(by_hand)


def test_effective_negatives_do_not_see_the_positive(rng):
    P = torch.randn(6, 6, generator=rng, dtype=F64).softmax(1)
    sure = P.clone()
    sure.diagonal().mul_(100)
    sure /= sure.sum(1, keepdim=True)
    assert_close(effective_negatives(P), effective_negatives(sure))


def test_rejects():
    with pytest.raises(ValueError, match="sum to 0"):
        shares(torch.eye(3), torch.zeros(3, 3, dtype=torch.long), 1)
    with pytest.raises(ValueError, match="batch of 1"):
        effective_negatives(torch.ones(1, 1))
