import pytest
import torch
from torch.testing import assert_close
from worked.attention.overlap import mass_on, overlap, patch_cover


def test_cover_counts_pixels():
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2, :3] = True  # the first patch whole, half of the second
    assert_close(patch_cover(mask, 2), torch.tensor([[1.0, 0.5, 0.0, 0.0]]))


def test_even_attention_has_the_share_of_area(rng):
    cover = torch.rand(5, 16, generator=rng)
    assert_close(mass_on(torch.ones(5, 16), cover), cover.mean(1))
    weights = torch.rand(5, 16, generator=rng)
    assert_close(mass_on(3 * weights, cover), mass_on(weights, cover))  # scale does not matter


def test_overlap_by_hand():
    cover = torch.tensor([[1.0, 0.8, 0.2, 0.0]])
    assert overlap(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), cover).item() == 0.5  # one of two
    assert overlap(torch.tensor([[0.4, 0.35, 0.2, 0.05]]), cover).item() == 1.0  # 0.4 + 0.35 >= 0.6
    assert overlap(torch.tensor([[0.4, 0.1, 0.1, 0.4]]), cover).item() == pytest.approx(1 / 3)
    faint = torch.tensor([[0.1, 0.3, 0.2, 0.0]])  # no patch is half covered: the best one counts
    assert overlap(torch.tensor([[0.0, 1.0, 0.0, 0.0]]), faint).item() == 1.0


def test_rejection():
    with pytest.raises(ValueError, match="multiples of 4"):
        patch_cover(torch.zeros(1, 6, 8, dtype=torch.bool), 4)
    with pytest.raises(ValueError, match="positive sum"):
        mass_on(torch.zeros(1, 4), torch.ones(1, 4))
    with pytest.raises(ValueError, match="keep"):
        overlap(torch.ones(1, 4), torch.ones(1, 4), keep=1.0)
