import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from worked.attention.reach import reach
from worked.attention.swin import SwinBlock


def depends(blocks, size):
    """A map of 3 rows, one window high, so that only columns matter; token (0, i) against column j."""
    x = torch.randn(1, 3, size, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x.requires_grad_()
    out = blocks(x)
    rows = []
    for i in range(size):
        up = torch.randn(4, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
        (grad,) = torch.autograd.grad((out[0, 0, i] * up).sum(), x, retain_graph=True)
        rows.append(grad[0].abs().amax((0, 2)) > 0)
    return torch.stack(rows)


@pytest.mark.parametrize("shifts", [(0,), (1,), (0, 1), (0, 2, 0), (1, 0, 1, 0)])
def test_is_what_gradients_say(shifts):
    torch.manual_seed(0)
    blocks = nn.Sequential(*(SwinBlock(4, 2, 3, s) for s in shifts)).double()
    for block in blocks:
        nn.init.normal_(block.attention.table)
    assert torch.equal(depends(blocks, 12), reach(12, 3, shifts))


def test_hand_value():
    sees = reach(8, 4, (0, 2)).long().tolist()
    left, right = [1] * 4 + [0] * 4, [0] * 4 + [1] * 4
    assert sees == [left] * 2 + [[1] * 8] * 4 + [right] * 2


@given(st.integers(1, 5), st.integers(2, 5), st.integers(1, 4), st.integers(1, 6))
def test_width_grows_by_a_window_a_block(n, M, s, depth):
    """Away from the edges; and a network that never shifts stays in its windows."""
    s = min(s, M - 1)
    size = (2 * n + depth + 1) * M
    middle = size // 2
    for shifts in ([s * (i % 2) for i in range(depth)], [s * (i % 2 == 0) for i in range(depth)]):
        assert reach(size, M, shifts)[middle].sum() == depth * M
    assert (reach(size, M, [0] * depth).sum(1) == M).all()


@given(st.integers(2, 5), st.integers(2, 5))
def test_all_see_all_after_two_blocks_for_every_window(n, M):
    shifts = [(M // 2) * (i % 2) for i in range(2 * n)]
    assert reach(n * M, M, shifts).all()
    assert not reach(n * M, M, shifts[2:]).all()


def test_rejects():
    with pytest.raises(ValueError, match="windows of 3 do not fill an axis of 8"):
        reach(8, 3, [0])
