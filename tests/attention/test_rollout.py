from itertools import product

import pytest
import torch
from torch.testing import assert_close
from worked.attention.rollout import rollout

F64 = torch.float64


def weights(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=F64).softmax(-1).unbind()


def slow_rollout(attention, keep):
    """Sum over all paths of tokens from the last block down to the first, of the product of their steps."""
    depth, (b, _, n, _) = len(attention), attention[0].shape
    out = torch.zeros(b, n, n, dtype=F64)
    for at, path in product(range(b), product(range(n), repeat=depth + 1)):
        share = 1.0
        for block in range(depth):  # path[0]: first input, path[depth]: last output
            to, of = path[block + 1], path[block]
            share *= keep * (to == of) + (1 - keep) * attention[block][at, :, to, of].mean().item()
        out[at, path[-1], path[0]] += share
    return out


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.5])
def test_equals_the_sum_over_paths(keep, rng):
    attention = weights(rng, 3, 2, 2, 3, 3)
    assert_close(rollout(attention, keep), slow_rollout(attention, keep), rtol=1e-12, atol=1e-14)


def test_hand_value():
    even = torch.full((1, 1, 2, 2, 2), 0.5)
    assert_close(rollout(even.unbind())[0], torch.tensor([[0.75, 0.25], [0.25, 0.75]]))


def test_rows_sum_to_one_and_keeping_all_is_the_identity(rng):
    attention = weights(rng, 4, 3, 2, 5, 5)
    assert_close(rollout(attention).sum(-1), torch.ones(3, 5, dtype=F64))
    assert_close(rollout(attention, 1.0), torch.eye(5, dtype=F64).expand(3, 5, 5))


def test_renumbering_tokens_renumbers_the_map(rng):
    attention, order = weights(rng, 3, 1, 2, 6, 6), torch.randperm(6, generator=rng)
    assert_close(
        rollout([a[..., order, :][..., order] for a in attention]), rollout(attention)[:, order][:, :, order]
    )


def test_gradient(rng):
    attention = torch.stack(weights(rng, 2, 1, 2, 3, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: rollout(a.unbind()), attention)


def test_rejection(rng):
    with pytest.raises(ValueError, match="keep"):
        rollout(weights(rng, 1, 1, 1, 2, 2), 1.5)
    with pytest.raises(ValueError, match="one block"):
        rollout([])
