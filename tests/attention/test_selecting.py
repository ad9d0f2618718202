from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worked.attention.selecting import can_select, count_selectable, selectable


def slow_count(keys, rng):
    """Sets that some of very many random queries select, with a cut at each gap of the sorted scores."""
    seen = set()
    for q in torch.randn(20_000, keys.shape[1], generator=rng, dtype=keys.dtype):
        order = (keys @ q).argsort().tolist()
        seen |= {frozenset(order[:i]) for i in range(len(keys) + 1)}
    return len(seen)


def test_equals_a_search_by_random_queries(rng):
    for m, d in ((4, 1), (5, 2), (4, 3)):
        keys = torch.randn(m, d, generator=rng, dtype=torch.float64)
        assert slow_count(keys, rng) == count_selectable(keys) == selectable(m, d)


def test_hand_values():
    line = torch.tensor([[0.0], [1.0], [2.0]])
    assert can_select(line, torch.tensor([False, False, True]))
    assert not can_select(line, torch.tensor([False, True, False]))
    assert count_selectable(line) == selectable(3, 1) == 6
    assert count_selectable(line[1:], threshold=False) == 2  # all or none
    assert [selectable(4, d) for d in range(5)] == [2, 8, 14, 16, 16]
    square = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    assert not can_select(square, torch.tensor([True, False, False, True]))  # the diagonals cross
    assert count_selectable(square) == 14


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 9))
@settings(max_examples=10)
def test_keys_in_general_position(m, d, seed):
    keys = torch.randn(m, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert count_selectable(keys) == selectable(m, d)


def test_moving_and_mixing_the_keys_changes_nothing(rng):
    keys, mix = torch.randn(5, 2, generator=rng), torch.randn(2, 2, generator=rng)
    for wanted in product((False, True), repeat=5):
        wanted = torch.tensor(wanted)
        assert can_select(keys, wanted) == can_select(keys @ mix + 3, wanted) == can_select(keys, ~wanted)


def test_rejects():
    for m, d in ((0, 1), (3, -1)):
        with pytest.raises(ValueError, match="need m >= 1"):
            selectable(m, d)
    with pytest.raises(ValueError, match="no keys"):
        can_select(torch.zeros(0, 2), torch.zeros(0, dtype=torch.bool))
