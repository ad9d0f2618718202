from itertools import permutations

import pytest
import torch
from torch.testing import assert_close
from worked.graphs.candidates import (
    maximum_with_own_weights,
    maximum_with_shared_weight,
    own_and_mean,
)

EXACT = {"rtol": 0, "atol": 0}


def whole(shape, rng):
    return torch.randint(-4, 5, shape, generator=rng).double()


def number(x):
    return torch.tensor([[float(x)]])


def test_hand_values():
    m = torch.tensor([[2.0], [4.0]])
    assert own_and_mean(torch.ones(1), m, number(10), number(1)).item() == 13
    m, weights = torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, -1.0]).reshape(2, 1, 1)
    assert maximum_with_own_weights(torch.zeros(1), m, number(1), weights).item() == 1
    assert maximum_with_own_weights(torch.zeros(1), m.flip(0), number(1), weights).item() == 2
    assert maximum_with_shared_weight(torch.zeros(1), m, number(1), number(-1)).item() == 0
    assert maximum_with_shared_weight(torch.tensor([-5.0]), m, number(1), number(-1)).item() == -1


@pytest.mark.parametrize("n", [0, 1, 4])
def test_equal_the_formulas_entry_by_entry(n, rng):
    h, m, W, V, rest = (
        whole((3,), rng),
        whole((n, 3), rng),
        whole((3, 2), rng),
        whole((3, 2), rng),
        whole((n, 3, 2), rng),
    )
    for k in range(2):
        own = sum(h[i] * W[i, k] for i in range(3))
        said = [sum(m[j, i] * V[i, k] for i in range(3)) for j in range(n)]
        each = [sum(m[j, i] * rest[j, i, k] for i in range(3)) for j in range(n)]
        mean = sum(said) / n if n else 0
        assert_close(own_and_mean(h, m, W, V)[k], own + mean, rtol=0, atol=1e-13)
        assert_close(maximum_with_shared_weight(h, m, W, V)[k], max([own, *said]), **EXACT)
        assert_close(maximum_with_own_weights(h, m, W, rest)[k], max([own, *each]), **EXACT)


def test_who_stands_where_matters_only_with_own_weights(rng):
    h, m, W, V, rest = (
        whole((3,), rng),
        whole((4, 3), rng),
        whole((3, 2), rng),
        whole((3, 2), rng),
        whole((4, 3, 2), rng),
    )
    orders = [list(p) for p in permutations(range(4))]

    def count(f):
        return len({tuple(f(m[p]).tolist()) for p in orders})

    assert count(lambda m: maximum_with_shared_weight(h, m, W, V)) == 1
    assert count(lambda m: 4 * own_and_mean(h, m, W, V)) == 1
    assert count(lambda m: maximum_with_own_weights(h, m, W, rest)) > 1


@pytest.mark.usefixtures("unhooked")
def test_own_weights_must_be_as_many_as_neighbours():
    with pytest.raises(ValueError, match="2 weights for 3 neighbours"):
        maximum_with_own_weights(torch.zeros(1), torch.zeros(3, 1), number(1), torch.zeros(2, 1, 1))
