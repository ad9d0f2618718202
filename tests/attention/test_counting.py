import warnings

import pytest
import torch
from torch import nn
from worked.attention.counting import (
    bytes_kept,
    entries_written,
    multi_head_parameters,
    multiply_adds,
    omega_msa,
    omega_multi_head,
    omega_wmsa,
    seconds_spent,
)
from worked.attention.multi_head import MultiHeadAttention
from worked.attention.swin import GlobalAttention, WindowAttention

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchvision.models.swin_transformer import ShiftedWindowAttention


def test_hand_values():
    assert omega_msa(2, 2, 3) == 240
    assert omega_wmsa(4, 4, 3, 2) == 960
    assert multiply_adds(nn.Linear(3, 5), torch.ones(2, 3)) == 30
    assert entries_written(nn.Softmax(-1), torch.ones(2, 3)) == {"_softmax": 6}
    assert omega_wmsa(4, 4, 5, 4) == omega_msa(4, 4, 5)  # one window
    sizes = {"d": 100, "heads": 3, "d_k": 10, "d_v": 20, "d_out": 50}
    assert multi_head_parameters(**sizes) == 15_000
    assert omega_multi_head(64, **sizes) == 960_000 + 368_640
    assert omega_multi_head(6, d=8, heads=2, d_k=4, d_v=4, d_out=8) == omega_msa(2, 3, 8)


class Exp(nn.Module):
    def forward(self, x):
        return x.exp()


def test_bytes_by_hand():
    assert bytes_kept(Exp(), torch.ones(10, requires_grad=True)) == 40
    linear = nn.Linear(3, 5)  # keeps its input, not its own weight
    assert bytes_kept(linear, torch.ones(2, 3, requires_grad=True)) == 24


@pytest.mark.parametrize(("h", "w", "c", "heads"), [(4, 6, 8, 2), (8, 8, 12, 3)])
@pytest.mark.parametrize("shift", [0, 1])
def test_counts_are_the_formulas(h, w, c, heads, shift):
    x = torch.ones(2, h, w, c)
    assert multiply_adds(GlobalAttention(c, heads), x) == 2 * omega_msa(h, w, c)
    for module in (
        WindowAttention(c, heads, 2, shift),
        ShiftedWindowAttention(c, [2, 2], [shift] * 2, heads),
    ):
        assert multiply_adds(module, x) == 2 * omega_wmsa(h, w, c, 2)


@pytest.mark.parametrize(("n", "d", "heads", "d_k", "d_v", "d_out"), [(1, 2, 1, 1, 1, 1), (7, 5, 3, 2, 4, 6)])
def test_multi_head_is_counted(n, d, heads, d_k, d_v, d_out):
    sizes = {"d": d, "heads": heads, "d_k": d_k, "d_v": d_v, "d_out": d_out}
    module = MultiHeadAttention(**sizes)
    assert sum(p.numel() for p in module.parameters()) == multi_head_parameters(**sizes)
    assert multiply_adds(module, torch.ones(2, n, d)) == 2 * omega_multi_head(n, **sizes)


@pytest.mark.parametrize("shift", [0, 1])
def test_entries_of_the_softmax(shift):
    h, w, c, heads, M = 4, 6, 8, 2, 2
    written = entries_written(WindowAttention(c, heads, M, shift), torch.ones(3, h, w, c))
    assert written["_softmax"] == 3 * heads * h * w * M**2
    assert written["index_select"] == 2 * 3 * h * w * c  # there and back


def test_seconds_have_the_names_of_the_entries():
    module, x = WindowAttention(8, 2, 2, 1), torch.ones(1, 4, 4, 8)
    spent = seconds_spent(module, x, rounds=2)
    assert spent.keys() == entries_written(module, x).keys()
    assert min(spent.values()) > 0
